import json
import shutil

import numpy as np
import pytest
import xarray as xr

from stemscale.acquisition import (
    FrameColumn,
    ScanSettings,
    frame_coordinates,
    image_coordinates,
    known_column,
)
from stemscale.errors import StoreError
from stemscale.pipeline import info
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    calibration_group,
    commit_block,
    filtered_group,
    finish_frames,
    ledger_root,
    rapid_group,
    slow_group,
)

N, BLOCK = 10, 4
NO_DATE = np.iinfo(np.int64).min
RAPID = ScanSettings(n_x=16, n_y=8, pixel_size_nm=2.1, dwell_time_ns=100, detector="HAADF")
SLOW = ScanSettings(n_x=15, n_y=8, pixel_size_nm=2.1, dwell_time_ns=5000)
COLUMNS = {
    "timestamp": known_column("timestamp", [NO_DATE, *range(10**9, N * 10**9, 10**9)]),
    "temperature": known_column("temperature", [*np.linspace(20, 100, N - 1), np.nan]),
    "beam_current": known_column("beam_current", [0.5] * N),
    "mode": FrameColumn(values=np.arange(N) // 6, words=("idle", "")),
}


def add_frames(store, fov, group, settings, *, blocks=3, **attrs):
    """Lay out 10 frames in blocks of 4, and write the first of them."""
    array = store.create_frames(
        fov,
        group,
        xr.Dataset(coords=frame_coordinates(settings, COLUMNS, N), attrs=attrs),
        settings,
        n_frames=N,
        dtype=np.dtype("uint16"),
        with_fill=True,
        long_name="frames",
        block=BLOCK,
    )
    ledger = store.ledger(group)
    ledger.start({})
    for index in range(blocks):
        start, stop = array.bounds(index)
        commit_block(array, ledger, index, np.ones((stop - start, *settings.shape), "uint16"))
    return ledger


@pytest.fixture
def store(tmp_path):
    """fov01: complete, with all that can be made of it; fov02: 2 of 3 blocks, nothing else."""
    opened = AcquisitionStore.create(tmp_path / "s.zarr")
    attrs = {
        "state": "partial",
        "source_files": ["a.emd"],
        "start_time": "2026-01-02T03:04:05.000006Z",
        "original_metadata": {"Core": {"x": 1}},
    }
    for fov, blocks in (("fov01", 3), ("fov02", 2)):
        add_frames(opened, fov, rapid_group(fov), RAPID, blocks=blocks, **attrs)
    finish_frames(opened, "fov01/rapid", opened.ledger("fov01/rapid").records(), with_status=False)
    opened.set_attrs("fov01", {"use": "training", "scanned_together": ["fov01", "fov02"]})
    attrs = {**SLOW.to_attrs(), "relation": "after", "source_files": ["slow.emd"]}
    coordinates = image_coordinates(SLOW)
    opened.write_dataset(slow_group("fov01"), xr.Dataset(coords=coordinates, attrs=attrs))
    opened.write_image(slow_group("fov01"), "image", np.ones(SLOW.shape, "uint16"), {})
    attrs = {"method": "spline", "estimated_on": "fov01", "zncc_before": 0.5, "zncc_after": 0.75}
    opened.write_dataset(calibration_group("fov01"), xr.Dataset(attrs=attrs))
    group = filtered_group("fov01", "net")
    attrs = {"filter": "net.safetensors", "filter_sha256": "ab" * 32, "distortion": "spline"}
    ledger = add_frames(opened, "fov01", group, SLOW, blocks=2, state="partial", **attrs)
    finish_frames(opened, group, ledger.records(), failed_blocks=[2])
    opened.add_history("ingest fov01")
    opened.consolidate()
    return opened.path


def test_a_fov_is_described_with_frames_sizes_and_where_it_came_from(store):
    found = info(store)["fovs"]["fov01"]
    assert (found["frames"], found["shape"], found["dtype"]) == (10, [8, 16], "uint16")
    assert found["frames_bytes_uncompressed"] == 10 * 8 * 16 * 2
    files = (f for f in (store / "fov01/rapid/frames").rglob("*") if f.is_file())
    on_disk = sum(f.stat().st_size for f in files)
    assert found["frames_bytes_on_disk"] == on_disk
    assert found["compression_ratio"] == pytest.approx(2560 / on_disk)
    assert found["files"] == ["a.emd"]
    assert found["start_time"] == "2026-01-02T03:04:05.000006Z"
    assert found["scanned_together"] == ["fov01", "fov02"]
    assert found["scan_settings"]["detector"] == "HAADF"


def test_what_was_made_of_a_fov_is_described(store):
    found = info(store)["fovs"]["fov01"]
    assert found["slow"]["relation"] == "after"
    assert found["slow"]["dwell_time_ns"] == 5000
    assert found["slow"]["files"] == ["slow.emd"]
    assert found["calibration"]["zncc_after"] == 0.75
    net = found["filtered"]["net"]
    assert net["filter_sha256"] == "ab" * 32
    assert (net["blocks_done"], net["blocks"], net["state"]) == (2, 3, "partial")
    assert (net["frames_failed"], net["frames_damaged"], net["frames_pending"]) == (2, 0, 0)


def test_the_sizes_of_all_files_add_up(store):
    found = info(store)
    assert found["bytes_on_disk"] == sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
    fovs = sum(f["bytes_on_disk"] for f in found["fovs"].values())
    assert found["bytes_on_disk"] == fovs + (store / "zarr.json").stat().st_size


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("temperature", {"kind": "number", "min": 20, "max": 100, "first": 20, "last": None}),
        ("temperature", {"units": "degC", "constant": False, "missing": 1}),
        ("beam_current", {"constant": True, "missing": 0, "min": 0.5, "max": 0.5}),
        ("timestamp", {"kind": "date", "units": "UTC", "missing": 1, "first": None}),
        ("timestamp", {"min": "1970-01-01T00:00:01.000000Z"}),
        ("timestamp", {"last": "1970-01-01T00:00:09.000000Z"}),
        ("mode", {"kind": "word", "words": {"idle": 6, "": 4}, "first": "idle", "last": ""}),
    ],
)
def test_per_frame_metadata_are_numbers_dates_or_words(store, name, wanted):
    found = info(store)["fovs"]["fov01"]["per_frame"][name]
    assert {k: found[k] for k in wanted} == wanted


