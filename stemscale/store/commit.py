"""The one way a block gets into a store: pixels first, record last."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

from stemscale.acquisition import Frames
from stemscale.store.files import checksum
from stemscale.store.frames import FramesArray
from stemscale.store.ledger import BlockRecord, Ledger


def commit_block(
    array: FramesArray,
    ledger: Ledger,
    index: int,
    frames: Frames,
    *,
    still_mine: Callable[[], None] = lambda: None,
    over: bool = False,
    **details: Any,
) -> BlockRecord:
    """Write a block so that it is either recorded and whole, or not recorded.

    Parameters
    ----------
    array : FramesArray
        Where the block belongs.
    ledger : Ledger
        Where it is recorded.
    index : int
        Number of the block.
    frames : ndarray, shape (frames of the block, y, x)
        In the array's dtype.
    still_mine : callable
        Raises when this run may not write any more; asked before the pixels and before the record.
    over : bool
        Whether the block holds frames that are nowhere else: its shard is replaced in one step,
        and not deleted before.
    **details
        Further fields of `BlockRecord`.

    Returns
    -------
    BlockRecord
        As recorded.

    Raises
    ------
    DamagedDataError
        If the shard is not there after the write.
    """
    record = write_block(array, ledger, index, frames, still_mine=still_mine, over=over, **details)
    still_mine()
    ledger.commit(record)
    return record


def write_block(
    array: FramesArray,
    ledger: Ledger,
    index: int,
    frames: Frames,
    *,
    still_mine: Callable[[], None] = lambda: None,
    over: bool = False,
    **details: Any,
) -> BlockRecord:
    """Write the pixels of a block, and give its record, to be committed; see `commit_block`."""
    shard = array.shard(index)
    still_mine()
    ledger.forget(index)
    if not over:  # a torn shard would be read, and fail, before its own rewrite
        shard.unlink(missing_ok=True)
    written = array.write(index, frames)
    start, stop = array.bounds(index)
    return BlockRecord(
        block=index,
        start=start,
        stop=stop,
        size=written.size,
        crc32=written.crc32,
        mtime_ns=written.mtime_ns,
        e_tag=written.e_tag,
        host=socket.gethostname(),
        **details,
    )


def is_on_disk(array: FramesArray, record: BlockRecord | None) -> bool:
    """Tell whether a recorded block is still as it was written, see `blocks_on_disk`."""
    if record is None:
        return False
    try:
        found = array.shard(record.block).stat()
    except FileNotFoundError:
        return False
    return _is_same(array, record, found)


def blocks_on_disk(array: FramesArray, records: Mapping[int, BlockRecord]) -> set[int]:
    """Give the recorded blocks that are still as they were written.

    A shard that nobody has touched since has the size of its record, and its time or e-tag; any
    other, as in a copy of the store, is read whole.

    Parameters
    ----------
    array : FramesArray
    records : mapping of int to BlockRecord
        By number of the block.

    Returns
    -------
    set of int
        Their numbers.
    """
    there = array.stats()
    return {i for i, r in records.items() if i in there and _is_same(array, r, there[i])}


def _is_same(array: FramesArray, record: BlockRecord, found: Any) -> bool:
    if (record.start, record.stop) != array.bounds(record.block) or found.st_size != record.size:
        return False
    e_tag = getattr(found, "e_tag", "")
    if (e_tag and e_tag == record.e_tag) or (not e_tag and found.st_mtime_ns == record.mtime_ns):
        return True
    try:
        return checksum(array.shard(record.block))[1] == record.crc32
    except FileNotFoundError:
        return False
