"""Blocks from a source into a store: here, or in processes that open the files by path."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from stemscale.acquisition import Frames, check_pixels
from stemscale.errors import StoreError
from stemscale.ingestion.source import FrameSource
from stemscale.store import FramesArray, Ledger, StorePath, check_epoch, commit_block

_THREADS = 3  # tests/benchmarks/bench_ingest.py: 1 thread 0.9, 2 1.1, 3 1.3 x the plainest loop
_MOST_AT_ONCE = 8  # blocks that a process is given


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockWriter:
    """All that a process needs to write any block of one series.

    Attributes
    ----------
    store : Path or ObjectPath
        The store.
    group : str
        Path of the group of frames.
    source : FrameSource
        Where the frames come from; it travels as a path.
    base : int
        Frame of the store at which the source's first frame goes: not 0 where the source
        continues a series.
    epoch : int
        Of the lease; a run that was replaced writes no more.
    """

    store: StorePath
    group: str
    source: FrameSource
    base: int
    epoch: int

    def read(self, start: int, stop: int, there: FramesArray) -> Frames:
        """Read frames of the series, from the store where they were there before."""
        pieces = []
        if start < self.base:
            pieces.append(there.read(start, min(stop, self.base)))
        if stop > self.base:
            first = max(start, self.base) - self.base
            frames = self.source.read(first, stop - self.base)
            check_pixels(frames, source=self.source.name, first_frame=first)
            pieces.append(frames.astype(there.dtype, copy=False))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def write(self, index: int) -> None:
        """Read one block and commit it.

        Raises
        ------
        InputFileError, SeriesError
            If the source is damaged there.
        StoreConflictError
            If this run was replaced by another one.
        """
        frames = FramesArray(self.store, self.group)
        ledger = Ledger(self.store, self.group)
        start, stop = frames.bounds(index)
        commit_block(
            frames,
            ledger,
            index,
            self.read(start, stop, frames),
            still_mine=lambda: check_epoch(ledger.lease_file, self.epoch, what=self.group),
            over=start < self.base,
        )


def write_blocks(writer: BlockWriter, blocks: Sequence[int], *, workers: int) -> Iterator[int]:
    """Write blocks, one after the other or several at a time.

    Parameters
    ----------
    writer : BlockWriter
        What to write.
    blocks : sequence of int
        Their numbers.
    workers : int
        Processes; with 1, none is started.

    Yields
    ------
    int
        Each block that is committed.

    Raises
    ------
    InputFileError, SeriesError
        If the source is damaged; no further block is begun.
    StoreError
        If a process was killed.
    """
    if workers == 1 or len(blocks) <= _THREADS:
        yield from _write_in_threads(writer, blocks)
        return
    share = max(1, min(_MOST_AT_ONCE, len(blocks) // (4 * workers)))
    shares = [blocks[i : i + share] for i in range(0, len(blocks), share)]
    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(shares)),
        mp_context=multiprocessing.get_context("spawn"),  # fork would copy locks that are held
        initializer=_begin,
        initargs=(writer,),
    )
    try:
        for done in as_completed([pool.submit(_write_share, share) for share in shares]):
            yield from done.result()
    except BrokenProcessPool as error:
        raise StoreError(
            f"a process that wrote {writer.store}/{writer.group} was killed, perhaps for want of "
            f"memory: run the same command again, with fewer --workers; it goes on where it was"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_in_threads(writer: BlockWriter, blocks: Sequence[int]) -> Iterator[int]:
    # While one block waits for the disk, the next is packed and the one after it read.
    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = {pool.submit(writer.write, index): index for index in blocks}
        for done in as_completed(waiting):
            done.result()
            yield waiting[done]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_mine: list[BlockWriter] = []  # of this worker process


def _begin(writer: BlockWriter) -> None:
    _mine[:] = [writer]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A driver that is killed leaves its processes waiting for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_share(blocks: Sequence[int]) -> list[int]:
    return list(_write_in_threads(_mine[0], blocks))
