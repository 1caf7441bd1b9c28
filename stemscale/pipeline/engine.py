"""Tasks through a Dask cluster: a moving window, own retries, nothing given up in silence."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from distributed import Client, Future, as_completed

from stemscale.errors import ProcessingError, StemscaleError, StoreConflictError
from stemscale.pipeline.events import BlockDone, BlockFailed, Listener

logger = logging.getLogger(__name__)

_WINDOW_PER_THREAD = 4
_TRIES = 3  # the last one alone, so that a poisoned block takes no other with it


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

    @property
    def epoch(self) -> int:
        """Of the lease under which this may be written."""


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


def run_blocks(
    client: Client,
    function: Callable[[T], R],
    tasks: Iterable[T],
    listener: Listener,
) -> Iterator[tuple[T, R | str]]:
    """Run tasks, a few at a time, and give each one's record as it comes in.

    Parameters
    ----------
    client : Client
        Of any scheduler.
    function : callable
        Makes one block; may run twice.
    tasks : iterable of Task
        Drawn as there is room, so that a million of them cost nothing.
    listener : callable
        Told of each block done or failed.

    Yields
    ------
    task : Task
    record : Record or str
        For a block that was given up, the reason.

    Raises
    ------
    StoreConflictError
        If another run has taken over the output.
    """
    source = iter(tasks)
    running: dict[Future[Any], T] = {}
    tries: Counter[tuple[str, int]] = Counter()
    alone: list[T] = []
    queue = as_completed(loop=client.loop, raise_errors=False)

    def submit(task: T) -> None:
        tries[task.group, task.block] += 1
        attempt = tries[task.group, task.block]
        key = f"{task.group}-{task.block:08d}-e{task.epoch}-t{attempt}"
        future = client.submit(function, task, key=key, pure=False, retries=0)
        running[future] = task
        queue.add(future)

    def fill() -> None:
        room = _WINDOW_PER_THREAD * max(1, sum(client.nthreads().values())) - len(running)
        for task in _take(source, room):
            submit(task)
        if not running and alone:
            submit(alone.pop())

    fill()
    while running:
        future = next(queue)
        task = running.pop(future)
        record = _outcome(future, task, tries, alone, submit, listener)
        if not isinstance(record, _TryAgain):
            yield task, record
        fill()


def _take(source: Iterator[T], count: int) -> Iterator[T]:
    for _ in range(count):
        task = next(source, None)
        if task is None:
            return
        yield task


class _TryAgain:
    """A block that failed, and is tried once more."""


def _outcome(
    future: Future[Any],
    task: T,
    tries: Counter[tuple[str, int]],
    alone: list[T],
    submit: Callable[[T], None],
    listener: Listener,
) -> Any:
    if future.status == "finished":
        record: Record = future.result()
        listener(_done(task, record))
        return record
    error: Any = future.exception() if future.status == "error" else "cancelled by the scheduler"
    if isinstance(error, StoreConflictError):
        raise error
    count = tries[task.group, task.block]
    # Our own errors say what is wrong with the data: another try would find the same.
    hopeless = isinstance(error, StemscaleError) and not isinstance(error, ProcessingError)
    given_up = hopeless or count >= _TRIES
    reason = str(error) or type(error).__name__
    logger.warning("%s block %d failed (try %d): %s", task.group, task.block, count, reason)
    listener(
        BlockFailed(
            fov=task.fov, block=task.block, frames=task.frames, reason=reason, given_up=given_up
        )
    )
    if given_up:
        return reason
    if count == _TRIES - 1:
        alone.append(task)
    else:
        submit(task)
    return _TryAgain()


def _done(task: Task, record: Record) -> BlockDone:
    scores = [s for s in record.scores.get("psnr", []) if s is not None]
    return BlockDone(
        fov=task.fov,
        block=task.block,
        frames=task.frames,
        psnr=sum(scores) / len(scores) if scores else None,
        seconds=dict(record.seconds),
    )
