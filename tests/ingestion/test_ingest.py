import importlib
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr
from builders import DATA, ramp_frames, write_image, write_stack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import stemscale
from stemscale.errors import InputFileError, SeriesError, SettingsError, StoreConflictError
from stemscale.ingestion import read_manifest
from stemscale.store import AcquisitionStore, find_damage, ledger_root


def snapshot(folder):
    """Every file below a folder, with its content."""
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def frames_of(store, fov):
    with xr.open_zarr(store, group=f"{fov}/rapid") as opened:
        return opened["frames"].values


REAL = [
    ("rapid_scan_pair_512.mrc", "mrc", {}, (2, 512, 512), 0.788),
    ("03_Scanning Preview.emi", "tia", {}, (5, 128, 128), 0.3843524875139251),
    ("03_Scanning Preview_1.ser", "tia", {}, (5, 128, 128), 0.3843524875139251),
    (
        "velox_haadf_stack_10f.emd",
        "emd",
        {"select_type": "images", "load_SI_image_stack": True},
        (10, 50, 10),
        1.2340096287454219,
    ),
    ("EMDReader_Image_FEI.emd", "emd", {"select_type": "images"}, (1, 512, 512), 5.3024148),
    (
        "fei_example_tem_stack.emd",
        "emd",
        {"select_type": "images"},
        (2, 3, 3),
        8.172883192297851e-3,
    ),
    ("JEOL HAADF Image.dm4", "digitalmicrograph", {}, (1, 112, 112), 1.2490135850384831),
    ("Ti_dislocation_line_17f_crop.tif", "tiff", {}, (17, 256, 256), None),
]


@pytest.mark.parametrize(("file", "plugin", "options", "shape", "pixel_nm"), REAL)
def test_real_files_are_stored_bit_for_bit_with_their_pixel_size(
    tmp_path, file, plugin, options, shape, pixel_nm
):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, DATA / file, fov="real")
    reader = importlib.import_module(f"rsciio.{plugin}").file_reader
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(reader(str(DATA / file), **options)[0]["data"])
    stored = frames_of(store, "real")
    assert stored.shape == shape
    assert stored.dtype == expected.dtype
    np.testing.assert_array_equal(stored, expected.reshape(shape))
    found = AcquisitionStore(store).settings("real/rapid").pixel_size_nm
    assert found == (None if pixel_nm is None else pytest.approx(pixel_nm, rel=1e-6))


@pytest.mark.parametrize(
    ("file", "dwell_time_ns", "frame_time_s"),
    [
        ("rapid_scan_pair_512.mrc", 499.7, 0.131),
        ("03_Scanning Preview.emi", 12_000, 0.23593),
        ("velox_haadf_stack_10f.emd", 1_280_000, 0.768),
    ],
)
def test_scan_settings_come_from_each_formats_own_tags(tmp_path, file, dwell_time_ns, frame_time_s):
    stemscale.ingest(tmp_path / "s.zarr", DATA / file, fov="real")
    found = AcquisitionStore(tmp_path / "s.zarr").settings("real/rapid")
    assert found.dwell_time_ns == pytest.approx(dwell_time_ns, rel=1e-3)
    assert found.frame_time_s == pytest.approx(frame_time_s, rel=1e-6)


def test_stage_and_tilt_of_each_frame_come_from_the_mdoc(tmp_path):
    stemscale.ingest(tmp_path / "s.zarr", DATA / "rapid_scan_pair_512.mrc", fov="real")
    with xr.open_zarr(tmp_path / "s.zarr", group="real/rapid") as opened:
        np.testing.assert_allclose(opened["stage_x"], [-15990, -16009.5])
        assert opened["stage_x"].attrs["units"] == "nm"


def test_a_series_with_a_slow_scan_and_a_table_of_frames_is_whole_in_plain_xarray(tmp_path):
    """Rows D1, D2, D6."""
    frames = ramp_frames()
    rapid = write_stack(tmp_path / "a_rapid.tif", frames, dwell_time_ns=100, flyback_time_us=25)
    slow = write_image(tmp_path / "a_slow.tif", frames[0], dwell_time_ns=5000)
    table = tmp_path / "frames.csv"
    rows = ["frame,time_s,temperature_C", *(f"{i},{i * 0.1},{90 + i}" for i in range(5))]
    table.write_text("\n".join(rows))
    store = tmp_path / "s.zarr"
    done = stemscale.ingest(
        store, rapid, slow=slow, slow_is="after", frame_metadata=table, use="test"
    )
    assert [d.fov for d in done] == ["a"]
    with xr.open_datatree(store, engine="zarr") as tree:
        assert tree["a"].attrs["use"] == "test"
        opened = tree["a/rapid"]
        np.testing.assert_allclose(opened["temperature"], 90 + np.arange(5))
        np.testing.assert_allclose(opened["time"], 0.1 * np.arange(5))
        assert opened["temperature"].attrs["units"] == "degC"
        assert opened.attrs["dwell_time_ns"] == 100
        slow_group = tree["a/slow"]
        assert slow_group.attrs["relation"] == "after"
        assert slow_group.attrs["dwell_time_ns"] == 5000
        np.testing.assert_array_equal(slow_group["image"], frames[0])
        assert "ingest a from a_rapid.tif" in tree.attrs["history"]


