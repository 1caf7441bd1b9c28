import json
import os
import signal
import warnings

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import BLOCK, N_FRAMES, RAPID_SHAPE, scene

import stemscale
from stemscale.errors import FilterError, SeriesError, SettingsError, StoreConflictError
from stemscale.filter_card import read_card
from stemscale.pipeline import BlockDone, BlockFailed, RunStarted, plan_process
from stemscale.pipeline.pixels import store_frame
from stemscale.quality import psnr_paper
from stemscale.shipped import find_filter
from stemscale.store import AcquisitionStore, as_seen, hold_lease, ledger_root

pytestmark = pytest.mark.cluster

FRAME_S = 24 * (32 * 100e-9 + 25e-6)  # 24 lines of 32 pixels at 100 ns, and flyback


def corrected_by_hand(rapid):
    """The warp of `known_map`, worked out anew: linear, rounded, last row unseen (0)."""
    _, n_x = RAPID_SHAPE
    at = 0.9 * np.arange(n_x) + 2.0
    left = np.floor(at).astype(int)
    part = (at - left)[None, None]
    right = np.minimum(left + 1, n_x - 1)
    rapid = rapid.astype(np.float64)
    columns = rapid[..., left] * (1 - part) + rapid[..., right] * part
    rows = np.zeros_like(columns)
    rows[:, :-1] = (columns[:, :-1] + columns[:, 1:]) / 2
    return np.rint(rows).astype("uint16")


def count_blocks(events):
    return sum(isinstance(e, BlockDone) for e in events)


def test_none_writes_the_corrected_frames_and_their_psnr(calibrated, client, frames_of):
    """Row C7, Q1; the golden frames are worked out by hand."""
    events = []
    done = stemscale.process(calibrated, filter="none", client=client, listener=events.append)
    assert (done.frames, done.state, done.failed, done.clipped) == (22, "complete", {}, 0)
    assert isinstance(events[0], RunStarted)
    assert events[0].dashboard.startswith("http://127.0.0.1")
    assert count_blocks(events) == 6  # 11 frames a FOV, in blocks of 4 as they were ingested
    rapid, slow = scene(seed=1)
    stored = frames_of(calibrated, "fov01/filtered/none")
    np.testing.assert_allclose(
        stored.astype(int), corrected_by_hand(rapid).astype(int), atol=1
    )  # float32 may round the other way
    with xr.open_zarr(calibrated, group="fov01/filtered/none") as opened:
        assert np.isnan(opened["frames"].values[:, -1]).all()
        assert (opened["frame_status"] == 1).all()
        expected = [psnr_paper(as_seen(f), slow) for f in stored]
        np.testing.assert_allclose(opened["psnr"], expected, atol=1e-9)
        np.testing.assert_allclose(opened["psnr_rapid"], opened["psnr"], atol=0.02)
        assert opened["psnr"].attrs["units"] == "dB"
        np.testing.assert_allclose(opened["time"], np.arange(N_FRAMES) * FRAME_S)


def test_a_processed_store_opens_in_plain_xarray_without_a_warning(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_datatree(calibrated, engine="zarr") as tree:
            assert tree["fov02/filtered/none"].attrs["state"] == "complete"
            assert "process --filter none" in tree.attrs["history"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"filter": "none", "distortion": "none"}, "--filter none --name none --distortion none"),
        ({"filter": "none", "drift": True}, "--filter none --name none --drift"),
        ({"filter": "none", "dtype": "float32"}, "--filter none --name none --dtype float32"),
        (
            {"filter": "dcfi", "window": 3, "weighted": True},
            "--filter dcfi --name dcfi --window 3 --weighted",
        ),
    ],
)
def test_the_history_holds_the_command_that_makes_the_same_frames(calibrated, client, asked, words):
    stemscale.process(calibrated, **asked, client=client)
    assert f"process {words} on fov01 fov02" in AcquisitionStore(calibrated).attrs("")["history"]


