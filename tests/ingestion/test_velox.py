import contextlib
import json
import pickle
import warnings

import h5py
import numpy as np
import pytest
import xarray as xr
from builders import DATA, ramp_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rsciio.emd import file_reader
from velox_files import BEGAN_US, velox_page, write_velox

import stemscale
from stemscale.errors import InputFileError, StemscaleError
from stemscale.ingestion.hdf5_check import check_hdf5
from stemscale.ingestion.velox import is_velox, signals
from stemscale.store import AcquisitionStore


def from_rosetta(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = file_reader(str(path), select_type="images", **options)
    return {s["metadata"]["General"]["title"]: s for s in found}


def one(path):
    (found,) = signals(path)
    return found


def test_both_frames_of_a_real_stack_keep_their_own_timestamps(tmp_path):
    stemscale.ingest(tmp_path / "s.zarr", DATA / "fei_example_tem_stack.emd", fov="tem")
    with xr.open_zarr(tmp_path / "s.zarr", group="tem/rapid") as opened:
        in_us = opened["timestamp"].values.astype("datetime64[us]").astype(np.int64)
        np.testing.assert_array_equal(in_us, [1575540226238991, 1575540227038967])
        np.testing.assert_allclose(opened["time"], [0, 0.799976], atol=1e-9)
        np.testing.assert_array_equal(opened["frame_id"], [0, 1])
        assert opened.attrs["start_time"] == "2019-12-05T10:03:46.238991Z"


def test_what_varies_in_a_real_stem_stack_becomes_coordinates_and_the_rest_settings(tmp_path):
    stemscale.ingest(tmp_path / "s.zarr", DATA / "velox_haadf_stack_10f.emd", fov="stem")
    with xr.open_zarr(tmp_path / "s.zarr", group="stem/rapid") as opened:
        assert opened["stage_x"].values[:2] == pytest.approx([202502.10288, 202500.58752])
        assert opened["stage_x"].attrs["units"] == "nm"
        assert opened["beam_current"].values[0] == pytest.approx(0.72790837815)
        assert opened["live_time_super_xg21"].attrs["units"] == "s"
        assert opened["input_count_rate_super_xg21"].values[2] == 1960
        assert "stage_z" not in opened
        assert opened.attrs["high_tension_kv"] == 200
        assert opened.attrs["dwell_time_ns"] == pytest.approx(1.28e6)
        assert opened.attrs["flyback_time_us"] == pytest.approx(2560)
        assert opened.attrs["instrument"] == "Talos"
        assert opened.attrs["original_metadata"]["Optics"]["SpotIndex"]


def test_frames_are_those_that_rosettasciio_gives():
    source = one(DATA / "velox_haadf_stack_10f.emd")
    expected = from_rosetta(DATA / "velox_haadf_stack_10f.emd", load_SI_image_stack=True)
    np.testing.assert_array_equal(source.read(0, 10), expected["HAADF"]["data"])
    np.testing.assert_array_equal(source.read(3, 5), expected["HAADF"]["data"][3:5])


@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (4, 8, 2)},
        {"chunks": False},
        {"compression": "gzip"},
        {"shuffle": True, "compression": "lzf"},
    ],
    ids=["one raw chunk a frame", "odd chunks", "contiguous", "gzip", "shuffle and lzf"],
)
def test_frames_are_equal_however_the_file_keeps_them(tmp_path, storage):
    frames = ramp_frames(7, 12, 16)
    source = one(write_velox(tmp_path / "a.emd", {"HAADF": frames}, **storage))
    np.testing.assert_array_equal(source.read(2, 6), frames[2:6])


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    frames=st.sampled_from(["u1", "u2", "i2", "i4", "f4", ">u2", ">i4", ">f4"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5),
            elements=st.integers(0, 100) if "f" not in dtype else st.floats(-9, 9, width=32),
        )
    )
)
def test_any_shape_and_dtype_reads_back_equal(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("any") / "a.emd"
    source = one(write_velox(path, {"HAADF": frames}))
    found = source.read(0, len(frames))
    assert found.dtype == frames.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, frames)


