"""Exports of what is damaged, odd or in the way; stores are made by hand, without ingesting."""

import numpy as np
import pytest
import tifffile
import xarray as xr
from exporting.test_export import by_rosetta

import stemscale
from stemscale.acquisition import ScanSettings, frame_coordinates, image_coordinates
from stemscale.errors import DamagedDataError, SettingsError, StoreConflictError
from stemscale.store import AcquisitionStore, checksum, commit_block, finish_frames

KINDS = ["hspy", "zspy", "tif"]
FRAMES = (np.arange(9 * 4 * 6).reshape(9, 4, 6) % 250 + 1).astype("uint16")


def make(path, frames=FRAMES, *, attrs=None, group="a/rapid", blocks=None, **known):
    """Write frames in blocks of 4, all or the first few, and a slow scan."""
    store = AcquisitionStore.create(path)
    n, n_y, n_x = frames.shape
    settings = ScanSettings(n_x=n_x, n_y=n_y, **{"dwell_time_ns": 100.0, **known})
    array = store.create_frames(
        "a",
        group,
        xr.Dataset(coords=frame_coordinates(settings, {}, n), attrs=attrs or {}),
        settings,
        n_frames=n,
        dtype=frames.dtype,
        with_fill=group != "a/rapid",
        long_name="frames",
        block=4,
    )
    ledger = store.ledger(group)
    ledger.start({"fingerprint": "x"})
    for i in range(array.n_blocks if blocks is None else blocks):
        commit_block(array, ledger, i, frames[slice(*array.bounds(i))])
    finish_frames(store, group, ledger.records())
    if group == "a/rapid":
        slow = xr.Dataset(coords=image_coordinates(settings), attrs=settings.to_attrs())
        store.write_dataset("a/slow", slow)
        store.write_image("a/slow", "image", frames[0], {"units": "counts", "long_name": "slow"})
        crc32 = checksum(path / "a/slow/image/c/0/0")[1]
        store.set_attrs("a/slow", {"image_crc32": crc32})
    return store


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("harm", ["missing", "emptied"])
def test_a_block_that_zarr_would_read_as_zeros_is_damage(tmp_path, kind, harm):
    store = make(tmp_path / "s.zarr")
    shard = store.frames("a/rapid").shard(1)
    if harm == "missing":
        shard.unlink()
    else:
        shard.write_bytes(b"")
    with pytest.raises(DamagedDataError, match="frames 4 to 7 of a/rapid has 0 bytes"):
        stemscale.export(store.path, tmp_path / f"o.{kind}")
    assert not list(tmp_path.glob("*o.*"))


def test_a_damaged_slow_scan_is_refused(tmp_path):
    store = make(tmp_path / "s.zarr")
    (store.path / "a/slow/image/c/0/0").unlink()
    with pytest.raises(DamagedDataError, match="slow scan of a is damaged: missing"):
        stemscale.export(store.path, tmp_path / "o.tif", slow=True)


def test_half_an_ingest_is_refused_but_filtered_frames_so_far_are_counted(tmp_path):
    store = make(tmp_path / "s.zarr", blocks=2)
    with pytest.raises(DamagedDataError, match="frames 8 to 8 of a/rapid was never written"):
        stemscale.export(store.path, tmp_path / "o.tif")
    make(tmp_path / "s.zarr", group="a/filtered/net", blocks=1)
    done = stemscale.export(store.path, tmp_path / "o.tif", filtered="net")
    assert done.unwritten_frames == 5
    found = tifffile.imread(tmp_path / "o.tif")
    np.testing.assert_array_equal(found[:4], FRAMES[:4])
    assert (found[4:] == 0).all()


