"""Every format, frame by frame, as RosettaSciIO gives it whole."""

import contextlib
import hashlib
import importlib
import json
import pickle
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import dask
import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from builders import DATA, ramp_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from velox_files import write_velox

import stemscale
from stemscale.acquisition import FrameColumn
from stemscale.errors import InputFileError, SeriesError, StemscaleError
from stemscale.ingestion.joined import join_columns
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.readers import open_series


def rosetta(plugin, path, **options):
    reader = importlib.import_module(f"rsciio.{plugin}").file_reader
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reader(str(path), **options)


def write_rosetta(plugin, path, frames, *, pixel_nm=0.5, interval_s=0.04, changes=None, **options):
    """Write a series with one of RosettaSciIO's writers."""
    names = ["Time", "y", "x"][-frames.ndim :]
    axes = [
        {
            "name": name,
            "size": size,
            "scale": interval_s if name == "Time" else pixel_nm,
            "offset": 0.0,
            "units": "s" if name == "Time" else "nm",
            "navigate": name == "Time",
            "index_in_array": i,
            "is_binned": False,
            "_type": "UniformDataAxis",
        }
        for i, (name, size) in enumerate(zip(names, frames.shape, strict=True))
    ]
    axes = [{**axis, **change} for axis, change in zip(axes, changes or [{}] * 3, strict=False)]
    signal = {
        "data": frames,
        "axes": axes,
        "metadata": {
            "General": {"title": "HAADF"},
            "Signal": {"signal_type": ""},
            "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "magnification": 8e4}},
        },
        "original_metadata": {},
        "attributes": {"_lazy": False},
        "learning_results": {},
        "package_info": {"package": "hyperspy", "package_version": "2"},
        "models": {},
        "tmp_parameters": {},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if plugin == "zspy":
            return write_zspy(path, signal)
        writer = importlib.import_module(f"rsciio.{plugin}").file_writer
        writer(str(path), signal, **options)
    return path


def write_zspy(path, signal):
    # The front door of RosettaSciIO 0.15's writer asks for Zarr 2; the writer behind it does not.
    from rsciio.zspy._api import ZspyWriter, version

    file = zarr.open_group(path, mode="w", zarr_format=2)
    file.attrs.update({"file_format": "ZSpy", "file_format_version": version})
    group = file.require_group("Experiments/HAADF")
    writer = ZspyWriter(
        file,
        signal,
        group,
        chunks=None,
        compressor=None,
        write_dataset=True,
        show_progressbar=False,
    )
    # by the name that newer releases of Zarr have for it
    with patch.object(zarr.Group, "require_dataset", zarr.Group.require_array, create=True):
        writer.write()
    return path


def one(*paths, detector=None):
    (found,) = open_series(list(paths), detector=detector)
    return found


def all_of(source):
    return source.read(0, source.n_frames)


WRITTEN = [("hspy", "a.hspy"), ("zspy", "a.zspy"), ("nexus", "a.nxs"), ("emd", "a.emd")]


@pytest.mark.parametrize(("plugin", "name"), WRITTEN)
@pytest.mark.parametrize("shape", [(5, 6, 9), (6, 9)], ids=["series", "image"])
def test_files_that_rosettasciio_writes_read_back_with_pixel_size(tmp_path, plugin, name, shape):
    frames = ramp_frames(5, 6, 9)[: shape[0]] if len(shape) == 3 else ramp_frames(1, *shape)[0]
    options = {"show_progressbar": False} if plugin in ("hspy", "zspy") else {}
    source = one(write_rosetta(plugin, tmp_path / name, frames, **options))
    expected = frames if frames.ndim == 3 else frames[None]
    assert source.settings.shape == (6, 9)
    np.testing.assert_array_equal(all_of(source), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(0, 1), expected[:1])
    assert source.settings.pixel_size_nm == pytest.approx(0.5, rel=1e-6)


def test_hyperspy_files_keep_interval_energy_and_title(tmp_path):
    path = write_rosetta("hspy", tmp_path / "a.hspy", ramp_frames(5), show_progressbar=False)
    source = one(path)
    assert source.settings.frame_interval_s == pytest.approx(0.04)
    assert source.settings.high_tension_kv == 200
    assert source.settings.detector == "HAADF"


def test_files_are_let_go_of_after_the_ingest(tmp_path):
    """A notebook that ingests a file can write it anew."""
    path = write_rosetta("hspy", tmp_path / "a.hspy", ramp_frames(5), show_progressbar=False)
    stemscale.ingest(tmp_path / "s.zarr", path)
    write_rosetta("hspy", path, ramp_frames(3), show_progressbar=False)
    assert one(path).n_frames == 3


def test_a_zipped_zspy_reads_back(tmp_path):
    folder = write_rosetta("zspy", tmp_path / "b.zspy", ramp_frames(5), show_progressbar=False)
    shutil.make_archive(str(tmp_path / "a"), "zip", folder)
    (tmp_path / "a.zip").rename(tmp_path / "a.zspy")
    np.testing.assert_array_equal(all_of(one(tmp_path / "a.zspy")), ramp_frames(5))


def test_berkeley_emd_whose_axes_are_named_come_with_x_last(tmp_path):
    frames = ramp_frames(4, 6, 9)
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/raw")
        group.attrs["emd_group_type"] = 1
        group["data"] = frames.transpose(2, 1, 0)  # (x, y, frame)
        for i, (name, n, unit) in enumerate([("x", 9, "n_m"), ("y", 6, "n_m"), ("t", 4, "s")], 1):
            dim = group.create_dataset(f"dim{i}", data=np.arange(n) * 0.25)
            dim.attrs["name"], dim.attrs["units"] = name, f"[{unit}]"
        for name in ("microscope", "sample", "user", "comments"):
            file.create_group(name)
    source = one(tmp_path / "a.emd")
    np.testing.assert_array_equal(all_of(source), frames)
    assert source.settings.pixel_size_nm == pytest.approx(0.25, rel=1e-6)


def test_spectra_are_refused_by_what_they_are(tmp_path):
    """A spectrum image has as many axes as a series, but its last one is an energy."""
    changes = [
        {"name": "y", "units": "nm", "navigate": True},
        {"name": "x", "units": "nm", "navigate": True},
        {"name": "Energy", "units": "", "navigate": False},
    ]
    path = tmp_path / "si.hspy"
    write_rosetta("hspy", path, ramp_frames(), changes=changes, show_progressbar=False)
    with pytest.raises(InputFileError, match=r"si\.hspy holds no image.*spectra of shape"):
        open_series([path])


@pytest.mark.parametrize("kind", ["png", "bmp", "jp2"])
def test_plain_images_read_back(tmp_path, kind):
    frame = ramp_frames(1, dtype="uint8")[0]
    Image.fromarray(frame).save(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(all_of(one(tmp_path / f"a.{kind}"))[0], frame)


def test_reading_in_threads_leaves_the_settings_of_the_process_alone(tmp_path):
    path = write_rosetta("hspy", tmp_path / "a.hspy", ramp_frames(40), show_progressbar=False)
    source = one(path)
    before = dask.config.get("array.chunk-size"), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: source.read(i, i + 1), range(40)))
    np.testing.assert_array_equal(np.concatenate(found), ramp_frames(40))
    assert (dask.config.get("array.chunk-size"), list(warnings.filters)) == before