def test_several_files_make_one_series_in_their_order(tmp_path):
    frames = ramp_frames(6)
    files = [
        write_stack(tmp_path / f"part{i}.tif", part) for i, part in enumerate(np.split(frames, 3))
    ]
    stemscale.ingest(tmp_path / "s.zarr", files, fov="whole")
    np.testing.assert_array_equal(frames_of(tmp_path / "s.zarr", "whole"), frames)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", ">u2", ">f4"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.tuples(st.integers(2, 7), st.integers(5, 9), st.integers(5, 12)),
            elements=st.integers(0, 100) if "f" not in dtype else st.floats(-10, 10, width=32),
        )
    )
)
def test_frames_of_any_shape_and_dtype_read_back_equal(tmp_path_factory, frames):
    folder = tmp_path_factory.mktemp("any")
    file = folder / "a.tif"
    order = frames.dtype.byteorder.replace("=", "<").replace("|", "<")
    tifffile.imwrite(file, frames, byteorder=order, photometric="minisblack")
    stemscale.ingest(folder / "s.zarr", file)
    stored = frames_of(folder / "s.zarr", "a")
    np.testing.assert_array_equal(stored, frames)
    assert stored.dtype == frames.dtype.newbyteorder("=")


def test_the_same_files_again_are_recognised_and_change_nothing(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames())
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, rapid)
    before = snapshot(store)
    assert [d.skipped for d in stemscale.ingest(store, rapid)] == [True]
    assert snapshot(store) == before


def cut(shard):
    shard.write_bytes(shard.read_bytes()[:-1])


def flip(shard):
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
@pytest.mark.parametrize("with_ledger", [True, False])
def test_the_same_files_again_mend_what_is_damaged_and_leave_the_rest(tmp_path, harm, with_ledger):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(6))
    slow = write_stack(tmp_path / "slow.tif", ramp_frames(1))
    store = tmp_path / "s.zarr"
    options = {"slow": slow, "use": "train", "block": 2}
    stemscale.ingest(store, rapid, **options)
    opened = AcquisitionStore(store)
    image = store / "a/slow/image/c/0/0"
    before = [opened.frames("a/rapid").shard(i).read_bytes() for i in range(3)]
    scanned, attrs = image.read_bytes(), (opened.attrs("a"), opened.attrs("a/rapid"))
    if not with_ledger:
        shutil.rmtree(ledger_root(store))
    harm(opened.frames("a/rapid").shard(1))
    harm(image)
    kept = opened.frames("a/rapid").shard(0).stat().st_mtime_ns

    (done,) = stemscale.ingest(store, rapid, slow=slow)

    assert (done.skipped, done.mended, done.n_frames) == (False, 2, 6)
    opened = AcquisitionStore(store)
    assert [opened.frames("a/rapid").shard(i).read_bytes() for i in range(3)] == before
    assert image.read_bytes() == scanned
    assert (opened.attrs("a"), opened.attrs("a/rapid")) == attrs
    assert opened.frames("a/rapid").shard(0).stat().st_mtime_ns == kept
    assert stemscale.verify(store).damage == []
    assert [d.skipped for d in stemscale.ingest(store, rapid, slow=slow)] == [True]


def test_other_frames_under_a_used_name_are_refused(tmp_path):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write_stack(tmp_path / "a.tif", ramp_frames()), fov="fov1")
    before = snapshot(store)
    other = write_stack(tmp_path / "b.tif", ramp_frames() + np.uint16(1))
    with pytest.raises(StoreConflictError, match=r"FOV fov1 already.*--fov"):
        stemscale.ingest(store, other, fov="fov1")
    assert snapshot(store) == before