@pytest.mark.parametrize("shape", [(5, 1, 1), (3, 5, 1), (3, 1, 5), (2, 4, 3)])
def test_tiff_frames_of_any_shape_stay_frames(tmp_path, shape, caplog):
    frames = np.arange(np.prod(shape)).reshape(shape).astype("uint16")
    store = make(tmp_path / "s.zarr", frames)
    stemscale.export(store.path, tmp_path / "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        assert file.series[0].axes == "TYX"
        np.testing.assert_array_equal(file.asarray(), frames)
    assert not caplog.records  # tifffile only logs that a file contradicts itself


def test_pixels_that_no_tiff_reader_knows_are_refused_with_a_way_out(tmp_path):
    store = make(tmp_path / "s.zarr", FRAMES.astype("int64"))
    with pytest.raises(SettingsError, match=r"int64.*\.hspy or \.zspy"):
        stemscale.export(store.path, tmp_path / "o.tif")
    assert not list(tmp_path.glob("*o.tif"))
    stemscale.export(store.path, tmp_path / "o.hspy")
    np.testing.assert_array_equal(by_rosetta(tmp_path / "o.hspy")["data"], FRAMES)


def test_no_folder_of_something_else_is_ever_replaced(tmp_path):
    store = make(tmp_path / "s.zarr")
    for name in ("mine.tif", "mine.zspy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("mine")
        with pytest.raises(StoreConflictError, match="folder of something else"):
            stemscale.export(store.path, tmp_path / name, overwrite=True)
        assert (tmp_path / name / "notes").is_file()
    with pytest.raises(SettingsError, match="inside the store"):
        stemscale.export(store.path, store.path / "a" / "o.tif")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_there_is_kept_until_the_new_file_is_whole(tmp_path, kind):
    store = make(tmp_path / "s.zarr")
    out = tmp_path / f"o.{kind}"
    stemscale.export(store.path, out)
    again = make(tmp_path / "t.zarr", FRAMES + 1)
    stemscale.export(again.path, out, overwrite=True)
    shard = again.frames("a/rapid").shard(2)
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedDataError):
        stemscale.export(again.path, out, overwrite=True)
    found = tifffile.imread(out) if kind == "tif" else np.asarray(by_rosetta(out)["data"])
    np.testing.assert_array_equal(found, FRAMES + 1)
    assert [p.name for p in tmp_path.glob("*o.*")] == [out.name]


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_metadata_of_any_form_come_back(tmp_path, kind, caplog):
    awkward = {
        "a/b": {"c": 1},
        "": 2,
        "long": "x" * 70_000,
        "list": [{"q": None}, {"q": 1}],
        "nested": [[1, 2], [3]],
        "empty": [],
        "none": None,
        "big": 2**70,
    }
    store = make(tmp_path / "s.zarr", attrs={"original_metadata": awkward})
    stemscale.export(store.path, tmp_path / f"o.{kind}")
    assert not caplog.records  # the writer only logs what it cannot write
    found = by_rosetta(tmp_path / f"o.{kind}")
    assert found["package"] == ""  # HyperSpy would warn that a package is not installed
    back = found["original_metadata"]["microscope"]
    assert "".join(back.pop("long")) == awkward["long"]
    assert back == {
        "a-b": {"c": 1},
        "_": 2,
        "list": [{"q": None}, {"q": 1}],
        "nested": [[1, 2], [3]],
        "empty": [],
        "none": None,
        "big": str(2**70),
    }
    status = found["original_metadata"]["stemscale"]["per_frame"]["frame_status"]
    assert list(status) == ["done"] * 9


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_flags_are_told_by_the_names_of_those_that_are_set(tmp_path, kind):
    make(tmp_path / "s.zarr")
    store = make(tmp_path / "s.zarr", group="a/filtered/net")
    flags = np.array([0, 1, 2, 4, 8, 10, 15, 0, 0], dtype=np.uint8)
    names = "intensity noise lag spectrum"
    attrs = {"flag_masks": [1, 2, 4, 8], "flag_meanings": names}
    store.write_dataset(
        "a/filtered/net", xr.Dataset({"out_of_range_flag": ("frame", flags, attrs)})
    )
    stemscale.export(store.path, tmp_path / f"o.{kind}", filtered="net")
    kept = by_rosetta(tmp_path / f"o.{kind}")["original_metadata"]["stemscale"]["per_frame"]
    assert list(kept["out_of_range_flag"]) == [
        "",
        "intensity",
        "noise",
        "lag",
        "spectrum",
        "noise, spectrum",
        "intensity, noise, lag, spectrum",
        "",
        "",
    ]
    stemscale.export(store.path, tmp_path / "o.tif", filtered="net")


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_every_scan_setting_is_in_the_metadata(tmp_path, kind):
    known = {"flyback_time_us": 60.0, "frame_time_s": 0.04, "detector": "BF", "instrument": "µ"}
    store = make(tmp_path / "s.zarr", high_tension_kv=200.0, magnification=8e4, **known)
    stemscale.export(store.path, tmp_path / f"o.{kind}")
    tem = by_rosetta(tmp_path / f"o.{kind}")["metadata"]["Acquisition_instrument"]["TEM"]
    scan = {"dwell_time": 1e-7, "flyback_time": 6e-5, "frame_time": 0.04}
    assert tem["Scan"] == {"detector": "BF", **{k: pytest.approx(v) for k, v in scan.items()}}
    assert (tem["beam_energy"], tem["magnification"], tem["microscope"]) == (200, 8e4, "µ")


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_text_of_a_tiff_is_whole_and_cannot_forge_settings(tmp_path, dtype):
    store = make(tmp_path / "s.zarr", FRAMES.astype(dtype), detector="検出器\nmagnification=5")
    stemscale.export(store.path, tmp_path / "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        said = (file.imagej_metadata or {}).get("Info") or file.ome_metadata
    assert "detector=検出器 magnification=5\n" in said
    assert "\nmagnification" not in said
    assert "dwell_time_ns=100.0" in said
