"""What a second run of `process` makes, leaves alone and refuses."""

import shutil

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import BLOCK, N_FRAMES, scene

import stemscale
from stemscale.errors import StoreConflictError
from stemscale.pipeline import BlockDone, plan_process
from stemscale.store import AcquisitionStore, FramesArray, ledger_root

pytestmark = pytest.mark.cluster

GROUP = "fov01/filtered/none"
RAGGED = (N_FRAMES - 1) // BLOCK  # the last block, of 3 frames


@pytest.fixture
def filtered(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    return calibrated


@pytest.fixture
def made(client):
    """Run once more; give the blocks of the first FOV that were made."""

    def run(store, **asked):
        events = []
        done = stemscale.process(
            store, **{"filter": "none", **asked}, client=client, listener=events.append
        )
        assert done.state == "complete"
        assert not stemscale.verify(store).damage
        blocks = [(e.fov, e.block) for e in events if isinstance(e, BlockDone)]
        return sorted(block for fov, block in blocks if fov == "fov01")

    return run


def flip(shard):
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


DAMAGE = {
    "flip": flip,
    "truncate": lambda shard: shard.write_bytes(shard.read_bytes()[:-7]),
    "empty": lambda shard: shard.write_bytes(b""),
    "delete": lambda shard: shard.unlink(),
}


@pytest.mark.parametrize("block", [0, RAGGED])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_block_is_named_by_verify_and_made_anew_alone(
    filtered, made, frames_of, kind, block
):
    before = frames_of(filtered, GROUP)
    array = AcquisitionStore(filtered).frames(GROUP)
    DAMAGE[kind](array.shard(block))
    damage = stemscale.verify(filtered).damage
    assert [(d.group, d.start, d.stop) for d in damage] == [(GROUP, *array.bounds(block))]
    assert made(filtered) == [block]
    np.testing.assert_array_equal(frames_of(filtered, GROUP), before)


def test_a_copy_without_its_ledger_is_not_made_again(filtered, made, tmp_path, frames_of):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(filtered, copy)
    assert made(copy) == []
    flip(AcquisitionStore(copy).frames(GROUP).shard(1))
    assert made(copy) == [1]
    with xr.open_zarr(filtered, group=GROUP) as was, xr.open_zarr(copy, group=GROUP) as now:
        xr.testing.assert_equal(was.load(), now.load())
    with pytest.raises(StoreConflictError, match="another distortion"):
        plan_process(copy, filter="none", distortion="none")


def grow(store, folder, n):
    rapid, _ = scene(seed=1, n=n)
    file = write_stack(folder / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    stemscale.ingest(store, file, append=True)
    return rapid


def series_of(folder, n):
    """The same FOV, ingested at once with all its frames and filtered at once."""
    folder.mkdir()
    rapid, _ = scene(seed=1, n=n)
    file = write_stack(folder / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    stemscale.ingest(folder / "s.zarr", file, block=BLOCK)
    return folder / "s.zarr"


@pytest.mark.parametrize("asked", [{"filter": "none"}, {"filter": "dcfi", "window": 3}])
@pytest.mark.parametrize("first", [11, 12])  # ragged, and not
def test_frames_that_a_growing_series_gets_are_added(
    tmp_path, client, made, frames_of, first, asked
):
    store = series_of(tmp_path / "growing", first)
    stemscale.process(store, **asked, name="x", client=client)
    grow(store, tmp_path, 17)
    new = [2, 3, 4] if first == 11 or asked["filter"] == "dcfi" else [3, 4]
    assert made(store, **asked, name="x") == new
    assert made(store, **asked, name="x") == []
    at_once = series_of(tmp_path / "whole", 17)
    stemscale.process(at_once, **asked, name="x", client=client)
    group = "fov01/filtered/x"
    with xr.open_zarr(store, group=group) as grown, xr.open_zarr(at_once, group=group) as whole:
        xr.testing.assert_equal(grown.load(), whole.load())


def test_a_growth_that_was_cut_short_goes_on(tmp_path, client, made, monkeypatch):
    store = series_of(tmp_path / "growing", 11)
    stemscale.process(store, filter="none", client=client)
    grow(store, tmp_path, 17)
    resize = FramesArray.resize

    def fail(*_):
        raise SystemExit

    monkeypatch.setattr(FramesArray, "resize", fail)
    with pytest.raises(SystemExit):
        stemscale.process(store, filter="none", client=client)
    monkeypatch.setattr(FramesArray, "resize", resize)
    assert made(store) == [2, 3, 4]


def test_a_grown_series_is_another_one_to_its_average(tmp_path, client):
    store = series_of(tmp_path / "growing", 11)
    stemscale.process(store, filter="dcfi", client=client)
    grow(store, tmp_path, 17)
    with pytest.raises(StoreConflictError, match="was made of 11 frames, and the series has 17"):
        plan_process(store, filter="dcfi")
    assert plan_process(store, filter="dcfi", overwrite=True).tasks == 1


def test_other_raw_frames_behind_what_is_there_are_refused_or_filtered_anew(
    filtered, made, tmp_path, frames_of
):
    rapid, _ = scene(seed=7)
    file = write_stack(tmp_path / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    AcquisitionStore(filtered).delete("fov01/rapid")
    stemscale.ingest(filtered, file, block=BLOCK)
    with pytest.raises(StoreConflictError, match=r"raw frames behind 3 of its blocks, from"):
        plan_process(filtered, filter="none")
    assert made(filtered, overwrite=True) == [0, 1, 2]


def test_frames_that_were_given_up_are_left_until_asked_for(calibrated, client):
    store = AcquisitionStore(calibrated)
    output = store.path / GROUP / "frames" / "c"

    def block_the_way(event):
        if type(event).__name__ == "RunStarted":
            output.write_text("in the way")

    first = stemscale.process(calibrated, filter="none", client=client, listener=block_the_way)
    assert first.failed == {"fov01": list(range(N_FRAMES))}
    output.unlink()
    plan = plan_process(calibrated, filter="none")
    assert (plan.tasks, [s.frames_failed for s in plan.series]) == (0, [N_FRAMES, 0])
    again = stemscale.process(calibrated, filter="none", client=client)
    assert (again.state, again.failed, again.frames) == ("partial", first.failed, 0)
    assert again.reasons.keys() == {"fov01"}
    last = stemscale.process(calibrated, filter="none", retry_failed=True, client=client)
    assert (last.state, last.frames, last.failed) == ("complete", N_FRAMES, {})
    assert not list(ledger_root(calibrated).rglob("failed.json"))
