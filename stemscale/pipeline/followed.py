"""Which blocks of growing series to make next: the newest, and the rest as there is time."""

import heapq
import time
from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stemscale.pipeline.block import BlockTask
from stemscale.pipeline.events import Following, Listener
from stemscale.pipeline.growing import Arrived, RawSeries
from stemscale.pipeline.latency import Latencies
from stemscale.pipeline.plan import SeriesPlan
from stemscale.store import FRAME_STATUS, AcquisitionStore, BlockRecord, block_bounds

_EDGE_S = 1.0  # without a new frame, the neighbours of the last ones are not waited for any more
_LATELY_S = 5.0  # that rates are of
_SAY_EVERY_S = 1.0
_BEHIND_S = 1.0  # frames that wait for longer, at the rate at which they come: it cannot keep up
_LATE_FRAMES = 100  # whose latency is shown


class FollowedSeries:
    """Blocks of one series that are to be made, are on their way, or are made.

    Parameters
    ----------
    store : AcquisitionStore
    plan : SeriesPlan
        What of it is to be made of the frames that there were.
    since_ns : int
        When the run was ready for frames: of those that came before, the latency says nothing
        [ns since 1970].
    """

    def __init__(self, store: AcquisitionStore, plan: SeriesPlan, *, since_ns: int) -> None:
        self.plan = plan
        self.raw = RawSeries(store, plan.fov)
        self.ledger = store.ledger(plan.group)
        self.status = np.zeros(max(1024, plan.n_frames), dtype=np.uint8)
        self.changed = plan.n_frames  # first frame of which something is new since it was asked
        self.failed: dict[int, str] = dict(plan.standing.failed)
        self.flying: dict[int, int] = {}  # frames up to which each is made, by block
        self._waiting: set[int] = set()  # for frames, their own or their neighbours'
        self._unmade: dict[int, int] = {}  # when each came, 0: before this run
        self.last_came = time.monotonic()
        self._evaluated = -1e9
        self._since_ns = since_ns
        self._begin()

    @property
    def n_frames(self) -> int:
        """Frames that came by now."""
        return self.raw.n_frames

    @property
    def behind(self) -> int:
        """Frames that came, and are not filtered yet."""
        return len(self._unmade)

    def _begin(self) -> None:
        todo, good = set(self.plan.todo), FRAME_STATUS["done"]
        self.status[: self.plan.n_frames] = good
        for block in (*todo, *self.failed):
            start, stop = block_bounds(block, self.plan.n_frames, self.plan.block)
            self.status[start:stop] = FRAME_STATUS["failed" if block in self.failed else "pending"]
        self._waiting = todo
        came: list[Arrived] = []
        while more := self.raw.look():
            came += more
        for new in came:
            self._take(new, of=todo)

    def look(self, *, last: bool) -> list[tuple[int, int]]:
        """Give blocks that can be made by now, with the time at which their last frame came.

        Parameters
        ----------
        last : bool
            Whether no more frames are waited for.
        """
        now = time.monotonic()
        came = self.raw.look()
        for new in came:
            self._take(new)
        if came:
            self.last_came = now
        elif not self._waiting or (now - self._evaluated < _EDGE_S / 4 and not last):
            return []
        self._evaluated = now
        idle = last or now - self.last_came > _EDGE_S
        ready = [b for b in self._waiting if b not in self.flying and self._is_ready(b, idle)]
        self._waiting.difference_update(ready)
        return [(self._unmade.get(self._bounds(b)[1] - 1, 0), b) for b in ready]

    def begin(self, block: int) -> int:
        """Note that a block is on its way, and give the number of its frames."""
        start, stop = self._bounds(block)
        self.flying[block] = stop
        return stop - start

    def put_back(self, block: int) -> None:
        """Take back a block that can not be begun now."""
        self._waiting.add(block)

    def made(self, block: int, record: BlockRecord | str) -> tuple[int, list[float]]:
        """Take that a block is made, or given up; give frames that are new, and their latency."""
        start, stop = block * self.plan.block, self.flying.pop(block)
        came = [self._unmade.pop(f) for f in range(start, stop) if f in self._unmade]
        self.changed = min(self.changed, start)
        self._evaluated = -1e9  # more of it may have come
        if isinstance(record, str):
            self.failed[block] = record
            self.status[start:stop] = FRAME_STATUS["failed"]
            return 0, []
        self.failed.pop(block, None)
        self.status[start : record.stop] = record.status
        done_at = self.ledger.commit_time(block)
        good = record.status.count(FRAME_STATUS["done"]) == len(record.status)
        late = [done_at - ns / 1e9 for ns in came if ns] if good and done_at else []
        return len(came) if good else 0, late

    def statuses(self, n_frames: int) -> NDArray[np.uint8]:
        """Give what became of each of the first frames."""
        return self.status[:n_frames]

    def _take(self, new: Arrived, *, of: Container[int] = ()) -> None:
        """Take frames that came; of those that were planned, the ones of the blocks given."""
        size, halo, planned = self.plan.block, self.plan.halo, self.plan.n_frames
        for frame, ns in zip(range(new.start, new.stop), new.at_ns, strict=True):
            if frame >= planned or frame // size in of:
                self._unmade[frame] = ns if ns >= self._since_ns else 0
        if new.stop > planned:
            first, last = max(0, max(new.start, planned) - halo), new.stop - 1 + halo
            n_blocks = -(-self.raw.n_frames // size)
            self._waiting.update(range(first // size, min(last // size + 1, n_blocks)))
        while self.raw.n_frames > len(self.status):
            self.status = np.concatenate([self.status, np.zeros_like(self.status)])
        self.changed = min(self.changed, new.start)

    @property
    def _length(self) -> int:
        """Frames by now; a raw block may be away just now, as it is written anew."""
        return max(self.raw.n_frames, self.plan.n_frames)

    def _bounds(self, block: int) -> tuple[int, int]:
        return block_bounds(block, self._length, self.plan.block)

    def _is_ready(self, block: int, idle: bool) -> bool:
        halo, n_frames = self.plan.halo, self._length
        start, stop = self._bounds(block)
        whole = (block + 1) * self.plan.block + halo <= n_frames
        # A short raw block is one because no more came; blocks of several wait for all of them.
        short = halo == 0 and self.plan.block == self.raw.block
        if not (whole or short or idle):
            return False
        return self.raw.covers(max(0, start - halo), min(n_frames, stop + halo))


class Followed:
    """Gives the blocks of growing series to the engine, see `stemscale.pipeline.engine.Source`.

    Parameters
    ----------
    store : str
        Path or URL of the store, as its tasks need it.
    series : sequence of FollowedSeries
    epochs : mapping of str to int
        Of the leases, by group.
    run : str
        Names the run to the dashboard.
    is_over : callable
        Told how long no frame has come [s], and whether all series are complete: says whether to
        wait for more.
    publish : sequence of callable
        Called again and again while the run goes on.
    listener : callable
    """

    look_every_s = 0.04

    def __init__(
        self,
        store: str,
        series: Sequence[FollowedSeries],
        epochs: Mapping[str, int],
        run: str,
        *,
        is_over: Callable[[float, bool], bool],
        publish: Sequence[Callable[[], None]],
        listener: Listener,
    ) -> None:
        self._store, self.series, self._epochs, self._run = store, series, epochs, run
        self._of = {s.plan.group: s for s in series}
        self._is_over, self._publish, self._listener = is_over, publish, listener
        self._ready: list[tuple[int, int, int]] = []  # heap: minus when it came and block, series
        self._over = False
        self.latencies = Latencies()
        self.frames_made, self.most_behind, self.kept_up = 0, 0, True
        self._there = sum(s.n_frames - s.behind for s in series)
        now = time.monotonic()
        self._seen: deque[tuple[float, int, int]] = deque([(now, self._came(), 0)])

    def take(self, most: int) -> list[BlockTask]:
        """Give the newest blocks that can be made."""
        self._look()
        tasks: list[BlockTask] = []
        while self._ready and len(tasks) < most:
            _, minus_block, number = heapq.heappop(self._ready)
            one, block = self.series[number], -minus_block
            if block in one.flying:
                one.put_back(block)
                continue
            tasks.append(
                BlockTask(
                    store=self._store,
                    fov=one.plan.fov,
                    group=one.plan.group,
                    block=block,
                    frames=one.begin(block),
                    fingerprint=one.plan.run["fingerprint"],
                    epoch=self._epochs[one.plan.group],
                    run=self._run,
                    of=one.n_frames,
                )
            )
        return tasks

    def may_come(self) -> bool:
        """Tell whether frames are waited for, or blocks are to be made."""
        return not self._over or bool(self._ready)

    def made(self, task: BlockTask, record: BlockRecord | str) -> None:
        """Take what became of a block."""
        frames, late = self._of[task.group].made(task.block, record)
        self.frames_made += frames
        self.latencies.add(late)

    def _look(self) -> None:
        now = time.monotonic()
        idle_s = now - max(s.last_came for s in self.series)
        complete = all(s.raw.is_complete() for s in self.series)
        # asked before the last look: what came in between is seen by it
        self._over = self._over or self._is_over(idle_s, complete)
        for number, one in enumerate(self.series):
            for came_ns, block in one.look(last=self._over):
                heapq.heappush(self._ready, (-came_ns, -block, number))
        self.most_behind = max(self.most_behind, self._behind())
        if now - self._seen[-1][0] >= _SAY_EVERY_S:
            self._say(now)
        for publish in self._publish:
            publish()

    def _came(self) -> int:
        return sum(s.n_frames for s in self.series)

    def _behind(self) -> int:
        return sum(s.behind for s in self.series)

    def _say(self, now: float) -> None:
        came, behind = self._came(), self._behind()
        self._seen.append((now, came, self.frames_made))
        while now - self._seen[0][0] > _LATELY_S and len(self._seen) > 2:
            self._seen.popleft()
        then, came_then, made_then = self._seen[0]
        arriving, made = (
            (came - came_then) / (now - then),
            (self.frames_made - made_then) / (now - then),
        )
        keeps_up = not (behind > arriving * _BEHIND_S and arriving > made > 0)
        self.kept_up &= keeps_up
        lately = self.latencies.summary(_LATE_FRAMES)
        self._listener(
            Following(
                frames=came,
                behind=behind,
                arriving_per_s=arriving,
                made_per_s=made,
                keeps_up=keeps_up,
                latency_s=None if lately is None else lately.median_s,
            )
        )