TIA = ["03_Scanning Preview_1.ser", "16x16x5_STEM_BF_DF_preview_2.ser"]


@pytest.mark.parametrize("name", TIA)
def test_tia_series_are_read_frame_by_frame_with_their_clock(name):
    source = one(DATA / name)
    expected = rosetta("tia", DATA / name)[0]
    np.testing.assert_array_equal(all_of(source), expected["data"])
    np.testing.assert_array_equal(source.read(3, 4), expected["data"][3:4])
    assert source.settings.pixel_size_nm == pytest.approx(expected["axes"][-1]["scale"], rel=1e-6)
    tags = expected["original_metadata"]["ser_header_parameters"]["Time"]
    assert source.start_time == int(np.ravel(tags)[0]) * 10**9


def test_the_detectors_of_an_emi_are_told_apart_by_the_names_in_their_titles(tmp_path):
    path = DATA / "16x16x5_STEM_BF_DF_preview.emi"
    with pytest.raises(InputFileError, match=r"2 signals.*BF 5 x 16 x 16, DF4 5 x 16 x 16"):
        open_series([path])
    found = open_series([path], detector="all")
    for source, expected in zip(found, rosetta("tia", path), strict=True):
        np.testing.assert_array_equal(all_of(source), expected["data"])
    dark = one(path, detector="DF4")
    assert dark.settings.dwell_time_ns == pytest.approx(16_000)
    assert dark.settings.detector == "DF4"
    assert one(DATA / "03_Scanning Preview.emi").settings.detector == "HAADF"