def test_a_finished_run_is_not_done_again(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    again = stemscale.process(calibrated, filter="none", client=client)
    assert (again.frames, again.frames_skipped) == (0, 22)


def test_only_blocks_that_are_missing_are_made_again(calibrated, client, frames_of):
    stemscale.process(calibrated, filter="none", client=client)
    store = AcquisitionStore(calibrated)
    before = frames_of(calibrated, "fov01/filtered/none")
    array = store.frames("fov01/filtered/none")
    array.shard(0).unlink()
    untouched = store.frames("fov02/filtered/none").shard(0).stat().st_mtime_ns
    again = stemscale.process(calibrated, filter="none", client=client)
    assert (again.frames, again.frames_skipped) == (BLOCK, 22 - BLOCK)
    assert store.frames("fov02/filtered/none").shard(0).stat().st_mtime_ns == untouched
    np.testing.assert_array_equal(frames_of(calibrated, "fov01/filtered/none"), before)
    assert not stemscale.verify(calibrated).damage


def test_another_calibration_under_the_same_name_is_refused_or_overwritten(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    asked = {"filter": "none", "distortion": "none"}
    with pytest.raises(StoreConflictError, match=r"another distortion.*--name.*--overwrite"):
        stemscale.process(calibrated, **asked, client=client)
    stemscale.process(calibrated, **asked, name="raw", client=client)
    done = stemscale.process(calibrated, **asked, overwrite=True, client=client)
    assert done.frames == 22
    assert AcquisitionStore(calibrated).filters("fov01") == ["none", "raw"]


def test_dcfi_of_the_whole_series_is_one_frame(store, client, frames_of):
    """Row D3, F6: noise goes down by the root of the number of frames, without a calibration."""
    stemscale.process(store, filter="dcfi", client=client)
    rapid, slow = scene(seed=1)
    average = frames_of(store, "fov01/filtered/dcfi")
    assert average.shape == (1, *RAPID_SHAPE)
    inner = (slice(4, -4), slice(4, -4))
    left = (average[0].astype(float) - slow)[inner].std()
    assert left < 1.5 * 800 / np.sqrt(N_FRAMES)
    with xr.open_zarr(store, group="fov01/filtered/dcfi") as opened:
        expected = np.mean([psnr_paper(f, slow) for f in rapid])
        assert opened["psnr_rapid"].values[0] == pytest.approx(expected)
        assert opened["psnr"].values[0] > expected + 3
        assert opened["time"].values[0] == pytest.approx(5 * FRAME_S)  # the middle of 11


def test_a_rolling_dcfi_keeps_every_frame_whatever_the_blocks(store, client, frames_of):
    stemscale.process(store, filter="dcfi", window=3, name="rolling", client=client)
    rolled = frames_of(store, "fov01/filtered/rolling").astype(float)
    assert rolled.shape == (N_FRAMES, *RAPID_SHAPE)
    _, slow = scene(seed=1)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert (rolled - slow)[inner].std() < 0.75 * 800


@pytest.mark.parametrize("block", [0, 1])
def test_damaged_raw_frames_are_marked_and_never_filtered_as_if_good(calibrated, client, block):
    store = AcquisitionStore(calibrated)
    shard = store.frames("fov01/rapid").shard(block)
    content = bytearray(shard.read_bytes())
    content[100] ^= 4
    shard.write_bytes(content)
    done = stemscale.process(calibrated, filter="none", client=client)
    assert done.state == "partial"
    assert set(done.damaged) == {"fov01"}
    assert set(range(block * BLOCK, (block + 1) * BLOCK)) <= set(done.damaged["fov01"])
    with xr.open_zarr(calibrated, group="fov01/filtered/none") as opened:
        bad = opened["frame_status"].values == 3
        assert np.isnan(opened["frames"].values[bad]).all()
    with xr.open_zarr(calibrated, group="fov02/filtered/none") as opened:
        assert opened.attrs["state"] == "complete"


def test_a_second_driver_is_refused_while_the_first_lives(calibrated, client):
    lease = AcquisitionStore(calibrated).ledger("fov01/filtered/none").lease_file
    with hold_lease(lease, what="x"), pytest.raises(StoreConflictError, match="being written by"):
        stemscale.process(calibrated, filter="none", client=client)
    assert stemscale.process(calibrated, filter="none", client=client).state == "complete"


def test_a_distortion_is_carried_over_to_a_series_without_a_slow_scan(
    calibrated, client, tmp_path, frames_of
):
    """Row C7."""
    rapid, _ = scene(seed=3)
    write_stack(
        tmp_path / "in.tif", rapid, dwell_time_ns=100, flyback_time_us=25, pixel_size_nm=1.7
    )
    other = tmp_path / "other.zarr"
    stemscale.ingest(other, tmp_path / "in.tif", fov="insitu")
    stemscale.process(other, filter="none", distortion=calibrated, client=client)
    stored = frames_of(other, "insitu/filtered/none").astype(int)
    np.testing.assert_allclose(stored, corrected_by_hand(rapid).astype(int), atol=1)
    assert AcquisitionStore(other).settings("insitu/filtered/none").pixel_size_nm == 1.7
    with xr.open_zarr(other, group="insitu/filtered/none") as opened:
        assert "psnr" not in opened


def test_a_distortion_of_another_dwell_time_is_refused(calibrated, tmp_path):
    rapid, _ = scene(seed=3)
    write_stack(tmp_path / "in.tif", rapid, dwell_time_ns=200)
    stemscale.ingest(tmp_path / "other.zarr", tmp_path / "in.tif", fov="insitu")
    with pytest.raises(SeriesError, match=r"dwell time \[ns\] 200"):
        plan_process(tmp_path / "other.zarr", filter="none", distortion=calibrated)


def test_a_worker_that_dies_costs_no_frame(calibrated, frames_of):
    """Workers are killed while they work; the run still ends whole."""
    from stemscale.clusters import connect

    killed = []
    with connect("local", workers=2) as mine:
        pids = list(mine.run(os.getpid).values())

        def kill_one(event):
            if isinstance(event, RunStarted) and not killed:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

        events = []

        def listen(event):
            events.append(event)
            kill_one(event)

        done = stemscale.process(calibrated, filter="none", client=mine, listener=listen)
    assert killed
    assert done.state == "complete"
    rapid, _ = scene(seed=2)
    stored = frames_of(calibrated, "fov02/filtered/none").astype(int)
    np.testing.assert_allclose(stored, corrected_by_hand(rapid).astype(int), atol=1)
    assert not stemscale.verify(calibrated).damage


def test_a_block_that_fails_every_time_is_marked_and_all_others_finish(calibrated, client):
    """A raw shard that cannot even be opened fails its block; the other FOV is filtered."""
    store = AcquisitionStore(calibrated)
    plan = plan_process(calibrated, filter="none")
    assert plan.tasks == 6
    output = store.path / "fov01" / "filtered" / "none" / "frames" / "c"

    def block_the_way(event):
        if isinstance(event, RunStarted):
            output.write_text("in the way")  # a file where the folder of shards must be

    events = []

    def listen(event):
        events.append(event)
        block_the_way(event)

    done = stemscale.process(calibrated, filter="none", client=client, listener=listen)
    assert done.failed == {"fov01": list(range(N_FRAMES))}
    assert done.frames == N_FRAMES
    tries = [e for e in events if isinstance(e, BlockFailed) and e.block == 0]
    assert [e.given_up for e in tries] == [False, False, False, True]
    output.unlink()
    again = stemscale.process(calibrated, filter="none", retry_failed=True, client=client)
    assert (again.state, again.frames, again.frames_skipped) == ("complete", 11, 11)


def test_nothing_of_the_machine_but_the_store_path_is_in_the_ledger(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    for file in ledger_root(calibrated).rglob("*.json"):
        assert isinstance(json.loads(file.read_text()), dict)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"filter": "magic"}, "'magic' is unknown"),
        ({"filter": "none", "window": 3}, "--window 3"),
        ({"filter": "dcfi", "window": 4}, "--window 4"),
        ({"filter": "dcfi", "dtype": "float16"}, "'float16' is unknown: choose float32"),
    ],
)
def test_filters_that_cannot_be_are_refused_before_anything_is_written(store, asked, message):
    with pytest.raises((FilterError, SettingsError), match=message):
        stemscale.process(store, **asked)
    assert AcquisitionStore(store).filters("fov01") == []


