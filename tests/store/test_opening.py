"""`stemscale.open`: the store as plain xarray has it, over Dask, and never in silence partial."""

import threading
import time

import cloudpickle
import numpy as np
import pytest
import xarray as xr
from builders import ramp_frames, write_image, write_stack
from growing import Grower

import stemscale
from stemscale.acquisition import ScanSettings, frame_coordinates
from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore, FrameVariable, finish_frames
from stemscale.store.ledger import BlockRecord, compaction_journal

FILTERED = "a/filtered/g"


@pytest.fixture
def store(tmp_path):
    """Two series, in blocks of 4 and of 2 frames; one with times, a slow scan and metadata."""
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(11), dwell_time_ns=100)
    slow = write_image(tmp_path / "a_slow.tif", ramp_frames(1)[0], dwell_time_ns=5000)
    stemscale.ingest(tmp_path / "s.zarr", rapid, slow=slow, fov="a", block=4)
    np.save(tmp_path / "b.npy", ramp_frames(5, dtype="float32"))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "b.npy", fov="b", block=2)
    return tmp_path / "s.zarr"


def lay_out(store, blocks, *, failed=(), finish=False, dtype="uint16"):
    """Filtered frames as a run leaves them that came so far, with an unseen column."""
    opened = AcquisitionStore(store)
    settings = ScanSettings(n_y=12, n_x=16, pixel_size_nm=2.0, dwell_time_ns=100)
    frames = opened.create_frames(
        "a",
        FILTERED,
        xr.Dataset(coords=frame_coordinates(settings, {}, 11), attrs={"state": "partial"}),
        settings,
        n_frames=11,
        dtype=np.dtype(dtype),
        with_fill=True,
        long_name="filtered",
        block=4,
    )
    ledger = opened.ledger(FILTERED)
    ledger.start({})
    pixels = ramp_frames(11, dtype=dtype)
    pixels[:, :, 0] = 0 if dtype == "uint16" else np.nan
    for index in blocks:
        start, stop = frames.bounds(index)
        written = frames.write(index, pixels[start:stop])
        ledger.commit(
            BlockRecord(
                block=index,
                start=start,
                stop=stop,
                size=written.size,
                crc32=written.crc32,
                status=[1] * (stop - start),
                scores={"psnr": [20.0 + i for i in range(start, stop)]},
            )
        )
    if finish:
        psnr = {"psnr": FrameVariable(attrs={"units": "dB", "long_name": "PSNR"})}
        records = ledger.records()
        finish_frames(opened, FILTERED, records, variables=psnr, failed_blocks=failed)
        opened.consolidate()
    return pixels


def assert_same(tree, plain):
    assert [n.path for n in tree.subtree] == [n.path for n in plain.subtree]
    for ours, theirs in zip(tree.subtree, plain.subtree, strict=True):
        assert {n: type(i) for n, i in ours.xindexes.items()} == {
            n: type(i) for n, i in theirs.xindexes.items()
        }
        xr.testing.assert_identical(
            ours.to_dataset(inherit=False), theirs.to_dataset(inherit=False)
        )


def test_it_equals_what_plain_xarray_opens(store):
    lay_out(store, [0, 1, 2], finish=True)
    plain = xr.open_datatree(store, engine="zarr")
    with stemscale.open(store) as tree:
        assert_same(tree, plain)
        frames = tree[FILTERED]["frames"]
        assert np.isnan(frames[:, :, 0]).all()
        assert frames.attrs == {"units": "counts", "long_name": "filtered"}
        assert tree[FILTERED]["frame_status"].attrs["flag_meanings"].split()[1] == "done"
        assert tree["a/rapid/time"].attrs["units"] == "s"
        assert float(tree["a/rapid"].to_dataset().sel(x=4.0, y=2.0, frame=3)["frames"]) > 0


def test_frames_come_in_the_blocks_of_their_own_group_and_are_read_when_asked_for(store):
    tree = stemscale.open(store)
    assert tree["a/rapid/frames"].chunks == ((4, 4, 3), (12,), (16,))
    assert tree["b/rapid/frames"].chunks == ((2, 2, 1), (12,), (16,))
    assert tree["a/slow/image"].chunks is None
    shard = store / "a" / "rapid" / "frames" / "c" / "1" / "0" / "0"
    shard.unlink()  # nobody reads it before it is asked for, and nobody then
    assert tree["a/rapid/frames"][:4].sum().compute() == ramp_frames(11)[:4].sum()


def test_two_opens_do_not_share_keys(store):
    first, second = (stemscale.open(store)["a/rapid/frames"].data.name for _ in range(2))
    assert first != second
    assert first.startswith("a/rapid-")


def test_a_long_series_is_one_task_a_block(tmp_path):
    np.save(tmp_path / "long.npy", np.zeros((2000, 4, 4), dtype="uint16"))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "long.npy", fov="long", block=32)
    frames = stemscale.open(tmp_path / "s.zarr")["long/rapid/frames"].data
    assert len(frames.dask) <= 63 + 1
    assert len(cloudpickle.dumps(frames)) < 20_000