@pytest.mark.parametrize(
    ("title", "names"),
    [
        (b"Preview BF ", ["BF", "BF-2"]),  # both have one name
        (b"Previewed!!", ["BF", "2"]),
        (b"Preview \x01\x02\x03", ["BF", "2"]),
    ],
    ids=["twice", "none", "damaged"],
)
def test_the_detectors_of_an_emi_have_numbers_only_where_it_has_no_names(tmp_path, title, names):
    text = (DATA / "16x16x5_STEM_BF_DF_preview.emi").read_bytes()
    (tmp_path / "a.emi").write_bytes(text.replace(b"Preview DF4p", title + b"p"))
    for number in (1, 2):
        shutil.copy(DATA / f"16x16x5_STEM_BF_DF_preview_{number}.ser", tmp_path / f"a_{number}.ser")
    found = open_series([tmp_path / "a.emi"], detector="all")
    assert [s.detector for s in found] == names
    assert [s.settings.detector for s in found] == names


def test_the_series_of_an_emi_come_in_the_order_of_their_numbers(tmp_path):
    shutil.copy(DATA / "16x16x5_STEM_BF_DF_preview.emi", tmp_path / "a.emi")
    for number in (2, 10):
        shutil.copy(DATA / "16x16x5_STEM_BF_DF_preview_1.ser", tmp_path / f"a_{number}.ser")
    found = open_series([tmp_path / "a.emi"], detector="all")
    assert [s.detector for s in found] == ["DF4", "10"]  # of the 10th the file says nothing


def test_a_tia_series_with_a_frame_of_another_size_is_refused_there(tmp_path):
    whole = bytearray((DATA / "16x16x5_STEM_BF_DF_preview_1.ser").read_bytes())
    table = struct.unpack_from("<I", whole, 22)[0]
    third = struct.unpack_from("<5I", whole, table)[3]
    struct.pack_into("<2I", whole, third + 42, 8, 32)
    (tmp_path / "a.ser").write_bytes(whole)
    source = one(tmp_path / "a.ser")
    source.read(0, 3)
    with pytest.raises(InputFileError, match=r"a\.ser: frames 2 to 4.*32 x 8 pixels among others"):
        source.read(2, 5)


def test_an_ingest_tells_what_it_left_out_unless_a_signal_was_asked_for(tmp_path):
    titles, plot = DATA / "fei_example_dpc_titles.emd", DATA / "multi_signal.dm3"
    done = stemscale.ingest(tmp_path / "s.zarr", titles, detector="all")
    assert [d.left_out for d in done] == [{str(titles): {"DPC": "complex numbers"}}] * 8
    (done,) = stemscale.ingest(tmp_path / "s.zarr", plot)
    assert done.left_out == {str(plot): {"Plot": "a plot"}}
    (done,) = stemscale.ingest(tmp_path / "s.zarr", plot, detector="HAADF", fov="asked")
    assert done.left_out == {}


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("DPC", r"emd: DPC is no series of real images: choose another with --detector NAME"),
        ("ADF", r"emd has no signal named 'ADF': it has Filtered iDPC"),
        (None, r"emd holds 8 signals: choose one with --detector NAME"),
    ],
)
def test_a_choice_of_signals_names_those_that_are_left_out_and_why(tmp_path, detector, message):
    with pytest.raises(InputFileError, match=f"{message}.*DPC: complex numbers, left out"):
        stemscale.ingest(
            tmp_path / "s.zarr", DATA / "fei_example_dpc_titles.emd", detector=detector
        )


def test_a_velox_file_tells_of_its_spectra(tmp_path):
    path = write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(2)})
    with h5py.File(path, "a") as file:
        file["Data/SpectrumStream/0/Data"] = np.zeros((9, 1), dtype=np.uint16)
        file.create_group("Data/SpectrumImage")
    (found,) = open_series([path])
    assert found.left_out == {str(path): {"SpectrumStream": "spectra"}}


