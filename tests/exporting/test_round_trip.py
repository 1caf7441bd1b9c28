"""Out of a store into a file, and back into a store: nothing that was known is lost."""

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from builders import ramp_frames
from velox_files import velox_page, write_velox

import stemscale
from stemscale.errors import InputFileError
from stemscale.ingestion.readers import open_series
from stemscale.ingestion.tags import settings_from_tags
from stemscale.store import AcquisitionStore

EVERYTHING = {
    "pixel_size_nm": 1 / 3,
    "dwell_time_ns": 1000 / 7,
    "flyback_time_us": 60.3,
    "frame_time_s": 0.0417,
    "high_tension_kv": 299.7,
    "magnification": 81_234.5,
    "detector": "HAADF (4th)",
    "instrument": "Titan µ = 3; cubed",
}
SETTINGS = {
    "everything": EVERYTHING,
    "nothing": {},
    "no frame time": {"dwell_time_ns": 100.0, "flyback_time_us": 0.0, "detector": "BF"},
    "frame time alone": {"frame_time_s": 1 / 30},
}
FILES = {"hspy": "uint16", "zspy": "uint16", "ImageJ.tif": "uint16", "OME.tif": "int32"}


def back(store, tmp_path, kind, **options):
    """Export and ingest again."""
    path = tmp_path / f"out.{kind}"
    stemscale.export(store, path, **options)
    stemscale.ingest(tmp_path / "again.zarr", path, fov="a")
    return AcquisitionStore(tmp_path / "again.zarr")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("known", SETTINGS.values(), ids=SETTINGS)
def test_every_scan_setting_comes_back_as_it_was_and_none_is_made_up(tmp_path, kind, known):
    np.save(tmp_path / "a.npy", ramp_frames(3, dtype=FILES[kind]))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy", rapid_settings=known)
    before = AcquisitionStore(tmp_path / "s.zarr").settings("a/rapid")
    assert before.to_attrs() == known
    assert back(tmp_path / "s.zarr", tmp_path, kind).settings("a/rapid") == before


@pytest.mark.parametrize("kind", ["hspy", "zspy", "ImageJ.tif"])
def test_the_settings_of_a_slow_scan_come_back_too(tmp_path, kind):
    np.save(tmp_path / "a.npy", ramp_frames(3))
    np.save(tmp_path / "b.npy", ramp_frames(1))
    stemscale.ingest(
        tmp_path / "s.zarr",
        tmp_path / "a.npy",
        slow=tmp_path / "b.npy",
        rapid_settings={"pixel_size_nm": 2.0},
        slow_settings={**EVERYTHING, "pixel_size_nm": 2.0},
    )
    before = AcquisitionStore(tmp_path / "s.zarr").settings("a/slow")
    assert back(tmp_path / "s.zarr", tmp_path, kind, slow=True).settings("a/rapid") == before


def recorded(tmp_path, dtype, n=70):
    """Make a store with times, clock times, words, a temperature, and gaps in some."""
    pages = [velox_page(i, Optics={"Mode": "STEM nP" if i % 3 else "TEM"}) for i in range(n)]
    pages[5]["Stage"]["Position"] = {}
    del pages[6]["CustomProperties"]["Detectors[HAADF].TimeStamp"], pages[7]["Optics"]["Mode"]
    frames = ramp_frames(n, dtype=dtype)
    write_velox(tmp_path / "a.emd", {"HAADF": frames}, pages={"HAADF": pages})
    rows = [f"{i},{90 + i / 7}" if i else "0,nan" for i in range(n)]
    (tmp_path / "t.csv").write_text("\n".join(["frame,temperature_C", *rows]))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.emd", frame_metadata=tmp_path / "t.csv")
    return tmp_path / "s.zarr"


@pytest.mark.parametrize("kind", FILES)
def test_the_metadata_of_each_frame_come_back_with_their_units(tmp_path, kind):
    store = recorded(tmp_path, FILES[kind])
    again = back(store, tmp_path, kind)
    assert again.attrs("a/rapid")["start_time"] == "2019-12-05T10:03:46.238991Z"
    with (
        xr.open_zarr(store, group="a/rapid", decode_times=False) as before,
        xr.open_zarr(again.path, group="a/rapid", decode_times=False) as after,
    ):
        assert {"time", "timestamp", "temperature", "stage_x", "optics_mode"} <= set(before.coords)
        assert set(after.coords) == set(before.coords)
        for name, column in before.coords.items():
            np.testing.assert_array_equal(after[name], column, err_msg=str(name))
            attrs = dict(column.attrs)
            if kind.endswith("tif") and str(attrs["long_name"]).endswith("in the file"):
                attrs["long_name"] = name  # a label has no room for it
            assert after[name].attrs == attrs