def test_a_part_can_be_written_elsewhere(store, tmp_path):
    pixels = lay_out(store, [0, 1, 2], finish=True)
    tree = stemscale.open(store)
    part = tree[FILTERED].to_dataset()[["frames", "psnr"]].isel(frame=slice(3, 9), y=slice(2, 9))
    part.chunk(frame=3).to_zarr(tmp_path / "part.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "part.zarr", consolidated=False)
    expected = np.where(pixels == 0, np.nan, pixels)[3:9, 2:9]
    np.testing.assert_array_equal(back["frames"].values, expected)
    assert back["psnr"].values.tolist() == [20.0 + i for i in range(3, 9)]


def test_a_killed_run_is_refused_by_name_with_the_way_out(store):
    lay_out(store, [0, 2])
    message = (
        r"s\.zarr: a/filtered/g is partial \(4 of 11 frames are missing: 4 pending\): run the "
        r"same `stemscale process` again, or open what is there with partial=True"
    )
    with pytest.raises(StoreError, match=message):
        stemscale.open(store)


def test_given_up_frames_are_refused_with_another_way_out(store):
    lay_out(store, [0, 2], failed=[1], finish=True)
    with pytest.raises(StoreError, match=r"4 failed\): run .* again with --retry-failed"):
        stemscale.open(store)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("finish", [False, True], ids=["killed", "finished"])
def test_partial_shows_what_is_there_and_tells_what_is_not(store, dtype, finish):
    pixels = lay_out(store, [0, 2], failed=[1], finish=finish, dtype=dtype)
    series = stemscale.open(store, partial=True)[FILTERED]
    not_there = 2 if finish else 0
    assert series["frame_status"].values.tolist() == [1] * 4 + [not_there] * 4 + [1] * 3
    assert series["frame_status"].attrs["flag_meanings"] == "pending done failed damaged_input"
    frames = series["frames"]
    assert np.isnan(frames[4:8]).all()
    kept = [0, 1, 2, 3, 8, 9, 10]
    np.testing.assert_array_equal(frames[kept, :, 1:].values, pixels[kept, :, 1:])
    assert frames.attrs["units"] == "counts"
    assert frames.chunks[0] == (4, 4, 3)


def test_a_block_that_was_written_but_never_recorded_does_not_count(store):
    lay_out(store, [0, 1, 2])
    AcquisitionStore(store).ledger(FILTERED).forget(1)
    series = stemscale.open(store, partial=True)[FILTERED]
    assert np.isnan(series["frames"][4:8]).all()


def test_raw_frames_that_are_not_there_are_no_zeros(store):
    opened = AcquisitionStore(store)
    opened.ledger("a/rapid").forget(1)
    opened.frames("a/rapid").shard(1).unlink()
    opened.set_attrs("a/rapid", {"state": "partial"})
    with pytest.raises(StoreError, match=r"a/rapid is partial \(4 of 11 .* `stemscale ingest`"):
        stemscale.open(store)
    frames = stemscale.open(store, partial=True)["a/rapid/frames"]
    assert np.isnan(frames[4:8]).all()
    assert np.array_equal(frames[:4], ramp_frames(11)[:4])


def test_a_growing_store_opens_at_any_moment_without_a_warning(tmp_path):
    frames = ramp_frames(60, 24, 32)
    lengths, wrong = [], []
    stop = threading.Event()

    def look():
        while not stop.is_set():
            try:
                series = stemscale.open(tmp_path / "s.zarr", partial=True)["fov01/rapid"]
                done = series["frame_status"].values == 1
                assert np.array_equal(series["frames"][done].values, frames[: len(done)][done])
                assert np.isnan(series["frames"][~done]).all()
                lengths.append(int(done.sum()))
            except BaseException as error:
                wrong.append(error)

    with Grower(tmp_path / "s.zarr") as grower:
        with pytest.raises(StoreError, match=r"is partial \(0 frames are there so far\)"):
            stemscale.open(tmp_path / "s.zarr")
        reader = threading.Thread(target=look)
        reader.start()
        for start in range(0, 60, 5):
            grower.add(frames[start : start + 5])
        until = time.monotonic() + 20
        while not wrong and 60 not in lengths and time.monotonic() < until:
            time.sleep(0.01)
        stop.set()
        reader.join()
        grower.finish()
    assert wrong == []
    assert 60 in lengths
    assert stemscale.open(tmp_path / "s.zarr")["fov01/rapid/frames"].shape == (60, 24, 32)


def test_a_fov_that_is_being_compacted_is_refused(store):
    journal = compaction_journal(store, "b")
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text("{}")
    with pytest.raises(StoreError, match="b is being compacted"):
        stemscale.open(store, partial=True)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        stemscale.open(tmp_path / "none.zarr")


def test_an_empty_store_is_an_empty_tree(tmp_path):
    AcquisitionStore.create(tmp_path / "s.zarr")
    assert list(stemscale.open(tmp_path / "s.zarr").children) == []
