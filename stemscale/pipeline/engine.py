"""Tasks through a Dask cluster: a moving window, own retries, nothing given up in silence."""

import heapq
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from distributed import Client, Future, KilledWorker

from stemscale.errors import (
    ProcessingError,
    StemscaleError,
    StoreAwayError,
    StoreConflictError,
    StoreUnavailableError,
)
from stemscale.pipeline.events import BlockDone, BlockFailed, Listener, Waiting

logger = logging.getLogger(__name__)

_WINDOW_PER_THREAD = 4
_TOGETHER, _ALONE = 2, 2  # tries beside other blocks, then alone: so a poisoned one harms no other
_BACK_OFF_S, _LONGEST_S = 0.5, 30.0  # before the second try; doubled for each one after
_LOOK_EVERY_S = 1.0  # at scheduler and workers
_LOST_AFTER_S = 300.0  # without a scheduler
_SAY_EVERY_S = 5.0
_PICTURE_EVERY_S = 1.0
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # for a store that takes nothing, disk full or away
_FULL_S, _AWAY_S = 60.0, 900.0  # for so long: someone has to make room, a server comes back


class Task(Protocol):
    """One block of work, small enough to go through the scheduler."""

    @property
    def fov(self) -> str:
        """Field of view."""

    @property
    def group(self) -> str:
        """What the work is for; with ``block``, it names the task."""

    @property
    def block(self) -> int:
        """Number of the block."""

    @property
    def frames(self) -> int:
        """Frames in it."""


class Record(Protocol):
    """What came of a task, without a pixel."""

    @property
    def scores(self) -> Mapping[str, list[Any]]:
        """Per-frame results."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time spent, by step."""


T = TypeVar("T", bound=Task)
R = TypeVar("R", bound=Record)


class Source(Protocol[T]):
    """Where tasks come from while there are more to come."""

    @property
    def look_every_s(self) -> float:
        """How long to wait for blocks that end, before it is asked again [s]."""

    def take(self, most: int) -> list[T]:
        """Give the tasks to be begun next: at most so many, and none where there are none yet."""

    def may_come(self) -> bool:
        """Tell whether there may be tasks later, though there is none now."""


class _Listed(Generic[T]):
    """Tasks that are known from the beginning, in their order."""

    look_every_s = _LOOK_EVERY_S

    def __init__(self, tasks: Iterable[T]) -> None:
        self._tasks = iter(tasks)

    def take(self, most: int) -> list[T]:
        return list(islice(self._tasks, most))

    def may_come(self) -> bool:
        return False  # what there is, is taken as soon as there is room


def run_blocks(
    client: Client,
    function: Callable[[T], R],
    tasks: Iterable[T] | Source[T],
    listener: Listener,
    *,
    verb: str = "make",
    pictured: Callable[[T], T] | None = None,
) -> Iterator[tuple[T, R | str]]:
    """Run tasks, a few at a time, and give each one's record as it comes in.

    A block that fails is tried again after a while; one that fails twice, alone, once all others
    are made; one that fails alone twice is given up. While the store takes nothing, all wait.

    Parameters
    ----------
    client : Client
        Of any scheduler.
    function : callable
        Makes one block; may run twice.
    tasks : iterable of Task, or Source
        Drawn as there is room, so that a million of them cost nothing. Of a source, no more are
        drawn than are worked on: what it gives next may be more urgent.
    listener : callable
        Told of each block done or failed, and of waiting for workers.
    verb : str
        What is done to a FOV, as Dask's pages show it: "denoise" for tasks like "denoise fov01".
    pictured : callable, optional
        Makes a task show its frames. Only one such task at a time is on its way, and the next one
        a second after the last: so few pictures travel, whatever the number of workers.

    Yields
    ------
    task : Task
    record : Record or str
        For a block that was given up, the reason.

    Raises
    ------
    StoreConflictError
        If another run has taken over the output.
    ProcessingError
        If the scheduler is gone for good, if the store takes nothing for a minute, or its
        server is away for a quarter of an hour.
    """
    listed = isinstance(tasks, Iterable)
    run: _Run[T] = _Run(
        client=client,
        function=function,
        source=_Listed(tasks) if isinstance(tasks, Iterable) else tasks,
        per_thread=_WINDOW_PER_THREAD if listed else 1,
        verb=verb,
        pictured=pictured,
    )
    try:
        while run.fill():
            ended = run.next(listener)
            records: dict[Future[Any], R] = run.records(ended)
            for future in ended:
                task = run.take(future)
                if future in records:
                    run.pauses = 0
                    listener(_done(task, records[future]))
                    yield task, records[future]
                elif (reason := run.failed(task, _error_of(future), listener)) is not None:
                    yield task, reason
    finally:
        run.cancel()