def test_a_zarr_group_tells_of_arrays_that_are_no_frames(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("frames", data=ramp_frames(2))
    group.create_array("times", data=np.arange(2.0))
    (found,) = open_series([tmp_path / "g.zarr"])
    assert found.left_out == {
        str(tmp_path / "g.zarr"): {"times": "an array of shape (2,), float64"}
    }


def test_an_emi_tells_which_series_are_left_out_and_why(tmp_path):
    for file in DATA.glob("16x16x5_STEM_BF_DF_preview*"):
        shutil.copy(file, tmp_path)
    harmed = tmp_path / "16x16x5_STEM_BF_DF_preview_2.ser"
    harmed.write_bytes(harmed.read_bytes()[:40])
    (found,) = open_series([tmp_path / "16x16x5_STEM_BF_DF_preview.emi"])
    ((_, left_out),) = found.left_out.items()
    assert left_out == {harmed.name: "it holds no complete frame"}


def test_plots_beside_an_image_are_left_out():
    source = one(DATA / "multi_signal.dm3")
    expected = rosetta("digitalmicrograph", DATA / "multi_signal.dm3")
    images = [s["data"] for s in expected if s["data"].ndim == 2]
    np.testing.assert_array_equal(all_of(source)[0], images[0])
    assert source.settings.dwell_time_ns == pytest.approx(32_400)
    assert source.start_time == pytest.approx(1576009961.4 * 1e9, abs=2e9)


def test_a_nion_export_comes_with_the_scan_settings_of_its_document(tmp_path):
    source = one(DATA / "nion_haadf_crop.npy")
    np.testing.assert_array_equal(all_of(source)[0], np.load(DATA / "nion_haadf_crop.npy"))
    assert source.settings.pixel_size_nm == pytest.approx(0.015625, rel=1e-6)
    assert source.settings.dwell_time_ns == 127_000
    assert source.settings.flyback_time_us == 254
    assert source.settings.high_tension_kv == 60


def nion_document(**more):
    step = {"offset": 0.0, "scale": 2.0, "units": "nm"}
    axes = [{"offset": 0.0, "scale": 0.5, "units": "s"}, step, step]
    about = {"spatial_calibrations": axes, "datum_dimension_count": 2, **more}
    return json.dumps({**about, "metadata": {"hardware_source": {"channel_name": "MAADF"}}})


@pytest.mark.parametrize("kind", ["ndata1", "h5"])
def test_the_other_forms_of_nion_exports_read_back(tmp_path, kind):
    frames = ramp_frames(4, dtype="float32")
    path = tmp_path / f"a.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["data"] = frames
            file["data"].attrs["properties"] = nion_document()
    else:
        np.save(tmp_path / "data.npy", frames)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", nion_document())
            archive.write(tmp_path / "data.npy", "data.npy")
    source = one(path)
    np.testing.assert_array_equal(source.read(1, 3), frames[1:3])
    assert source.settings.pixel_size_nm == 2.0
    assert source.settings.frame_interval_s == 0.5
    assert source.settings.detector == "MAADF"


def test_a_colour_image_from_nion_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((6, 9, 3), "uint8"))
    steps = [{"offset": 0.0, "scale": 1.0, "units": "nm"}] * 2
    about = {"spatial_calibrations": steps, "datum_dimension_count": 2}
    (tmp_path / "a.json").write_text(json.dumps(about))
    with pytest.raises(InputFileError, match=r"a\.npy is a colour image"):
        open_series([tmp_path / "a.npy"])


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "<i4", "float32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_arrays_read_back_in_any_order(tmp_path, dtype, order):
    frames = np.asarray(ramp_frames(4, dtype=dtype), order=order)
    np.save(tmp_path / "a.npy", frames)
    found = all_of(one(tmp_path / "a.npy"))
    np.testing.assert_array_equal(found, frames)
    assert found.dtype == frames.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("describing", "holding"),
    [
        ("rapid_scan_pair_512.mrc.mdoc", "rapid_scan_pair_512.mrc"),
        ("nion_haadf_crop.json", "nion_haadf_crop.npy"),
    ],
)
def test_a_file_that_only_describes_another_names_that(describing, holding):
    with pytest.raises(InputFileError, match=f"describes {holding} and has no frames"):
        open_series([DATA / describing])


def test_npy_files_that_are_no_series_are_refused(tmp_path):
    np.save(tmp_path / "line.npy", np.arange(5))
    with pytest.raises(InputFileError, match=r"line\.npy holds an array of shape \(5,\)"):
        open_series([tmp_path / "line.npy"])
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(InputFileError, match="Python objects"):
        open_series([tmp_path / "objects.npy"])
    np.save(tmp_path / "complex.npy", np.ones((4, 4), dtype=complex))
    with pytest.raises(SeriesError, match="complex128"):
        open_series([tmp_path / "complex.npy"])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_is_read_by_blocks(tmp_path, zarr_format):
    frames = ramp_frames(7)
    array = zarr.create_array(
        tmp_path / "a.zarr", data=frames, chunks=(2, 12, 16), zarr_format=zarr_format
    )
    assert array.shape == frames.shape
    np.testing.assert_array_equal(one(tmp_path / "a.zarr").read(1, 6), frames[1:6])