def test_a_source_travels_as_a_path(tmp_path):
    frames = ramp_frames(5)
    source = one(write_velox(tmp_path / "a.emd", {"HAADF": frames}))
    source.read(0, 1)
    packed = pickle.dumps(source)
    assert len(packed) < frames.nbytes + 20_000
    np.testing.assert_array_equal(pickle.loads(packed).read(1, 4), frames[1:4])


def test_each_detector_has_its_name_and_its_own_frames(tmp_path):
    frames = ramp_frames(3)
    path = write_velox(tmp_path / "a.emd", {"BF": frames, "HAADF": frames + np.uint16(1)})
    found = {s.detector: s for s in signals(path)}
    assert list(found) == ["BF", "HAADF"]
    np.testing.assert_array_equal(found["HAADF"].read(0, 3), frames + 1)
    with pytest.raises(InputFileError, match=r"2 signals.*--detector NAME.*--detector all.*BF 3 x"):
        stemscale.ingest(tmp_path / "s.zarr", path)


def test_all_detectors_become_fovs_that_know_of_each_other(tmp_path):
    frames = ramp_frames(3)
    path = write_velox(tmp_path / "a.emd", {"BF": frames, "HAADF": frames + np.uint16(1)})
    done = stemscale.ingest(tmp_path / "s.zarr", path, detector="all")
    assert [d.fov for d in done] == ["a_BF", "a_HAADF"]
    store = AcquisitionStore(tmp_path / "s.zarr")
    assert store.attrs("a_BF")["scanned_together"] == ["a_BF", "a_HAADF"]
    assert store.settings("a_HAADF/rapid").detector == "HAADF"
    np.testing.assert_array_equal(store.frames("a_HAADF/rapid").read(0, 3), frames + 1)


def test_the_slow_scan_of_each_detector_goes_to_its_fov(tmp_path):
    frames = ramp_frames(3)
    path = write_velox(tmp_path / "a.emd", {"BF": frames, "HAADF": frames + np.uint16(1)})
    slow = write_velox(tmp_path / "slow.emd", {"HAADF": frames[:1], "BF": frames[1:2]})
    stemscale.ingest(tmp_path / "s.zarr", path, slow=slow, detector="all")
    store = AcquisitionStore(tmp_path / "s.zarr")
    np.testing.assert_array_equal(store.slow_image("a_HAADF"), frames[0])
    np.testing.assert_array_equal(store.slow_image("a_BF"), frames[1])


def test_computed_images_are_named_by_how_they_were_computed():
    names = [s.detector for s in signals(DATA / "fei_example_dpc_titles.emd")]
    assert names == ["Filtered iDPC", "DF4-B", "DF4-D", "DF4-A", "DF4-C", "B-D", "iDPC", "A-C"]


@pytest.mark.parametrize(
    "file",
    [
        "EMDReader_Image_FEI.emd",
        "fei_example_dpc_titles.emd",
        "fei_example_tem_stack.emd",
        "velox_haadf_stack_10f.emd",
    ],
)
def test_every_name_belongs_to_the_pixels_that_have_it_in_rosettasciio(file):
    expected = {
        name: signal["data"]
        for name, signal in from_rosetta(DATA / file).items()
        if signal["data"].dtype.kind != "c"
    }
    found = {s.detector: s.read(0, s.n_frames) for s in signals(DATA / file)}
    assert found.keys() == expected.keys()
    for name, frames in found.items():
        assert frames.dtype == expected[name].dtype
        np.testing.assert_array_equal(frames.reshape(expected[name].shape), expected[name])


def write_operations(path, operations):
    """Say how images were computed: (kind, key of the image, entries)."""
    with h5py.File(path, "a") as file:
        for number, (kind, key, entries) in enumerate(operations):
            about = {"dataPath": f"/Data/Image/{key:032x}"} | entries
            file[f"Operations/{kind}Operation/{number:032x}"] = np.array(
                [json.dumps(about)], dtype="S"
            )