def test_an_ingest_that_was_cut_short_goes_on_where_it_was(tmp_path):
    frames = ramp_frames(6)
    rapid = write_stack(tmp_path / "a.tif", frames)
    store = tmp_path / "s.zarr"

    def die(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stemscale.ingest(store, rapid, block=2, listener=die)
    first = AcquisitionStore(store).frames("a/rapid").shard(0)
    written = first.stat().st_mtime_ns
    stemscale.ingest(store, rapid)
    assert first.stat().st_mtime_ns == written
    np.testing.assert_array_equal(frames_of(store, "a"), frames)
    assert not any(find_damage(AcquisitionStore(store), "a/rapid"))


def bad_input(folder):
    """Files that must be refused, each with what the message must say."""
    good = write_stack(folder / "good.tif", ramp_frames())
    truncated = folder / "truncated.tif"
    truncated.write_bytes(good.read_bytes()[:1500])
    stump = folder / "stump.tif"
    stump.write_bytes(good.read_bytes()[:20])
    cut_mrc = folder / "cut.mrc"
    cut_mrc.write_bytes((DATA / "rapid_scan_pair_512.mrc").read_bytes()[:300_000])
    cut_emd = folder / "cut.emd"
    cut_emd.write_bytes((DATA / "EMDReader_Image_FEI.emd").read_bytes()[:300_000])
    colour = folder / "colour.tif"
    tifffile.imwrite(colour, np.zeros((8, 8, 3), "uint8"), photometric="rgb")
    holes = ramp_frames(4, dtype="float32")
    holes[2, 1, 1] = np.nan
    with_nan = folder / "with_nan.tif"
    tifffile.imwrite(with_nan, holes, photometric="minisblack")
    complex_one = folder / "complex.tif"
    tifffile.imwrite(complex_one, np.ones((8, 8), "complex64"), photometric="minisblack")
    text = folder / "notes.txt"
    text.write_text("not an image")
    return {
        "missing": (folder / "nowhere.tif", "does not exist"),
        "truncated tif": (truncated, "truncated"),
        "stump of a tif": (stump, "cannot be read as a TIFF"),
        "truncated mrc": (cut_mrc, "cannot be read"),
        "truncated emd": (cut_emd, "cannot be read"),
        "colour": (colour, "colour image"),
        "NaN": (with_nan, "frame 2 has 1 pixels that are NaN"),
        "complex": (complex_one, "complex64"),
        "no image": (text, "has no reader"),
    }


BAD = [
    "missing",
    "truncated tif",
    "stump of a tif",
    "truncated mrc",
    "truncated emd",
    "colour",
    "NaN",
    "complex",
    "no image",
]


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("new", [True, False], ids=["new store", "old store"])
def test_bad_files_are_refused_by_name_and_the_store_stays_as_it_was(tmp_path, case, new):
    file, message = bad_input(tmp_path)[case]
    store = tmp_path / "s.zarr"
    if not new:
        stemscale.ingest(store, write_stack(tmp_path / "first.tif", ramp_frames()))
    before = snapshot(tmp_path)
    with pytest.raises((InputFileError, SeriesError), match=message) as caught:
        stemscale.ingest(store, file)
    assert file.name in str(caught.value)
    assert snapshot(tmp_path) == before
    assert store.exists() is not new


def test_a_slow_scan_of_another_view_is_refused(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames())
    slow = write_image(tmp_path / "slow.tif", ramp_frames()[0], pixel_size_nm=3.0)
    with pytest.raises(SeriesError, match=r"slow\.tif: the slow scan shows 36 nm along y"):
        stemscale.ingest(tmp_path / "s.zarr", rapid, slow=slow)
    assert not (tmp_path / "s.zarr").exists()


def test_a_slow_scan_is_one_image(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames())
    with pytest.raises(InputFileError, match=r"a\.tif holds 5 images, but a slow scan is one"):
        stemscale.ingest(tmp_path / "s.zarr", rapid, slow=rapid)


def test_several_detectors_in_one_file_must_be_chosen_from(tmp_path):
    with pytest.raises(InputFileError, match=r"has no signal named 'BF'.*HAADF"):
        stemscale.ingest(tmp_path / "s.zarr", DATA / "velox_haadf_stack_10f.emd", detector="BF")


def manifest(folder, text, name="fovs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_manifest_is_ingested_whole_with_use_and_relation(tmp_path):
    frames = ramp_frames()
    write_stack(tmp_path / "a.tif", frames)
    write_stack(tmp_path / "b.tif", frames + np.uint16(1))
    write_image(tmp_path / "slow.tif", frames[0])
    listed = manifest(tmp_path, "fov,rapid,slow,use\none,a.tif,slow.tif,train\ntwo,b.tif,,test\n")
    done = stemscale.ingest(tmp_path / "s.zarr", manifest=listed)
    assert [(d.fov, d.slow) for d in done] == [("one", True), ("two", False)]
    store = AcquisitionStore(tmp_path / "s.zarr")
    assert [store.attrs(f)["use"] for f in store.fovs()] == ["train", "test"]


def test_one_bad_fov_takes_back_the_whole_manifest(tmp_path):
    write_stack(tmp_path / "a.tif", ramp_frames())
    bad = ramp_frames(4, dtype="float32")
    bad[3, 0, 0] = np.inf
    tifffile.imwrite(tmp_path / "b.tif", bad, photometric="minisblack")
    listed = manifest(tmp_path, "fov,rapid\none,a.tif\ntwo,b.tif\n")
    with pytest.raises(SeriesError, match=r"b\.tif: frame 3"):
        stemscale.ingest(tmp_path / "s.zarr", manifest=listed)
    assert not (tmp_path / "s.zarr").exists()
    assert not (tmp_path / "s.zarr.stemscale").exists()


@pytest.mark.parametrize("planned", ["one", "one and two"])
def test_a_bad_fov_takes_nothing_of_what_another_ingest_wrote_meanwhile(tmp_path, planned):
    bad = ramp_frames(60, dtype="float32")
    bad[59, 0, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", bad, photometric="minisblack")
    write_stack(tmp_path / "b.tif", ramp_frames())
    lines = "fov,rapid\none,a.tif\n" + ("two,b.tif\n" if "two" in planned else "")
    store = tmp_path / "s.zarr"

    def another(progress):
        if progress.fov == "one" and not AcquisitionStore(store).has("two"):
            stemscale.ingest(store, tmp_path / "b.tif", fov="two")

    with pytest.raises(SeriesError, match=r"a\.tif: frame 59"):
        stemscale.ingest(store, manifest=manifest(tmp_path, lines), block=2, listener=another)
    assert AcquisitionStore(store).fovs() == ["two"]
    np.testing.assert_array_equal(
        AcquisitionStore(store).frames("two/rapid").read(0, 5), ramp_frames()
    )
    assert stemscale.verify(store).damage == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fov,rapid\n", "is empty"),
        ("fov,slow\na,b\n", "missing: rapid"),
        ("fov,rapid,colour\na,b,c\n", "unknown: colour"),
        ("fov,rapid,use\na,b,maybe\n", "use is 'maybe'"),
        ("fov,rapid,slow_is\na,b,before\n", "slow_is is 'before'"),
        ("fov,rapid\na,x.tif\na,y.tif\n", "names FOV a more than once"),
        ("fov,rapid\na,../x.tif\n", "leads out of the manifest's folder"),
        ("fov,rapid\na,/etc/passwd\n", "leads out of the manifest's folder"),
        ("fov,rapid\na\n", "not as many fields"),
    ],
)
def test_bad_manifests_are_refused_with_file_and_reason(tmp_path, text, message):
    with pytest.raises(InputFileError, match=message) as caught:
        read_manifest(manifest(tmp_path, text))
    assert "fovs.csv" in str(caught.value)


def test_a_manifest_and_files_at_once_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="either --manifest, or RAPID"):
        stemscale.ingest(tmp_path / "s.zarr", "a.tif", manifest="fovs.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,time_s\n0,0\n1,1\n", "2 values"),
        ("frame,time_s\n0,0\n0,1\n2,2\n3,3\n4,4\n", "each frame from 0 to 4 once"),
        ("frame,time_s\n" + "".join(f"{i},hot\n" for i in range(5)), "is no number"),
    ],
)
def test_tables_that_do_not_fit_the_frames_are_refused(tmp_path, text, message):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames())
    table = manifest(tmp_path, text, "frames.csv")
    with pytest.raises((InputFileError, SeriesError), match=message):
        stemscale.ingest(tmp_path / "s.zarr", rapid, frame_metadata=table)
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize(
    "text",
    [
        "frame,time_s,temperature_C\n0,0,20.5\n1,0.25,-3\n",
        "frame;time_s;temperature_C\n0;0;20,5\n1;0,25;-3\n",
        "time_s\ttemperature_C\n0\t20.5\n0.25\t-3\n",
    ],
)
def test_tables_come_with_commas_semicolons_or_tabs(tmp_path, text):
    table = tmp_path / "frames.csv"
    table.write_text(text, encoding="utf-8-sig")
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(2))
    stemscale.ingest(tmp_path / "s.zarr", rapid, frame_metadata=table)
    with xr.open_zarr(tmp_path / "s.zarr", group="a/rapid", decode_timedelta=False) as opened:
        assert opened["time"].values.tolist() == [0, 0.25]
        assert opened["temperature"].values.tolist() == [20.5, -3]


def test_rows_of_a_table_may_come_in_any_order(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(3))
    table = manifest(tmp_path, "frame,temperature_C\n2,92\n0,90\n1,91\n", "frames.csv")
    stemscale.ingest(tmp_path / "s.zarr", rapid, frame_metadata=table)
    with xr.open_zarr(tmp_path / "s.zarr", group="a/rapid") as opened:
        np.testing.assert_allclose(opened["temperature"], [90, 91, 92])
