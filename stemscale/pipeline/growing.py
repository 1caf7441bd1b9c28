"""The raw frames of a series that grows: which blocks are there by now."""

import json
import time
from dataclasses import dataclass

from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore, rapid_group

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
        group = rapid_group(fov)
        self.block = store.frames(group).block
        self.n_frames = 0
        self._ledger = store.ledger(group)
        self._node, self._about = (store.path / group / n / "zarr.json" for n in ("frames", ""))
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

    def is_complete(self) -> bool:
        """Tell whether whoever writes the series says that it is complete."""
        now = time.monotonic()
        if now - self._state_seen > _STATE_EVERY_S:
            self._state_seen = now
            self._complete = self._read(self._about)["attributes"].get("state") == "complete"
        return self._complete

    def _room(self) -> int:
        return int(self._read(self._node)["shape"][0])

    @staticmethod
    def _read(file) -> dict:  # type: ignore[no-untyped-def, type-arg]
        try:
            return dict(json.loads(file.read_bytes()))
        except (ValueError, OSError) as error:
            raise StoreError(f"{file} cannot be read ({error}): run `stemscale verify`") from error