@dataclass(kw_only=True)
class _Run(Generic[T]):
    """Blocks on their way, those that wait for another try, and those to be tried alone."""

    client: Client
    function: Callable[[T], Any]
    source: Source[T]
    per_thread: int  # tasks on their way
    verb: str
    pictured: Callable[[T], T] | None
    # of all that use this scheduler: two stores may have blocks of one name
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    picture: Future[Any] | None = None  # that is on its way
    picture_ended: float = -1e9
    running: dict[Future[Any], T] = field(default_factory=dict)
    later: list[tuple[float, int, T]] = field(default_factory=list)  # heap by time
    alone: list[T] = field(default_factory=list)
    failures: Counter[tuple[str, int]] = field(default_factory=Counter)
    submitted: int = 0
    threads: int = 0
    window: int = 0
    pauses: int = 0  # since a block was last written
    paused_since: float = -1e9
    pause_until: float = -1e9
    looked: float = -1e9
    lost_since: float | None = None
    said: float = -1e9
    ready: SimpleQueue[Future[Any]] = field(default_factory=SimpleQueue)

    def fill(self) -> bool:
        """Submit blocks where half of them are through; tell whether anything is left to wait for.

        Each submission costs scheduler and client more than each block in it.
        """
        self._look()
        now = time.monotonic()
        if self.lost_since is None and now >= self.pause_until:
            most = 1 if self.pauses else self.window  # one block shows whether the pause may end
            room = most - len(self.running)
            if room >= 1 and self._picture_is_due(now):
                self._submit(self._next_tasks(1, now), pictured=True)
                room = most - len(self.running)
            if room >= (max(1, most // 2) if self.per_thread > 1 else 1):
                self._submit(self._next_tasks(room, now))
            if not self.running and not self.later and self.alone:
                self._submit([self.alone.pop(0)])
        left = self.running or self.later or self.alone or self.lost_since
        return bool(left) or self.source.may_come()

    def next(self, listener: Listener) -> "list[Future[Any]]":
        """Wait for blocks, but not for long; none where there is something else to look after."""
        wait = _LOOK_EVERY_S
        if self.later:
            wait = max(self.later[0][0], self.pause_until) - time.monotonic()
        try:
            ended = [self.ready.get(timeout=min(max(wait, 0.1), self.source.look_every_s))]
        except Empty:
            self._say_what_is_missing(listener)
            return []
        while not self.ready.empty():
            ended.append(self.ready.get())
        return [future for future in ended if future in self.running]

    def take(self, future: "Future[Any]") -> T:
        """Give the task of a future that ended."""
        if future is self.picture:
            self.picture, self.picture_ended = None, time.monotonic()
        return self.running.pop(future)

    def records(self, ended: "list[Future[Any]]") -> "dict[Future[Any], Any]":
        """Fetch what finished blocks say; where that is lost, none: they are asked once more."""
        finished = [future for future in ended if future.status == "finished"]
        if self.client.status in ("closed", "closing"):  # as its place does, when there is no hope
            return {}
        try:
            return dict(zip(finished, self.client.gather(finished), strict=True))
        except (CancelledError, KilledWorker, OSError, TimeoutError):
            return {}

    def failed(self, task: T, error: Any, listener: Listener) -> str | None:
        """Decide what becomes of a block that failed; gives the reason if it is given up."""
        if isinstance(error, StoreConflictError):
            raise error
        if error is None or isinstance(error, StoreUnavailableError):  # no fault of its own
            self._put_off(task, _BACK_OFF_S)
            if error is not None:
                away = isinstance(error, StoreAwayError)
                self._pause(str(error), listener, longest_s=_AWAY_S if away else _FULL_S)
            return None
        self.failures[task.group, task.block] += 1
        count = self.failures[task.group, task.block]
        # Our own errors say what is wrong with the data: another try would find the same.
        hopeless = isinstance(error, StemscaleError) and not isinstance(error, ProcessingError)
        given_up = hopeless or count >= _TOGETHER + _ALONE
        reason = _words(error)
        logger.warning("%s block %d failed (try %d): %s", task.group, task.block, count, reason)
        listener(
            BlockFailed(
                fov=task.fov, block=task.block, frames=task.frames, reason=reason, given_up=given_up
            )
        )
        if given_up:
            return reason
        if count >= _TOGETHER:
            self.alone.append(task)
        else:
            self._put_off(task, _BACK_OFF_S * 2 ** (count - 1))
        return None

    def cancel(self) -> None:
        """Take back what has not begun."""
        if self.running and self.client.status == "running":
            self.client.cancel(list(self.running), force=True)
        self.running.clear()

    def _pause(self, reason: str, listener: Listener, *, longest_s: float) -> None:
        """Let everything wait; blocks that failed of the same before the pause change nothing."""
        now = time.monotonic()
        if now < self.pause_until:
            return
        if self.pauses == 0:
            self.paused_since = now
        if now - self.paused_since >= longest_s:
            raise ProcessingError(
                f"{reason}: what was recorded is safe; mend that, and run the same command again "
                "to go on"
            )
        self.pause_until = now + _PAUSES_S[min(self.pauses, len(_PAUSES_S) - 1)]
        self.pauses += 1
        listener(Waiting(reason=reason))

    def _next_tasks(self, most: int, now: float) -> list[T]:
        tasks: list[T] = []
        while self.later and self.later[0][0] <= now and len(tasks) < most:
            tasks.append(heapq.heappop(self.later)[2])
        return tasks + self.source.take(most - len(tasks))

    def _picture_is_due(self, now: float) -> bool:
        return (
            self.pictured is not None
            and self.picture is None
            and now - self.picture_ended >= _PICTURE_EVERY_S
        )

    def _submit(self, tasks: list[T], *, pictured: bool = False) -> None:
        if not tasks:
            return
        first = self.submitted + 1
        self.submitted += len(tasks)
        keys = [self._key(t, first + i) for i, t in enumerate(tasks)]
        asked = [self.pictured(t) for t in tasks] if pictured and self.pictured else tasks
        futures = self.client.map(
            self.function,
            asked,
            key=keys,
            pure=False,
            retries=0,
            priority=int(pictured),  # before those that wait: the latest frame is to be a late one
        )
        if pictured:
            self.picture = futures[0]
        for future, task in zip(futures, tasks, strict=True):
            self.running[future] = task
            future.add_done_callback(self.ready.put)

    def _key(self, task: T, number: int) -> str:
        """Name a task so that Dask's pages group it by verb and FOV.

        Dask takes for the name what comes before a hyphen and a number, so the FOV has none.
        """
        fov = task.fov.replace("-", "\N{NON-BREAKING HYPHEN}")
        return f"{self.verb} {fov}-{self.token}-{task.block:08d}-n{number}"

    def _put_off(self, task: T, seconds: float) -> None:
        # with jitter, so that blocks that failed together do not come back together
        due = time.monotonic() + min(seconds, _LONGEST_S) * random.uniform(0.5, 1.5)
        self.submitted += 1
        heapq.heappush(self.later, (due, self.submitted, task))

    def _look(self) -> None:
        """See whether the scheduler answers, and now and then how many threads there are."""
        now = time.monotonic()
        if self.client.status == "running":
            self.lost_since = None
            if now - self.looked >= _LOOK_EVERY_S:
                self.looked = now
                self.threads = self._count_threads()
                self.window = self.per_thread * max(1, self.threads)
            return
        self.lost_since = self.lost_since or now
        if self.client.status in ("closed", "closing") or now - self.lost_since > _LOST_AFTER_S:
            raise ProcessingError(
                "the scheduler is gone: what was recorded is safe; start a scheduler, and run the "
                "same command again to go on"
            )

    def _count_threads(self) -> int:
        try:
            return sum(self.client.nthreads().values())
        except (OSError, TimeoutError):  # it is just going
            return self.threads

    def _say_what_is_missing(self, listener: Listener) -> None:
        now = time.monotonic()
        if now - self.said < _SAY_EVERY_S:
            return
        if self.lost_since is not None:
            listener(Waiting(reason="the scheduler does not answer"))
        elif self.threads == 0:
            listener(Waiting(reason="there is no worker"))
        else:
            return
        self.said = now


def _error_of(future: "Future[Any]") -> Any:
    """Say what a block failed of; None where it was lost and did not fail."""
    return future.exception() if future.status == "error" else None


def _words(error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return "its worker died: of memory, most likely, or it was killed"
    return str(error) or type(error).__name__


def _done(task: Task, record: Record) -> BlockDone:
    scores = [s for s in record.scores.get("psnr", []) if s is not None]
    return BlockDone(
        fov=task.fov,
        block=task.block,
        frames=task.frames,
        psnr=sum(scores) / len(scores) if scores else None,
        seconds=dict(record.seconds),
    )