def test_a_partial_series_says_how_many_blocks_are_there_and_its_ratio_counts_those(store):
    found = info(store)["fovs"]["fov02"]
    assert (found["state"], found["blocks_done"], found["blocks"]) == ("partial", 2, 3)
    on_disk = found["frames_bytes_on_disk"]
    assert found["compression_ratio"] == pytest.approx(8 * 8 * 16 * 2 / on_disk)


def test_a_store_without_its_ledger_is_described_too(store):
    with_ledger = info(store)
    shutil.rmtree(ledger_root(store))
    without = info(store)
    assert without["fovs"]["fov01"] == with_ledger["fovs"]["fov01"]
    assert without["fovs"]["fov02"]["state"] == "partial"
    assert without["fovs"]["fov02"]["blocks_done"] is None


def test_no_pixel_is_read(store, monkeypatch):
    def refuse(*args):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(FramesArray, "read", refuse)
    wanted = info(store)
    for shard in (*store.glob("*/rapid/frames/c/*/0/0"), store / "fov01/slow/image/c/0/0"):
        shard.write_bytes(bytes(shard.stat().st_size))  # reading them would fail now
    assert info(store) == wanted


def test_only_the_fovs_asked_for_are_described(store):
    found = info(store, fovs=["fov02"])
    assert list(found["fovs"]) == ["fov02"]
    assert found["fovs_in_store"] == 2
    with pytest.raises(StoreError, match="has no FOV fov09"):
        info(store, fovs=["fov09"])


def test_the_metadata_of_the_files_are_given_on_request_only(store):
    assert "Core" not in json.dumps(info(store))
    found = info(store, metadata=True)["fovs"]["fov01"]
    assert found["original_metadata"] == {"Core": {"x": 1}}


def test_an_empty_store_has_no_fovs(tmp_path):
    AcquisitionStore.create(tmp_path / "e.zarr")
    assert info(tmp_path / "e.zarr")["fovs"] == {}
