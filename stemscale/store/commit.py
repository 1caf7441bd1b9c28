"""The one way a block gets into a store: pixels first, record last."""

import os
import socket
from collections.abc import Callable
from typing import Any

from stemscale.acquisition import Frames
from stemscale.errors import DamagedDataError
from stemscale.store.frames import FramesArray
from stemscale.store.ledger import BlockRecord, Ledger, checksum, fsync_folder


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
    shard = array.shard(index)
    still_mine()
    ledger.forget(index)
    if not over:  # a torn shard would be read, and fail, before its own rewrite
        shard.unlink(missing_ok=True)
    array.write(index, frames)
    if not shard.is_file():
        raise DamagedDataError(f"{shard} is missing right after it was written")
    with shard.open("rb") as stream:
        os.fsync(stream.fileno())
    for folder in shard.parents[:3]:  # the folders of a shard are as new as the shard
        fsync_folder(folder)
    written = shard.stat().st_mtime_ns
    size, crc32 = checksum(shard)
    start, stop = array.bounds(index)
    record = BlockRecord(
        block=index,
        start=start,
        stop=stop,
        size=size,
        crc32=crc32,
        mtime_ns=written,
        host=socket.gethostname(),
        **details,
    )
    still_mine()
    ledger.commit(record)
    return record


def is_on_disk(array: FramesArray, record: BlockRecord | None) -> bool:
    """Tell whether a recorded block is still as it was written.

    A shard that nobody has touched since has the size and the time of its record; any other, as in
    a copy of the store, is read whole.
    """
    if record is None or (record.start, record.stop) != array.bounds(record.block):
        return False
    shard = array.shard(record.block)
    try:
        found = shard.stat()
        if found.st_size != record.size:
            return False
        return found.st_mtime_ns == record.mtime_ns or checksum(shard)[1] == record.crc32
    except FileNotFoundError:
        return False
