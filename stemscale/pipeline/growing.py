"""The raw frames of a series that grows: which blocks are there by now."""

import time
from contextlib import suppress
from dataclasses import dataclass

from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore, lease_holder, rapid_group, read_node

_AT_ONCE = 64  # blocks that are looked for: room may be made long before they come
_STATE_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """Frames that came.

    Attributes
    ----------
    start, stop : int
        From ``start`` up to, not including, ``stop``.
    at_ns : list of int
        When the file had each of them [ns since 1970].
    """

    start: int
    stop: int
    at_ns: list[int]


class RawSeries:
    """What there is of a series that grows, by the records of its blocks.

    Looking costs a few small files, however long the series: those of the blocks that are
    expected next, and of the last one where it had room for more frames.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view; its group has to be there.
    """

    def __init__(self, store: AcquisitionStore, fov: str) -> None:
        self._store, self._group = store, rapid_group(fov)
        self.block = store.frames(self._group).block
        self.n_frames = 0
        self._ledger = store.ledger(self._group)
        self._stops: dict[int, int] = {}
        self._awaited: set[int] = set()  # blocks that there is room for, but no record
        self._short: set[int] = set()  # blocks that may get more frames
        self._blocks = 0
        self._complete, self._state_seen = False, -1e9

    def look(self) -> list[Arrived]:
        """Give the frames that came since the last look."""
        room = -(-self._room() // self.block)
        self._awaited.update(range(self._blocks, room))
        self._blocks = max(self._blocks, room)
        found = []
        for index in [*sorted(self._awaited)[:_AT_ONCE], *self._short]:
            record = self._ledger.record(index)
            before = self._stops.get(index, index * self.block)
            if record is None or record.stop <= before:
                continue
            self._stops[index] = record.stop
            self._awaited.discard(index)
            self._short.discard(index)
            if record.stop < (index + 1) * self.block:
                self._short.add(index)
            self.n_frames = max(self.n_frames, record.stop)
            at_ns = record.arrived_ns or [record.mtime_ns] * (record.stop - record.start)
            found.append(
                Arrived(start=before, stop=record.stop, at_ns=at_ns[before - record.start :])
            )
        return found

    def covers(self, first: int, last: int) -> bool:
        """Tell whether frames ``first`` to ``last`` (exclusive) are all there."""
        blocks = range(first // self.block, (last - 1) // self.block + 1)
        return all(self._stops.get(i, 0) >= min(last, (i + 1) * self.block) for i in blocks)

    def is_complete(self, *, now: bool = False) -> bool:
        """Tell whether whoever writes the series says that it is complete, and is through.

        What was found a moment ago will do, unless it has to be known ``now``.
        """
        at = time.monotonic()
        if now or at - self._state_seen > _STATE_EVERY_S:
            self._state_seen = at
            with suppress(StoreError):  # as while it is being written anew
                state = self._store.attrs(self._group).get("state")
                at_work = lease_holder(self._ledger.lease_file) is not None
                self._complete = state == "complete" and not at_work
        return self._complete

    def _room(self) -> int:
        node = read_node(self._store.path, f"{self._group}/frames")
        return 0 if node is None else int(node["shape"][0])


def frames_recorded(store: AcquisitionStore, fov: str, output: str) -> int:
    """Count the frames that a growing series has by now, from the records of its blocks."""
    group = rapid_group(fov)
    n_frames = max((r.stop for r in store.ledger(group).records().values()), default=0)
    if store.has(f"{output}/frames"):  # a ragged last block has no record while it is rewritten
        n_frames = max(n_frames, store.frames(output).shape[0])
    whole = store.frames(group).shape[0]
    return whole if store.attrs(group).get("state") == "complete" else min(n_frames, whole)