@pytest.mark.parametrize(
    ("kind", "entries", "name"),
    [
        ("SurfaceReconstruction", {"integrationMode": "true", "enableFilter": "false"}, "iDPC"),
        ("SurfaceReconstruction", {"integrationMode": "false", "enableFilter": "false"}, "dDPC"),
        (
            "SurfaceReconstruction",
            {"integrationMode": "false", "enableFilter": "true"},
            "Filtered dDPC",
        ),
        ("Integration", {}, "DCFI"),
        (
            "Mathematics",
            {"outputs": [{"operation": "/Operations/DpcOperation/1", "inputIndex": "0"}]},
            "A-C",
        ),
        (
            "Mathematics",
            {"outputs": [{"operation": "/Operations/DisplayLevelsOperation/1", "inputIndex": "0"}]},
            "shown",
        ),
        ("StemInput", {"detector": "BF"}, "shown"),
        ("Mathematics", {"outputs": [7], "dataPath": None}, "shown"),
    ],
    ids=[
        "unfiltered iDPC",
        "dDPC",
        "filtered dDPC",
        "DCFI",
        "segments for DPC",
        "a calculation of one's own",
        "a plain detector keeps its label",
        "nonsense",
    ],
)
def test_an_operation_names_what_it_computes(tmp_path, kind, entries, name):
    path = write_velox(tmp_path / "a.emd", {"shown": ramp_frames(1)})
    write_operations(path, [(kind, 0, entries)])
    assert one(path).detector == name


@pytest.mark.parametrize(
    ("kind", "entry"), [("StemInput", "detector"), ("CameraInput", "cameraName")]
)
def test_an_image_that_is_not_shown_has_the_name_of_what_recorded_it(tmp_path, kind, entry):
    path = write_velox(tmp_path / "a.emd", {"shown": ramp_frames(1)})
    write_operations(path, [(kind, 0, {entry: "DF4-A"})])
    with h5py.File(path, "a") as file:
        del file["Presentation"]
    assert one(path).detector == "DF4-A"


def test_images_of_one_name_are_numbered(tmp_path):
    path = write_velox(tmp_path / "a.emd", {"BF": ramp_frames(1), "HAADF": ramp_frames(1)})
    write_operations(path, [("Integration", 0, {}), ("Integration", 1, {})])
    assert [s.detector for s in signals(path)] == ["DCFI", "DCFI-2"]


def test_labels_are_found_where_velox_11_keeps_them():
    found = {s.detector: s.n_frames for s in signals(DATA / "velox_v11_si_images.emd")}
    assert found == {"C": 1, "HAADF": 2, "O": 1, "Ca": 1, "Cu": 1}


def column(tmp_path, pages, name):
    frames = ramp_frames(len(pages))
    path = write_velox(tmp_path / "a.emd", {"HAADF": frames}, pages={"HAADF": pages})
    return one(path).per_frame.get(name)


def test_words_that_vary_are_kept_as_codes_with_their_meanings(tmp_path):
    pages = [
        velox_page(i, Vacuum={"VacuumMode": w}) for i, w in enumerate(["Ready", "Off µ", "Ready"])
    ]
    found = column(tmp_path, pages, "vacuum_vacuum_mode")
    assert found.words == ("Ready", "Off_µ")
    np.testing.assert_array_equal(found.values, [0, 1, 0])


def test_a_frame_without_metadata_has_missing_values_and_its_pixels(tmp_path):
    pages = [velox_page(0), b"{ broken", velox_page(2), b""]
    found = column(tmp_path, pages, "stage_x")
    np.testing.assert_allclose(found.values, [1000, np.nan, 1002, np.nan])
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.emd")
    with xr.open_zarr(tmp_path / "s.zarr", group="a/rapid") as opened:
        assert np.isnat(opened["timestamp"].values).tolist() == [False, True, False, True]
        np.testing.assert_array_equal(opened["frames"], ramp_frames(4))


