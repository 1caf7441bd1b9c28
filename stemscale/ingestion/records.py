"""Records of a finished series: made again where a copy lacks them, or forgotten."""

from collections.abc import Container, Iterable

from stemscale.store import AcquisitionStore, BlockRecord, FramesArray, block_checksums


def restore_records(
    store: AcquisitionStore, group: str, *, but: Container[int] = ()
) -> dict[int, BlockRecord]:
    """Give the records of a finished series, writing those that a copy came without."""
    ledger, frames = store.ledger(group), store.frames(group)
    records = ledger.records()
    if all(i in records or i in but for i in range(frames.n_blocks)):
        return records
    for index, (size, crc32) in block_checksums(store, group).items():
        if index not in records and index not in but and index < frames.n_blocks:
            start, stop = frames.bounds(index)
            records[index] = BlockRecord(
                block=index, start=start, stop=stop, size=size, crc32=crc32
            )
            ledger.commit(records[index])
    return records


def lose_blocks(store: AcquisitionStore, group: str, blocks: Iterable[int]) -> FramesArray:
    """Have damaged blocks of a finished series count as not written.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of the group of frames.
    blocks : iterable of int
        Their numbers.

    Returns
    -------
    FramesArray
    """
    lost = set(blocks)
    restore_records(store, group, but=lost)
    for index in lost:
        store.ledger(group).forget(index)
    return store.frames(group)