def test_bm3d_without_its_package_is_refused_before_anything_is_written(store, monkeypatch):
    """Row F7."""
    monkeypatch.setattr("stemscale.pipeline.filters.find_spec", lambda name: None)
    with pytest.raises(FilterError, match="needs the package bm3d"):
        stemscale.process(store, filter="bm3d")
    assert AcquisitionStore(store).filters("fov01") == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_stored_pixels_are_rounded_clipped_and_never_the_fill_value_by_chance(dtype):
    limits = np.iinfo(dtype)
    frame = np.array([[-1e12, 0.4, 2.5, 100.6, 1e12, np.nan, np.inf]], dtype=np.float32)
    stored = np.empty(frame.shape, dtype)
    seen, clipped, masked = store_frame(frame, stored)
    low = limits.min + 1
    expected = [low, max(low, 0), 2, 101, limits.max, limits.min, limits.min]
    assert stored[0].tolist() == expected
    assert clipped == 2 + (low > 0)
    assert masked == 2
    assert np.isfinite(seen[0, :-2]).all()
    np.testing.assert_array_equal(seen, as_seen(stored))


def test_float_frames_keep_their_values():
    frame = np.array([[-1.5, np.nan]], dtype=np.float32)
    stored = np.empty_like(frame)
    seen, clipped, masked = store_frame(frame, stored)
    np.testing.assert_array_equal(stored, frame)
    np.testing.assert_array_equal(seen, frame)
    assert (clipped, masked) == (0, 1)


