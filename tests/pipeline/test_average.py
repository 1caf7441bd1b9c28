import numpy as np
import pytest
from builders import write_stack
from distortion.builders import make_series

import stemscale
from stemscale.clusters import connect
from stemscale.errors import DamagedDataError, ProcessingError, SettingsError, StoreConflictError
from stemscale.pipeline import FramesAligned
from stemscale.pipeline import average as module
from stemscale.pipeline.average import average_series, averaging
from stemscale.store import AcquisitionStore, hold_lease, ledger_root

pytestmark = pytest.mark.cluster

N = 64


@pytest.fixture
def store(tmp_path):
    """Seventy-five drifting frames in blocks of 4: two groups."""
    drift = np.cumsum(np.random.default_rng(1).normal(0.05, 0.4, (75, 2)), axis=0)
    file = write_stack(tmp_path / "in.tif", make_series(4, N, drift).astype(np.uint16))
    stemscale.ingest(tmp_path / "s.zarr", file, fov="fov01", block=4)
    return AcquisitionStore(tmp_path / "s.zarr")


@pytest.fixture
def group_by_group(monkeypatch):
    """One group a task, though its frames are small."""
    monkeypatch.setattr(module, "_TASK_PX", 1)


def test_the_result_does_not_depend_on_the_number_of_workers(store, client, group_by_group):
    """Row D3: to the last bit."""
    alone = average_series(store, "fov01")
    assert alone.n_frames == 75
    with connect("local", workers=1) as one:
        for ready in (client, one):
            found = average_series(store, "fov01", client=ready)
            np.testing.assert_array_equal(found.image, alone.image)
            np.testing.assert_array_equal(found.shifts, alone.shifts)
            np.testing.assert_array_equal(found.weights, alone.weights)


def test_groups_are_put_in_order_however_they_come(store, client, group_by_group, monkeypatch):
    alone = average_series(store, "fov01")

    def backwards(client, function, tasks, listener, **_):
        for task in reversed(tasks):
            yield task, function(task)

    monkeypatch.setattr(module, "run_blocks", backwards)
    found = average_series(store, "fov01", client=client)
    np.testing.assert_array_equal(found.image, alone.image)
    np.testing.assert_array_equal(found.shifts, alone.shifts)


def test_weights_come_through_the_workers(store, client):
    alone = average_series(store, "fov01", weighted=True)
    found = average_series(store, "fov01", weighted=True, client=client)
    assert np.ptp(alone.weights) > 0.01
    np.testing.assert_array_equal(found.weights, alone.weights)
    np.testing.assert_array_equal(found.image, alone.image)


def test_groups_of_small_frames_are_one_task_and_all_frames_are_told_of(store, client):
    events = []
    average_series(store, "fov01", client=client, listener=events.append)
    assert [(e.frames, e.done, e.total) for e in events] == [(75, 75, 75)]
    events.clear()
    average_series(store, "fov01", listener=events.append)
    assert [e.done for e in events if isinstance(e, FramesAligned)] == [32, 64, 75]


def test_nothing_is_left_beside_the_store(store, client, group_by_group):
    before = sorted(ledger_root(store.path).rglob("*.np*"))
    average_series(store, "fov01", client=client)
    assert sorted(ledger_root(store.path).rglob("*.np*")) == before
    assert not list(ledger_root(store.path).rglob("aligning"))


def test_damaged_frames_are_named_or_left_out_as_asked(store, client, group_by_group):
    shard = store.frames("fov01/rapid").shard(1)
    content = bytearray(shard.read_bytes())
    content[100] ^= 4
    shard.write_bytes(content)
    with pytest.raises(DamagedDataError):
        average_series(store, "fov01")
    with pytest.raises(ProcessingError, match="fov01: frames 0 to 31 not aligned"):
        average_series(store, "fov01", client=client)
    found = average_series(store, "fov01", client=client, skip_damaged=True)
    assert np.isnan(found.shifts[:32]).all()
    assert np.isfinite(found.shifts[32:]).all()


def test_two_runs_do_not_align_one_fov_at_once(store, client):
    lease = store.ledger("fov01/calibration").folder / "aligning" / "lease.json"
    with hold_lease(lease, what="x"), pytest.raises(StoreConflictError, match="alignment of"):
        average_series(store, "fov01", client=client)


def test_a_short_series_pays_for_no_workers(store, monkeypatch):
    with averaging(store, ["fov01"], workers=None) as client:
        assert client is None
    monkeypatch.setattr(module, "PARALLEL_PX", 75 * N * N + 1)
    with averaging(store, ["fov01"], workers=None) as client:
        assert client is None
    monkeypatch.setattr(module, "PARALLEL_PX", 75 * N * N)
    with averaging(store, ["fov01"], workers=1) as client:
        assert client is None
    with averaging(store, ["fov01"], workers=None) as client:
        assert client is not None
    with averaging(store, ["fov01"], workers=2) as client:
        assert len(client.nthreads()) == 2


def test_calibrate_refuses_no_workers(store):
    with pytest.raises(SettingsError, match="--workers is 0"):
        stemscale.calibrate(store.path, workers=0)
