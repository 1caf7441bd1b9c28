"""What of an output still stands, worked out from records alone: no filter, no workers."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from stemscale.acquisition import ScanSettings, frame_coordinates
from stemscale.errors import StoreConflictError
from stemscale.pipeline.standing import (
    Output,
    earlier_run,
    find_standing,
    records_of_copy,
    restore_ledger,
)
from stemscale.store import AcquisitionStore, FrameVariable, commit_block, finish_frames

BLOCK = 4
RAW, FILTERED = "fov01/rapid", "fov01/filtered/x"
SETTINGS = ScanSettings(n_x=6, n_y=4, pixel_size_nm=2.0, dwell_time_ns=100)
RUN = {"fingerprint": "f", "filter": "none", "distortion": "m", "whole_series": None}


def lay_out(store, group, n, **attrs):
    return store.create_frames(
        "fov01",
        group,
        xr.Dataset(coords=frame_coordinates(SETTINGS, {}, n), attrs=attrs),
        SETTINGS,
        n_frames=n,
        dtype=np.dtype("uint16"),
        with_fill=False,
        long_name="frames",
        block=BLOCK,
    )


def write(store, group, blocks, *, value=1, **details):
    array = store.frames(group)
    for i in blocks:
        start, stop = array.bounds(i)
        frames = np.full((stop - start, 4, 6), value, "uint16")
        commit_block(array, store.ledger(group), i, frames, **details)


def raw_of(store, n):
    """Raw frames, each block of other ones."""
    array = lay_out(store, RAW, n)
    for i in range(array.n_blocks):
        write(store, RAW, [i], value=10 + i)


def grow(store, n):
    array = store.frames(RAW)
    first = array.shape[0] // BLOCK
    array.resize(n)
    write(store, RAW, range(first, array.n_blocks), value=99)


def filter_all(store, n, *, halo=0, run=RUN):
    """Blocks as a run leaves them that saw ``halo`` neighbours, all done."""
    raw = {i: r.crc32 for i, r in store.ledger(RAW).records().items()}
    array = lay_out(store, FILTERED, n)
    store.ledger(FILTERED).start(run)
    for i in range(array.n_blocks):
        start, stop = array.bounds(i)
        behind = range(max(0, start - halo) // BLOCK, (min(n, stop + halo) - 1) // BLOCK + 1)
        status, crcs = [1] * (stop - start), [raw[b] for b in behind]
        write(store, FILTERED, [i], status=status, input_crc32=crcs, input_frames=n)


def output(n=11, *, halo=0, run=RUN):
    return Output(fov="fov01", group=FILTERED, run=run, n_frames=n, block=BLOCK, halo=halo)


def standing(store, wanted, *, overwrite=False, retry_failed=False):
    found = find_standing(store, wanted, overwrite=overwrite, retry_failed=retry_failed)
    return found.todo, found.done_frames, found.failed


@pytest.fixture
def store(tmp_path):
    """Eleven raw frames in blocks of 4, 4 and 3."""
    opened = AcquisitionStore.create(tmp_path / "s.zarr")
    raw_of(opened, 11)
    return opened


@pytest.fixture
def filtered(store):
    filter_all(store, 11)
    return store


def test_of_what_was_never_begun_every_block_is_to_be_made(store):
    assert earlier_run(store, FILTERED) is None
    assert standing(store, output()) == ((0, 1, 2), 0, {})


def test_of_what_is_whole_nothing_is_to_be_made(filtered):
    assert earlier_run(filtered, FILTERED) == RUN
    assert standing(filtered, output()) == ((), 11, {})


def test_a_block_without_its_shard_or_its_record_is_made_again(filtered):
    filtered.frames(FILTERED).shard(1).unlink()
    assert standing(filtered, output()) == ((1,), 7, {})
    filtered.ledger(FILTERED).forget(2)
    assert standing(filtered, output()) == ((1, 2), 4, {})


@pytest.mark.parametrize("status", [[1, 1, 2], [3, 1, 1], [0, 0, 0]])
def test_a_block_with_a_frame_that_is_not_done_is_made_again(filtered, status):
    ledger = filtered.ledger(FILTERED)
    ledger.commit(replace(ledger.record(2), status=status))
    assert standing(filtered, output()) == ((2,), 8, {})


def test_blocks_that_were_given_up_wait_until_they_are_asked_for(filtered):
    ledger = filtered.ledger(FILTERED)
    ledger.keep_failures({1: "the worker died", 2: "it was made since"})
    ledger.forget(1)
    assert standing(filtered, output()) == ((), 7, {1: "the worker died"})
    assert standing(filtered, output(), retry_failed=True) == ((1,), 7, {})


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"filter": "dcfi"}, "filter"),
        ({"filter": "dcfi", "distortion": "n"}, "filter, distortion"),
        ({"new": 1}, "run"),  # of a version that did not know of it
    ],
)
def test_what_was_made_otherwise_is_named_and_kept_unless_it_may_go(filtered, other, named):
    wanted = output(run={**RUN, **other, "fingerprint": "g"})
    message = (
        rf"s\.zarr/{FILTERED}: was made with another {named}: give the new frames another --name, "
        r"or throw the old ones away with --overwrite"
    )
    with pytest.raises(StoreConflictError, match=message):
        standing(filtered, wanted)
    assert standing(filtered, wanted, overwrite=True) == ((0, 1, 2), 0, {})
    assert standing(filtered, output(), overwrite=True) == ((), 11, {})  # nothing to throw away


def test_a_series_that_became_shorter_is_another_one(filtered):
    with pytest.raises(StoreConflictError, match="has 11 frames, and the series only 8: give"):
        standing(filtered, output(8))


@pytest.mark.parametrize(
    ("first", "halo", "todo", "done"),
    [
        (11, 0, (2, 3, 4), 8),  # block 2 was ragged
        (12, 0, (3, 4), 12),
        (12, 1, (2, 3, 4), 8),  # frame 11 would have had frame 12 beside it
        (11, 3, (2, 3, 4), 8),
        (11, 4, (1, 2, 3, 4), 4),  # frame 7, too: 7 + 4 = 11
    ],
)
def test_of_a_series_that_grew_only_what_would_be_made_otherwise_is_made(
    store, first, halo, todo, done
):
    raw_of(store, first)
    filter_all(store, first, halo=halo)
    grow(store, 17)
    assert standing(store, output(17, halo=halo)) == (todo, done, {})


@pytest.mark.parametrize(
    ("halo", "changed", "behind", "start"),
    [(0, 1, 1, 4), (1, 1, 3, 0), (0, 2, 1, 8), (1, 2, 2, 4), (4, 2, 2, 4), (5, 2, 3, 0)],
)
def test_raw_frames_that_are_others_by_now_are_told_with_the_first_frame_made_of_them(
    store, halo, changed, behind, start
):
    filter_all(store, 11, halo=halo)
    write(store, RAW, [changed], value=77)
    message = (
        f"the raw frames behind {behind} of its blocks, from frame {start} on, are others than "
        "those it was made of: give"
    )
    with pytest.raises(StoreConflictError, match=message):
        standing(store, output(halo=halo))
    assert standing(store, output(halo=halo), overwrite=True) == ((0, 1, 2), 0, {})


def test_raw_frames_under_a_series_that_grew_are_compared_except_in_its_ragged_block(filtered):
    grow(filtered, 17)
    write(filtered, RAW, [0], value=77)
    with pytest.raises(StoreConflictError, match="behind 1 of its blocks, from frame 0 on"):
        standing(filtered, output(17))


def test_a_record_that_does_not_say_what_it_was_made_of_is_believed(filtered):
    ledger = filtered.ledger(FILTERED)
    ledger.commit(replace(ledger.record(1), input_crc32=[]))
    write(filtered, RAW, [1], value=77)
    assert standing(filtered, output()) == ((), 11, {})


def average_of(n):
    return output(1, run={**RUN, "whole_series": n})


@pytest.fixture
def averaged(store):
    crcs = [r.crc32 for r in store.ledger(RAW).records().values()]
    lay_out(store, FILTERED, 1)
    store.ledger(FILTERED).start({**RUN, "whole_series": 11})
    write(store, FILTERED, [0], status=[1], input_crc32=crcs, input_frames=11)
    return store


def test_an_average_stands_while_all_frames_behind_it_are_the_same(averaged):
    assert standing(averaged, average_of(11)) == ((), 1, {})
    write(averaged, RAW, [2], value=77)
    with pytest.raises(StoreConflictError, match="behind 1 of its blocks, from frame 0 on"):
        standing(averaged, average_of(11))


def test_an_average_of_fewer_frames_is_another_one(averaged):
    grow(averaged, 17)
    message = "was made of 11 frames, and the series has 17 by now: give"
    with pytest.raises(StoreConflictError, match=message):
        standing(averaged, average_of(17))


@pytest.fixture
def copied(filtered):
    """As finished, then copied without the ledger."""
    ledger = filtered.ledger(FILTERED)
    scores = {"psnr": [20.0, None, 22.0, 23.0], "sharpness": [1.0] * 4}
    ledger.commit(replace(ledger.record(1), scores=scores))
    variables = {name: FrameVariable(attrs={"long_name": name}) for name in scores}
    finish_frames(filtered, FILTERED, ledger.records(), variables=variables)
    filtered.set_attrs(FILTERED, {"run": RUN})
    ledger.clear()
    return filtered


def test_a_copy_without_its_ledger_stands(copied):
    assert copied.ledger(FILTERED).run() is None
    assert earlier_run(copied, FILTERED) == RUN
    assert standing(copied, output()) == ((), 11, {})
    copied.frames(FILTERED).shard(0).unlink()
    assert standing(copied, output()) == ((0,), 7, {})


def test_a_copy_of_an_older_version_is_known_by_its_fingerprint(copied):
    copied.set_attrs(FILTERED, {"run": None, "fingerprint": "f"})
    assert earlier_run(copied, FILTERED) == {"fingerprint": "f"}
    assert standing(copied, output()) == ((), 11, {})


def test_records_of_a_copy_say_what_the_group_knows(copied):
    found = records_of_copy(copied, FILTERED)
    assert list(found) == [0, 1, 2]
    assert [(r.block, r.start, r.stop) for r in found.values()] == [
        (0, 0, 4),
        (1, 4, 8),
        (2, 8, 11),
    ]
    assert [r.status for r in found.values()] == [[1] * 4, [1] * 4, [1] * 3]
    assert found[1].scores == {"psnr": [20.0, None, 22.0, 23.0]}
    assert found[2].size == copied.frames(FILTERED).shard(2).stat().st_size
    copied.set_attrs(FILTERED, {"state": "writing"})
    assert records_of_copy(copied, FILTERED) == {}


def test_a_ledger_is_restored_once(copied):
    records = records_of_copy(copied, FILTERED)
    assert restore_ledger(copied, output())
    assert copied.ledger(FILTERED).run() == RUN
    assert copied.ledger(FILTERED).records() == records
    assert not restore_ledger(copied, output())
