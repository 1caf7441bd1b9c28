"""Which blocks are recorded, and whether they are still as they were recorded."""

import os

import numpy as np
import pytest
import xarray as xr

from stemscale.acquisition import ScanSettings, frame_coordinates
from stemscale.errors import StoreConflictError, StoreError
from stemscale.store import (
    AcquisitionStore,
    BlockRecord,
    Ledger,
    blocks_on_disk,
    commit_block,
    is_on_disk,
)
from stemscale.store.files import checksum
from stemscale.store.ledger import compaction_journal

GROUP = "fov01/rapid"
SETTINGS = ScanSettings(n_x=6, n_y=4, pixel_size_nm=2.0, dwell_time_ns=100)


def record(block):
    return BlockRecord(block=block, start=4 * block, stop=4 * block + 4, size=9, crc32=7)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "s.zarr", GROUP)


@pytest.fixture
def array(tmp_path):
    """Ten frames in blocks of 4, none of them written."""
    return AcquisitionStore.create(tmp_path / "s.zarr").create_frames(
        "fov01",
        GROUP,
        xr.Dataset(coords=frame_coordinates(SETTINGS, {}, 10)),
        SETTINGS,
        n_frames=10,
        dtype=np.dtype("uint16"),
        with_fill=False,
        long_name="frames",
        block=4,
    )


def ones(n=4):
    return np.ones((n, 4, 6), "uint16")


def test_a_ledger_lies_beside_its_store_under_the_names_of_the_specification(tmp_path, ledger):
    beside = tmp_path / "s.zarr.stemscale"
    ledger.start({"fingerprint": "x"})
    ledger.keep_failures({2: "why"})
    ledger.commit(record(31))
    written = sorted(str(f.relative_to(beside)) for f in beside.rglob("*.json"))
    assert written == [f"{GROUP}/{n}" for n in ("blocks/00000031.json", "failed.json", "run.json")]
    assert ledger.lease_file == beside / GROUP / "lease.json"
    assert ledger.distortion_file == beside / GROUP / "distortion.npz"
    assert compaction_journal(tmp_path / "s.zarr", "fov01") == beside / "fov01" / "compact.json"


def test_what_is_being_made_may_be_said_again(ledger):
    assert ledger.run() is None
    ledger.start({"fingerprint": "x"})
    ledger.commit(record(0))
    ledger.start({"fingerprint": "y"})
    assert ledger.run() == {"fingerprint": "y"}
    assert ledger.records() == {0: record(0)}


def test_blocks_that_were_given_up_are_known_by_number_until_there_are_none(ledger):
    assert ledger.failures() == {}
    ledger.keep_failures({})
    ledger.start({})
    ledger.keep_failures({3: "no such file", 11: "out of range"})
    assert ledger.failures() == {3: "no such file", 11: "out of range"}
    ledger.keep_failures({11: "out of range"})
    assert ledger.failures() == {11: "out of range"}
    ledger.keep_failures({})
    assert ledger.failures() == {}


def test_a_cleared_ledger_knows_nothing_but_its_lease(ledger):
    ledger.start({"fingerprint": "x"})
    ledger.keep_failures({2: "why"})
    ledger.commit(record(0))
    ledger.lease_file.write_text("{}")
    for _ in range(2):  # and where nothing is left to be forgotten
        ledger.clear()
        assert [f.name for f in ledger.folder.iterdir()] == ["lease.json"]


def test_records_are_found_by_number_one_by_one_and_together(ledger):
    assert ledger.records() == {}
    assert ledger.count() == 0
    assert ledger.record(10) is None
    for block in (10, 9):  # no `start`, as where frames are put beside others
        ledger.commit(record(block))
    assert ledger.record(10) == record(10)
    assert list(ledger.records().items()) == [(9, record(9)), (10, record(10))]
    assert ledger.count() == 2
    ledger.forget(9)
    ledger.forget(9)
    assert ledger.records() == {10: record(10)}


def test_when_a_block_was_recorded_is_when_its_file_was_written(ledger):
    assert ledger.commit_time(10) is None
    for block, when in ((10, 1000.5), (9, 2000.25)):
        ledger.commit(record(block))
        file = ledger.folder / "blocks" / f"{block:08d}.json"
        os.utime(file, (0, when))
    assert list(ledger.commit_times().items()) == [(9, 2000.25), (10, 1000.5)]
    assert ledger.commit_time(9) == 2000.25