def test_process_filters_with_the_standard_one_where_none_is_named(store, client):
    done = stemscale.process(store, client=client)
    assert (done.name, done.state) == ("standard", "complete")
    found = AcquisitionStore(store).attrs("fov01/filtered/standard")
    assert found["filter"] == "standard"
    assert found["filter_sha256"] == read_card(find_filter("standard")).sha256


@pytest.fixture
def counted(tmp_path):
    """Twelve frames of a detector that counts: 1 to 3 electrons a pixel, brighter downwards."""
    rates = np.linspace(1, 3, 24)[:, None] + np.zeros((12, 24, 32))
    frames = np.random.default_rng(3).poisson(rates).astype("uint16")
    file = write_stack(tmp_path / "counted.tif", frames, dwell_time_ns=100)
    stemscale.ingest(tmp_path / "counted.zarr", file, fov="fov01")
    return tmp_path / "counted.zarr"


def test_few_counts_are_rounded_with_a_warning_that_names_the_way_out(counted, client):
    done = stemscale.process(counted, filter="gaussian", client=client)
    assert done.roundings["fov01"].startswith("pixels hold 0 to ")
    assert "--dtype float32" in done.roundings["fov01"]
    asked = {"filter": "gaussian", "dtype": "float32", "name": "fine"}
    assert not stemscale.process(counted, **asked, client=client).roundings


def test_fractions_of_counts_are_kept_where_asked_for(counted, client, frames_of):
    stemscale.process(counted, filter="gaussian", dtype="float32", client=client)
    found = frames_of(counted, "fov01/filtered/gaussian")
    assert found.dtype == np.float32
    rows = found.mean(axis=(0, 2))
    np.testing.assert_allclose(rows[4:-4], np.linspace(1, 3, 24)[4:-4], atol=0.25)
    assert len(np.unique(found)) > 1000
    with pytest.raises(StoreConflictError, match="overwrite"):
        stemscale.process(counted, filter="gaussian", client=client)


def test_enough_counts_are_rounded_in_silence(calibrated, client):
    assert not stemscale.process(calibrated, filter="gaussian", client=client).roundings