def test_an_ome_zarr_image_comes_with_scale_and_interval_at_full_resolution(tmp_path):
    frames = ramp_frames(7)
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("0", data=frames[:, None, None])
    group.create_array("1", data=frames[:, None, None, ::2, ::2])
    kinds = {"t": ("time", "millisecond"), "c": ("channel", None), "z": ("space", "micrometer")}
    axes = [
        {
            "name": n,
            "type": kinds.get(n, ("space", "micrometer"))[0],
            "unit": kinds.get(n, ("", "micrometer"))[1],
        }
        for n in "tczyx"
    ]
    transform = {"type": "scale", "scale": [40, 1, 1, 0.002, 0.002]}
    datasets = [{"path": p, "coordinateTransformations": [transform]} for p in "01"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    source = one(tmp_path / "a.zarr")
    np.testing.assert_array_equal(source.read(2, 5), frames[2:5])
    assert source.settings.pixel_size_nm == pytest.approx(2.0)
    assert source.settings.frame_interval_s == pytest.approx(0.04)


@pytest.mark.parametrize("names", ["cyx", "txy"])
def test_an_ome_zarr_with_other_axes_is_refused_by_their_names(tmp_path, names):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("0", data=ramp_frames(3))
    axes = [{"name": n} for n in names]
    about = [{"axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": about}
    with pytest.raises(InputFileError, match=rf"a\.zarr has axes {' '.join(names)}"):
        open_series([tmp_path / "a.zarr"])


def test_the_frames_of_a_store_can_be_ingested_again(tmp_path):
    np.save(tmp_path / "a.npy", ramp_frames(5))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy")
    stemscale.ingest(tmp_path / "t.zarr", tmp_path / "s.zarr" / "a" / "rapid")
    with xr.open_zarr(tmp_path / "t.zarr", group="rapid/rapid") as opened:
        np.testing.assert_array_equal(opened["frames"], ramp_frames(5))


def test_an_ome_tiff_comes_with_its_pixel_size_and_interval(tmp_path):
    about = {
        "axes": "TYX",
        "PhysicalSizeX": 2.1,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 2.1,
        "PhysicalSizeYUnit": "nm",
        "TimeIncrement": 0.04,
        "TimeIncrementUnit": "s",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp_frames(5), ome=True, metadata=about)
    source = one(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(all_of(source), ramp_frames(5))
    assert source.settings.pixel_size_nm == pytest.approx(2.1, rel=1e-6)
    assert source.settings.frame_interval_s == pytest.approx(0.04)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_channels_of_an_ome_tiff_are_signals(tmp_path, compression):
    frames = np.stack([ramp_frames(3), ramp_frames(3) + np.uint16(300)], axis=1)
    about = {"axes": "TCYX", "Channel": {"Name": ["BF", "ADF"]}, "PhysicalSizeX": 0.002}
    about |= {"PhysicalSizeY": 0.002}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, frames, ome=True, metadata=about, compression=compression)
    for number, source in enumerate(open_series([path], detector="all")):
        assert source.detector == ["BF", "ADF"][number]
        assert source.settings.pixel_size_nm == pytest.approx(2.0)
        np.testing.assert_array_equal(source.read(1, 3), frames[1:3, number])


def test_the_channels_of_an_imagej_stack_are_signals(tmp_path):
    frames = ramp_frames(6).reshape(3, 2, 12, 16)
    tifffile.imwrite(tmp_path / "a.tif", frames, imagej=True, metadata={"axes": "TCYX"})
    source = one(tmp_path / "a.tif", detector="channel-2")
    np.testing.assert_array_equal(all_of(source), frames[:, 1])


def test_the_only_axis_of_a_stack_is_its_frames_whatever_it_is_called(tmp_path):
    """What tifffile writes where it is not told otherwise are channels."""
    tifffile.imwrite(tmp_path / "a.tif", ramp_frames(3), imagej=True, metadata={"axes": "CYX"})
    assert one(tmp_path / "a.tif").n_frames == 3


def test_an_imagej_stack_whose_pixels_are_not_square_is_refused(tmp_path):
    about = {"unit": "nm", "axes": "TYX"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp_frames(2), imagej=True, resolution=(1, 2), metadata=about)
    with pytest.raises(InputFileError, match=r"a\.tif: pixels of 1 x 0\.5 nm are not square"):
        open_series([path])


def test_frames_of_a_tiff_are_there_after_the_file_is_gone(tmp_path):
    """They are no view of the file: writing it anew must not change or end the process."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp_frames(3), imagej=True)
    source = one(path)
    frames = source.read(0, 3)
    path.write_bytes(path.read_bytes()[:600])
    np.testing.assert_array_equal(frames, ramp_frames(3))
    with pytest.raises(InputFileError, match=r"a\.tif: frames 1 to 1 cannot be read"):
        source.read(1, 2)


def one_of_each(folder):
    """A short series in every format."""
    frames = ramp_frames(5, 6, 9)
    for plugin, name in WRITTEN:
        options = {"show_progressbar": False} if plugin in ("hspy", "zspy") else {}
        yield write_rosetta(plugin, folder / name, frames, **options)
    np.save(folder / "a.npy", frames)
    tifffile.imwrite(folder / "a.tif", frames, imagej=True)
    tifffile.imwrite(folder / "b.tif", frames, photometric="minisblack", compression="zlib")
    zarr.create_array(folder / "a.zarr", data=frames)
    with h5py.File(folder / "a.h5", "w") as file:
        file["data"] = frames
    with zipfile.ZipFile(folder / "a.ndata1", "w") as archive:
        archive.writestr("metadata.json", nion_document())
        archive.write(folder / "a.npy", "data.npy")
    for name in ("a.npy", "a.tif", "b.tif", "a.zarr", "a.h5", "a.ndata1"):
        yield folder / name
    for name in ("JEOL HAADF Image.dm4", "rapid_scan_pair_512.mrc", "03_Scanning Preview.emi"):
        yield DATA / name


ELSEWHERE = """
import hashlib, pickle, sys
for source in pickle.load(open(sys.argv[1], "rb")):
    print(hashlib.sha256(source.read(0, source.n_frames).tobytes()).hexdigest())
"""


def test_every_source_gives_the_same_frames_in_another_process(tmp_path):
    sources = [one(path) for path in one_of_each(tmp_path)]
    expected = [hashlib.sha256(all_of(s).tobytes()).hexdigest() for s in sources]
    sent = tmp_path / "sources.pickle"
    sent.write_bytes(pickle.dumps(sources))  # after reading: nothing that is open travels
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(sent)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == expected


def test_an_exposure_of_less_than_nothing_in_an_mdoc_counts_as_unknown(tmp_path):
    shutil.copy(DATA / "rapid_scan_pair_512.mrc", tmp_path / "a.mrc")
    (tmp_path / "a.mrc.mdoc").write_text("[ZValue = 0]\nExposureTime = -1\n")
    assert one(tmp_path / "a.mrc").settings.dwell_time_ns is None


def write_mdoc(folder, entries):
    """Write a stack of as many frames as each entry has values; None for one that is missing."""
    n = len(next(iter(entries.values())))
    path = write_mrc(folder / "a.mrc", ramp_frames(n))
    lines = []
    for i in range(n):
        said = [f"{k} = {v[i]}" for k, v in entries.items() if v[i] is not None]
        lines += [f"[ZValue = {i}]", *said, ""]
    (folder / "a.mrc.mdoc").write_text("\n".join(lines))
    return path


def write_mrc(path, frames):
    n, n_y, n_x = frames.shape
    head = np.zeros(256, "<i4")
    head[:4] = n_x, n_y, n, 6  # uint16
    head[7:10], head[16:19], head[52] = (n_x, n_y, n), (1, 2, 3), 0x2050414D
    path.write_bytes(head.tobytes() + frames.tobytes())
    return path


def test_words_of_an_mdoc_that_vary_come_as_flags(tmp_path):
    entries = {
        "SubFramePath": ["D:\\a b.tif", "D:\\c.tif", None, "D:\\c.tif"],
        "ChannelName": ["HAADF"] * 4,
        "DateTime": [f"31-Mar-23  16:24:1{s}" for s in (5, 5, 6, 6)],
    }
    stemscale.ingest(tmp_path / "s.zarr", write_mdoc(tmp_path, entries))
    with xr.open_zarr(tmp_path / "s.zarr", group="a/rapid") as opened:
        path, clock = opened["sub_frame_path"], opened["date_time"]
        assert path.values.tolist() == [0, 1, 2, 1]
        assert path.attrs["flag_meanings"] == "D:\\a_b.tif D:\\c.tif _"
        assert path.attrs["long_name"] == "SubFramePath in the .mdoc"
        assert clock.attrs["flag_meanings"] == "31-Mar-23_16:24:15 31-Mar-23_16:24:16"
        assert "channel_name" not in opened


@pytest.mark.parametrize("numbers_first", [False, True])
def test_a_quantity_that_is_text_in_one_file_and_a_number_in_the_next_comes_as_words(
    numbers_first,
):
    texts = FrameColumn(values=np.array([0, 1]), long_name="gas", words=("on", "off"))
    numbers = FrameColumn(values=np.array([2.5, np.nan, 3]), units="Pa", long_name="gas")
    parts = [(numbers, 3), (texts, 2)] if numbers_first else [(texts, 2), (numbers, 3)]
    found = join_columns(*zip(*parts, (None, 1), strict=True))
    said, spelt = ["on", "off"], ["2.5", "", "3"]
    expected = [*spelt, *said] if numbers_first else [*said, *spelt]
    assert [found.words[v] for v in found.values] == [*expected, ""]
    assert found.units == ""


def test_numbers_of_an_mdoc_that_vary_come_one_by_one_even_if_some_frames_lack_them(tmp_path):
    entries = {
        "ImageShift": ["0.5 -1", "0.5 -2", None],
        "Defocus": ["-1e-2", None, "-3e-2"],
        "SpotSize": ["7", "7", "7"],
        "DateTime": [f"31-Mar-23  16:24:{s}" for s in (10, 13, 18)],
    }
    found = one(write_mdoc(tmp_path, entries)).per_frame
    assert set(found) == {"image_shift_1", "image_shift_2", "defocus", "time"}
    np.testing.assert_array_equal(found["image_shift_1"].values, [0.5, 0.5, np.nan])
    np.testing.assert_array_equal(found["image_shift_2"].values, [-1, -2, np.nan])
    np.testing.assert_array_equal(found["defocus"].values, [-0.01, np.nan, -0.03])
    np.testing.assert_array_equal(found["time"].values, [0, 3, 8])


def test_metadata_become_json_however_odd_and_deep_they_are():
    deep = {}
    for _ in range(900):
        deep = {"a": deep, "b": (np.float32("nan"), b"\xff", np.zeros((8, 9)), {1: np.int64(2)})}
    found = json.loads(json.dumps(json_values(deep), allow_nan=False))
    assert found["b"] == [None, "\ufffd", "array (8, 9) float64", {"1": 2}]


def test_a_folder_of_images_is_a_series_in_natural_order(tmp_path):
    frames = ramp_frames(12, dtype="uint8")
    folder = tmp_path / "run7"
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"img_{i}.png")
    (folder / "notes.txt").write_text("anything")
    (done,) = stemscale.ingest(tmp_path / "s.zarr", folder)
    assert (done.fov, done.n_frames) == ("run7", 12)
    with xr.open_zarr(tmp_path / "s.zarr", group="run7/rapid") as opened:
        np.testing.assert_array_equal(opened["frames"], frames)


def test_the_tree_of_a_gatan_in_situ_series_gives_the_time_of_each_frame(tmp_path):
    frames = ramp_frames(7)
    places = [(0, 59, 0), (0, 59, 1), (0, 59, 2), (0, 59, 3), (1, 0, 0), (1, 0, 1), (1, 0, 2)]
    for frame, (minute, second, number) in zip(frames, places, strict=True):
        folder = tmp_path / "run" / "Hour_00" / f"Minute_{minute:02}" / f"Second_{second:02}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"run_Hour_00_Minute_{minute:02}_Second_{second:02}_Frame_{number:04}"
        np.save(folder / f"{stem}.npy", frame)
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "run")
    with xr.open_zarr(tmp_path / "s.zarr", group="run/rapid") as opened:
        np.testing.assert_array_equal(opened["frames"], frames)
        np.testing.assert_allclose(opened["time"], [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5])


def test_stage_and_clock_of_single_frame_files_become_columns_of_the_series(tmp_path):
    for i in range(3):
        shutil.copy(DATA / "multi_signal.dm3", tmp_path / f"f_{i}.dm3")
    source = one(*(tmp_path / f"f_{i}.dm3" for i in range(3)))
    assert source.n_frames == 3
    assert "stage_x" not in source.per_frame  # it did not move
    np.testing.assert_allclose(source.per_frame["time"].values, 0)


def test_a_folder_of_several_kinds_or_of_nothing_is_refused_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match=r"empty holds no file that stemscale reads"):
        open_series([tmp_path / "empty"])
    np.save(tmp_path / "a.npy", ramp_frames(2))
    shutil.copy(DATA / "multi_signal.dm3", tmp_path / "b.dm3")
    with pytest.raises(InputFileError, match=r"several kinds \(1 \.dm3, 1 \.npy\)"):
        open_series([tmp_path])


def test_frames_of_other_shapes_in_a_folder_are_named(tmp_path):
    np.save(tmp_path / "a1.npy", ramp_frames(1)[0])
    np.save(tmp_path / "a2.npy", ramp_frames(1, 8, 8)[0])
    with pytest.raises(InputFileError, match=r"a2\.npy holds \(8, 8\) uint16, but a1\.npy"):
        open_series([tmp_path])


GROWTH = """
import sys
from pathlib import Path
from stemscale.ingestion.readers import open_series

def peak():  # getrusage would count what the test's own process held when it started this one
    return float(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1e3

before = peak()
(source,) = open_series([Path(sys.argv[1])])
for start in (0, 90):
    source.read(start, start + 4)
print(peak() - before)
"""


def big_npy(path):
    array = np.lib.format.open_memmap(path / "a.npy", "w+", "u2", (100, 1024, 1024))
    array.flush()
    return path / "a.npy"


def big_mrc(path):
    head = bytearray((DATA / "rapid_scan_pair_512.mrc").read_bytes()[:1024])
    struct.pack_into("<3i", head, 0, 1024, 1024, 100)
    struct.pack_into("<3i", head, 28, 1024, 1024, 100)
    with (path / "a.mrc").open("wb") as stream:
        stream.write(head)
        stream.truncate(1024 + struct.unpack_from("<i", head, 92)[0] + 2 * 100 * 1024**2)
    return path / "a.mrc"


def big_ser(path):
    n, side = 100, 1024
    pixels = 2 * side * side
    with (path / "a.ser").open("wb") as stream:
        stream.write(struct.pack("<HHHIIIIIi", 0x4949, 0x0197, 0x210, 0x4122, 0x4152, n, n, 30, 1))
        places = [30 + 8 * n + i * (pixels + 50) for i in range(n)]
        stream.write(struct.pack(f"<{n}I", *places) + struct.pack(f"<{n}I", *([0] * n)))
        element = struct.pack("<ddiddiHII", 0, 1e-9, 0, 0, 1e-9, 0, 2, side, side)
        for place in places:
            stream.seek(place)
            stream.write(element)
        stream.truncate(places[-1] + pixels + 50)
    return path / "a.ser"


def big_hspy(path):
    frames = np.zeros((100, 1024, 1024), dtype=np.uint16)
    options = {"show_progressbar": False, "chunks": (1, 1024, 1024)}
    return write_rosetta("hspy", path / "a.hspy", frames, **options)


@pytest.mark.parametrize("write", [big_npy, big_mrc, big_ser, big_hspy])
def test_a_few_frames_of_a_long_series_cost_no_more_memory_than_they_must(tmp_path, write):
    """210 MB in the file, 8 MB asked for at a time."""
    path = write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(path)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 160  # of which libraries take 50 to 100


def harmed(data, whole, most=4000):
    """A file with some bits turned, or cut short."""
    bits = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, min(len(whole), most) - 1), max_size=6)):
        bits[at] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(bits[: data.draw(st.sampled_from([len(bits), *range(0, len(bits), 97)]))])


FUZZED = ["a.npy", "a.tif", "03_Scanning Preview_1.ser", "nion_haadf_crop.json", "a.mrc.mdoc"]


@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_heads_end_in_a_series_or_in_our_own_error(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / name
    if name == "a.npy":
        np.save(path, ramp_frames(2))
    elif name == "a.tif":
        tifffile.imwrite(path, ramp_frames(2), imagej=True)
    elif name.endswith("json"):
        shutil.copy(DATA / "nion_haadf_crop.json", path)
        shutil.copy(DATA / "nion_haadf_crop.npy", folder)
    elif name.endswith("mdoc"):
        shutil.copy(DATA / "rapid_scan_pair_512.mrc.mdoc", path)
        shutil.copy(DATA / "rapid_scan_pair_512.mrc", folder / "a.mrc")
    else:
        shutil.copy(DATA / name, path)
    path.write_bytes(harmed(data, path.read_bytes()))
    pixels = {"json": "nion_haadf_crop.npy", "mdoc": "a.mrc"}.get(name.rpartition(".")[2], name)
    with contextlib.suppress(StemscaleError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in open_series([folder / pixels], detector="all"):
            source.read(0, 1)