def test_metadata_that_begin_late_or_end_early_are_missing_there(tmp_path):
    found = column(tmp_path, [b"", velox_page(1), velox_page(2)], "stage_x")
    np.testing.assert_allclose(found.values, [np.nan, 1001, 1002])
    frames = ramp_frames(4)
    path = write_velox(tmp_path / "b.emd", {"HAADF": frames}, pages={"HAADF": [velox_page(0)] * 2})
    with h5py.File(path) as file:
        assert file["Data/Image"][f"{0:032x}"]["Metadata"].shape[1] == 2
    assert np.isnan(one(path).per_frame["stage_x"].values).tolist() == [False, False, True, True]


def test_a_file_without_any_metadata_is_ingested_in_pixels(tmp_path):
    path = write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(2)}, pages={"HAADF": []})
    source = one(path)
    assert source.per_frame == {}
    assert source.settings.pixel_size_nm is None
    assert source.start_time is None


def test_zero_and_minus_zero_are_no_change(tmp_path):
    """Velox writes both."""
    pages = [velox_page(i, Tilt=w) for i, w in enumerate(["0", "-0", "0.0"])]
    assert column(tmp_path, pages, "tilt") is None


def test_strange_units_leave_the_pixel_size_unknown_and_no_square_pixels_are_refused(tmp_path):
    odd = velox_page()
    odd["BinaryResult"] |= {"PixelUnitX": "1/m", "PixelUnitY": "1/m"}
    path = write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(1)}, pages={"HAADF": [odd]})
    assert one(path).settings.pixel_size_nm is None
    oblong = velox_page()
    oblong["BinaryResult"]["PixelSize"] = {"width": "1e-9", "height": "2e-9"}
    path = write_velox(tmp_path / "b.emd", {"HAADF": ramp_frames(1)}, pages={"HAADF": [oblong]})
    with pytest.raises(InputFileError, match=r"b\.emd: pixels of 1 x 2 nm are not square"):
        signals(path)


def test_the_interval_between_frames_is_that_of_their_clock(tmp_path):
    source = one(write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(4)}))
    assert source.settings.frame_interval_s == pytest.approx(0.040001)
    assert source.start_time == BEGAN_US * 1000


def test_an_emd_of_berkeley_is_not_taken_for_one_of_velox(tmp_path):
    with h5py.File(tmp_path / "b.emd", "w") as file:
        file.attrs["version_major"] = 0
    assert not is_velox(tmp_path / "b.emd")
    assert is_velox(DATA / "fei_example_tem_stack.emd")


@settings(max_examples=60, deadline=None)
@given(
    page=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Scan",
                        "DwellTime",
                        "BinaryResult",
                        "Detector",
                        "PixelSize",
                        "width",
                        "PixelUnitX",
                        "Stage",
                        "Position",
                        "x",
                        "CustomProperties",
                        "Detectors[HAADF].TimeStamp",
                        "value",
                        "Acquisition",
                        "AcquisitionStartDatetime",
                        "DateTime",
                        "ScanSize",
                        "LineTime",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_metadata_at_all_end_in_a_series_or_in_our_own_error(tmp_path_factory, page):
    path = tmp_path_factory.mktemp("fuzz") / "a.emd"
    pages = {"HAADF": [velox_page(0), json.dumps(page).encode(), page]}
    write_velox(path, {"HAADF": ramp_frames(3)}, pages=pages)
    with contextlib.suppress(StemscaleError):
        for source in signals(path):
            assert source.read(0, 3).shape == (3, 12, 16)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_damaged_file_ends_in_a_series_or_in_our_own_error(tmp_path_factory, data):
    whole = (DATA / "fei_example_tem_stack.emd").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    harmed = bytearray(whole[: data.draw(st.sampled_from([len(whole), place]))])
    for at in data.draw(st.lists(st.integers(0, min(len(whole) - 1, 20_000)), max_size=6)):
        if at < len(harmed):
            harmed[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("harm") / "a.emd"
    path.write_bytes(harmed)
    with contextlib.suppress(StemscaleError):
        check_hdf5([path], cpu_limit_s=5)
        for source in signals(path):
            source.read(0, source.n_frames)