def test_imagej_shows_above_each_frame_what_is_known_of_it(tmp_path):
    stemscale.export(recorded(tmp_path, "uint16"), tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        label = file.imagej_metadata["Labels"][2]
    assert "time=0.080002 s; " in label
    assert "temperature=90.28571428571429 degC" in label
    assert "optics_mode=STEM_nP" in label


@pytest.mark.cluster
def test_scores_of_filtered_frames_are_no_metadata_of_the_recording(tmp_path):
    frames = ramp_frames(3)
    np.save(tmp_path / "a.npy", frames)
    np.save(tmp_path / "b.npy", frames[0])
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy", slow=tmp_path / "b.npy")
    stemscale.process(tmp_path / "s.zarr", filter="none")
    for kind in ("hspy", "tif"):
        stemscale.export(tmp_path / "s.zarr", tmp_path / f"o.{kind}", filtered="none")
        (found,) = open_series([tmp_path / f"o.{kind}"])
        assert found.per_frame == {}


def edit_hspy(path):
    with h5py.File(path, "r+") as file:
        (experiment,) = file["Experiments"].values()
        for axis, factor in (("axis-0", 3), ("axis-1", 2), ("axis-2", 2)):
            experiment[axis].attrs["scale"] *= factor
        data = experiment["data"][::3]
        del experiment["data"]
        experiment.create_dataset("data", data=data, chunks=True)
        experiment["axis-0"].attrs["size"] = len(data)


def edit_tiff(path):
    with tifffile.TiffFile(path) as file:
        frames, words, pages = file.asarray(), dict(file.imagej_metadata), file.pages
        (per_px, _) = pages.first.resolution
    words = {k: words[k] for k in ("unit", "Info", "Labels")} | {
        "axes": "TYX",
        "finterval": words["finterval"] * 3,
    }
    words["Labels"] = words["Labels"][::3]
    resolution = (per_px / 2, per_px / 2)
    tifffile.imwrite(path, frames[::3], imagej=True, resolution=resolution, metadata=words)


@pytest.mark.parametrize(("kind", "edit"), [("hspy", edit_hspy), ("tif", edit_tiff)])
def test_what_another_program_did_to_the_axes_since_counts(tmp_path, kind, edit):
    path = tmp_path / f"out.{kind}"
    np.save(tmp_path / "a.npy", ramp_frames(7))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy", rapid_settings=EVERYTHING)
    stemscale.export(tmp_path / "s.zarr", path)
    edit(path)
    (found,) = open_series([path])
    assert found.settings.pixel_size_nm == pytest.approx(2 / 3, rel=1e-6)
    assert found.settings.frame_time_s == pytest.approx(3 * 0.0417)
    assert found.settings.detector == EVERYTHING["detector"]
    if kind == "tif":  # ImageJ keeps the label of each frame with it
        np.testing.assert_allclose(found.per_frame["time"].values, [0, 3 * 0.0417, 6 * 0.0417])
    else:
        assert "time" not in found.per_frame


def test_settings_are_found_where_hyperspy_keeps_them_if_the_original_metadata_are_lost():
    scan = {"dwell_time": 1e-7, "flyback_time": 6e-5, "frame_time": 0.04, "detector": "BF"}
    tem = {"beam_energy": 200.0, "Scan": scan}
    assert settings_from_tags({"Acquisition_instrument": {"TEM": tem}}) == {
        "dwell_time_ns": pytest.approx(100),
        "flyback_time_us": pytest.approx(60),
        "frame_time_s": 0.04,
        "high_tension_kv": 200.0,
        "detector": "BF",
    }


@pytest.mark.parametrize("value", ["-5", "many", "inf", ""])
def test_an_export_that_was_changed_by_hand_is_read_or_refused(tmp_path, value):
    info = f"exported_by=stemscale 0\ndwell_time_ns={value}\ndetector=BF"
    path = tmp_path / "a.tif"
    words = {"axes": "TYX", "Info": info, "Labels": ["time=x s", "", "; ="]}
    tifffile.imwrite(path, ramp_frames(3), imagej=True, metadata=words)
    try:
        (found,) = open_series([path])
    except (InputFileError, stemscale.errors.SettingsError):
        assert value in ("-5", "inf")
    else:
        assert (found.settings.dwell_time_ns, found.settings.detector) == (None, "BF")
