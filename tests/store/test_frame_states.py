"""What became of each frame, from the group and from the records of its blocks."""

import numpy as np
import pytest
from builders import ramp_frames

import stemscale
from stemscale.store import (
    AcquisitionStore,
    BlockRecord,
    RecordReader,
    frame_states,
    recorded_scores,
)

GROUP = "a/rapid"


@pytest.fixture
def store(tmp_path):
    """Ten frames in blocks of 4, whose records are taken back."""
    np.save(tmp_path / "a.npy", ramp_frames(10))
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy", fov="a", block=4)
    opened = AcquisitionStore(tmp_path / "s.zarr")
    for block in range(3):
        opened.ledger(GROUP).forget(block)
    return opened


def record(block, start, stop, **more):
    return BlockRecord(block=block, start=start, stop=stop, size=1, crc32=1, **more)


def test_records_tell_of_a_run_that_has_not_ended(store):
    ledger = store.ledger(GROUP)
    ledger.commit(record(0, 0, 4, status=[1, 3, 1, 1]))
    ledger.commit(record(1, 4, 8))
    ledger.keep_failures({0: "made by now", 2: "no memory"})
    stored = np.array([0] * 8 + [1, 0])
    found = frame_states(store, GROUP, 10, stored=stored)
    assert found.tolist() == [1, 3, 1, 1, 1, 1, 1, 1, 1, 2]
    assert frame_states(store, GROUP, 10, stored=None, complete=True).tolist() == [1] * 10


def test_a_record_may_reach_beyond_the_length_that_was_read(store):
    records = {1: record(1, 4, 8, status=[1, 2, 1, 1], scores={"psnr": [20.0, None, 22.0, 23.0]})}
    found = frame_states(store, GROUP, 6, stored=np.array([1]), records=records)
    assert found.tolist() == [1, 0, 0, 0, 1, 2]
    scores = recorded_scores(records, "psnr", 7)
    np.testing.assert_array_equal(scores, [np.nan] * 4 + [20.0, np.nan, 22.0])
    assert recorded_scores(records, "psnr_rapid", 7) is None


def test_each_record_is_read_once_and_anew_when_it_has_changed(store, monkeypatch):
    ledger = store.ledger(GROUP)
    ledger.commit(record(0, 0, 4))
    ledger.commit(record(1, 4, 8))
    read = []
    one = ledger.record
    monkeypatch.setattr(ledger, "record", lambda block: read.append(block) or one(block))
    reader = RecordReader(ledger)
    assert set(reader.look()) == {0, 1}
    ledger.forget(1)
    ledger.commit(record(2, 8, 10))
    assert set(reader.look()) == {0, 2}
    assert read == [0, 1, 2]