def test_a_record_of_another_version_is_named_with_the_way_out(ledger):
    ledger.start({})
    file = ledger.folder / "blocks" / "00000002.json"
    file.write_text('{"block": 2, "colour": "red"}')
    message = r"00000002\.json is not a block record .*colour.*it has block, start, .*: delete that"
    with pytest.raises(StoreError, match=message):
        ledger.record(2)
    with pytest.raises(StoreError, match=message):
        ledger.records()


def test_a_block_is_recorded_as_it_lies_on_disk(array, ledger):
    written = commit_block(array, ledger, 2, ones(2), epoch=5, counts={"clipped": 3})
    assert (written.block, written.start, written.stop) == (2, 8, 10)
    assert written.size == array.shard(2).stat().st_size
    assert written.mtime_ns == array.shard(2).stat().st_mtime_ns
    assert (written.epoch, written.counts, written.host) == (5, {"clipped": 3}, os.uname().nodename)
    assert ledger.record(2) == written


def test_a_run_that_is_replaced_while_it_writes_records_nothing(array, ledger):
    commit_block(array, ledger, 0, ones())
    asked = []

    def replaced_at_the_second_look():
        asked.append(ledger.record(0))
        if len(asked) == 2:
            raise StoreConflictError("replaced")

    with pytest.raises(StoreConflictError):
        commit_block(array, ledger, 0, 2 * ones(), still_mine=replaced_at_the_second_look)
    assert asked[0] is not None  # nothing had been touched when it was asked first
    assert ledger.record(0) is None  # what lies there now is no longer what was recorded


@pytest.mark.parametrize(
    ("asked", "stays"), [({}, False), ({"over": False}, False), ({"over": True}, True)]
)
def test_only_a_block_of_frames_that_are_nowhere_else_stays_until_it_is_replaced(
    array, ledger, asked, stays
):
    commit_block(array, ledger, 0, ones())
    with pytest.raises(StoreError, match="block 0"):
        commit_block(array, ledger, 0, ones(3), **asked)
    assert array.shard(0).exists() is stays
    commit_block(array, ledger, 0, 2 * ones(), **asked)
    assert (array.read(0, 4) == 2).all()


def altered(shard, stat):
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)


def copied(shard, stat):
    os.utime(shard, ns=(0, stat.st_mtime_ns + 10**9))


def altered_but_as_old(shard, stat):
    altered(shard, stat)
    os.utime(shard, ns=(0, stat.st_mtime_ns))


def cut(shard, stat):
    shard.write_bytes(shard.read_bytes()[:-1])
    os.utime(shard, ns=(0, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "whole"),
    [
        (lambda *_: None, True),
        (copied, True),
        (altered, False),
        (altered_but_as_old, True),  # size and time are trusted: nothing is read
        (cut, False),
        (lambda shard, _: shard.unlink(), False),
    ],
    ids=["untouched", "copied", "altered", "altered but as old", "cut", "deleted"],
)
def test_a_shard_counts_as_written_by_its_size_and_time_or_else_by_its_checksum(
    array, ledger, harm, whole
):
    kept, touched = (commit_block(array, ledger, i, ones()) for i in range(2))
    harm(array.shard(1), array.shard(1).stat())
    assert is_on_disk(array, touched) is whole
    found = blocks_on_disk(array, {0: kept, 1: touched})
    assert found == ({0, 1} if whole else {0})


def test_a_block_with_other_bounds_or_no_record_does_not_count(array, ledger):
    commit_block(array, ledger, 2, ones(2))
    recorded = ledger.record(2)
    assert not is_on_disk(array, None)
    assert is_on_disk(array, recorded)
    assert not is_on_disk(array.at_length(11), recorded)
    assert blocks_on_disk(array.at_length(11), {2: recorded}) == set()


def test_a_shard_that_goes_while_it_is_looked_at_does_not_count(array, ledger, monkeypatch):
    record = commit_block(array, ledger, 0, ones())
    os.utime(array.shard(0), ns=(1, 1))  # another time than recorded: it is read

    def gone(shard):
        shard.unlink()
        return checksum(shard)

    monkeypatch.setattr("stemscale.store.commit.checksum", gone)
    assert not is_on_disk(array, record)
    assert blocks_on_disk(array, {0: record}) == set()
