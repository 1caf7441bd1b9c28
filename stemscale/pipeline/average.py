"""Align the frames of a FOV and average them: groups of frames on Dask, their means in order."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from stemscale.clusters import connect
from stemscale.distortion import (
    Dcfi,
    DriftSearch,
    FrameGroup,
    GroupChain,
    align_group,
    finish_dcfi,
    group_bounds,
)
from stemscale.errors import DamagedDataError, DistortionError, ProcessingError
from stemscale.pipeline.engine import run_blocks
from stemscale.pipeline.events import BlockDone, FramesAligned, Listener, no_listener
from stemscale.store import (
    AcquisitionStore,
    StorePath,
    be_brief,
    calibration_group,
    check_epoch,
    current_epoch,
    hold_lease,
    rapid_group,
    read_arrays,
    remove_tree,
    store_path,
    write_arrays,
)

logger = logging.getLogger(__name__)

PARALLEL_PX = 1024 * 512 * 512
"""Pixels to be aligned, from which on worker processes are started: 1024 frames of 512 x 512 px.

Until two of them have started and imported what they need, one process has aligned half of these.
"""

_TASK_PX = 32 * 512 * 512  # aligned by one task: groups of small frames are put together

Bounds = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupTask:
    """Which frames to align among themselves.

    Attributes
    ----------
    store : str
        Path of the store.
    fov : str
        Field of view.
    group : str
        Names the work.
    block : int
        Number of the task.
    bounds : tuple of (int, int)
        First frame of each group, and the first one after it.
    frames : int
        Frames in all of them.
    epoch : int
        Of the lease under which means are left behind.
    scratch : str
        Folder for them: pixels do not travel through the scheduler.
    weighted : bool
        As for `integrate_frames`.
    skip_damaged : bool
        Whether frames that cannot be read count as such without contrast.
    """

    store: str
    fov: str
    group: str
    block: int
    bounds: tuple[Bounds, ...]
    frames: int
    epoch: int
    scratch: str
    weighted: bool
    skip_damaged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRecord:
    """What a task found; the means lie in its file.

    Attributes
    ----------
    groups : list of (shifts, weights)
        Of each `FrameGroup`.
    scores, seconds : dict
        None.
    """

    groups: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def average_series(
    store: AcquisitionStore,
    fov: str,
    *,
    client: Client | None = None,
    weighted: bool = False,
    skip_damaged: bool = False,
    listener: Listener = no_listener,
) -> Dcfi:
    """Align the frames of a FOV and average them.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    client : Client, optional
        Groups of frames are aligned on it; by default in this process.
    weighted : bool
        As for `integrate_frames`.
    skip_damaged : bool
        Whether frames that cannot be read are left out, like those without contrast.
    listener : callable
        Told of frames aligned, and of tasks that fail.

    Returns
    -------
    Dcfi
        The same, to the last bit, whatever the number of workers.

    Raises
    ------
    DistortionError
        If no frame has any contrast.
    DamagedDataError
        If frames cannot be read.
    ProcessingError
        If a task fails again and again, see `run_blocks`.
    StoreConflictError
        If another run aligns the same FOV.

    Notes
    -----
    Groups depend on the number and the shape of the frames alone (`group_bounds`). A worker reads
    a group, aligns it and leaves its mean in the ledger folder of the FOV, 1 frame for 32; the
    driver adds the means up in order as they come, and takes them away. Memory: one group a
    worker, about 40 frames; driver: some means. Source: row D3.
    """
    frames = store.frames(rapid_group(fov))
    n_frames, *shape = frames.shape
    bounds = group_bounds(n_frames, tuple(shape))
    chain = GroupChain(DriftSearch())
    if client is None:
        for start, stop in bounds:
            for group in _aligned(store, fov, start, stop, weighted, skip_damaged):
                chain.add(group)
            listener(FramesAligned(fov=fov, frames=stop - start, done=stop, total=n_frames))
        return _finished(chain, fov)
    with _scratch(store, fov) as folder:
        tasks = [
            GroupTask(
                store=str(store.path.absolute()),
                fov=fov,
                group=f"{fov}/aligning",
                block=number,
                bounds=tuple(part),
                frames=part[-1][1] - part[0][0],
                epoch=current_epoch(folder / "lease.json"),
                scratch=str(folder.absolute()),
                weighted=weighted,
                skip_damaged=skip_damaged,
            )
            for number, part in enumerate(_tasks(bounds, shape[0] * shape[1]))
        ]
        for group in _in_order(client, tasks, _told(listener, n_frames)):
            chain.add(group)
    return _finished(chain, fov)


def _finished(chain: GroupChain, fov: str) -> Dcfi:
    try:
        return finish_dcfi(chain)
    except DistortionError as error:
        raise DistortionError(f"{fov}: {error}") from error


@contextmanager
def averaging(
    store: AcquisitionStore, fovs: Iterable[str], *, workers: int | None
) -> Iterator[Client | None]:
    """Give worker processes to align FOVs with, or None where this process is as quick.

    Parameters
    ----------
    store : AcquisitionStore
    fovs : iterable of str
    workers : int, optional
        1: in this process; more: that many; by default one for each core from `PARALLEL_PX` on.

    Yields
    ------
    Client or None
    """
    pixels = sum(int(np.prod(store.frames(rapid_group(f)).shape)) for f in fovs)
    if workers == 1 or (workers is None and pixels < PARALLEL_PX):
        yield None
        return
    with connect("local", workers=workers) as client:
        yield client


def align_groups(task: GroupTask) -> GroupRecord:
    """Align groups of frames and leave their means behind; runs in a worker, maybe twice.

    Parameters
    ----------
    task : GroupTask

    Returns
    -------
    GroupRecord
    """
    be_brief()
    store = AcquisitionStore(task.store)
    found: list[FrameGroup] = []
    for start, stop in task.bounds:
        found += _aligned(store, task.fov, start, stop, task.weighted, task.skip_damaged)
    folder = store_path(task.scratch)
    check_epoch(folder / "lease.json", task.epoch, what=f"{task.store}: {task.fov}")
    means: dict[str, Any] = {str(i): g.mean for i, g in enumerate(found) if g.mean is not None}
    write_arrays(_file(task), means)
    return GroupRecord(groups=[(g.shifts, g.weights) for g in found])


def _aligned(
    store: AcquisitionStore, fov: str, start: int, stop: int, weighted: bool, skip_damaged: bool
) -> list[FrameGroup]:
    try:
        frames = store.frames(rapid_group(fov)).read(start, stop)
    except DamagedDataError:
        if not skip_damaged:
            raise
        unknown = np.full((stop - start, 2), np.nan)
        return [FrameGroup(mean=None, shifts=unknown, weights=np.zeros(stop - start))]
    return align_group(frames, weighted=weighted)


def _tasks(bounds: Sequence[Bounds], pixels: int) -> Iterator[list[Bounds]]:
    """Put groups of small frames together, lest the scheduler be the slowest."""
    part: list[Bounds] = []
    for start, stop in bounds:
        part.append((start, stop))
        if (stop - part[0][0]) * pixels >= _TASK_PX:
            yield part
            part = []
    if part:
        yield part


def _in_order(
    client: Client, tasks: Sequence[GroupTask], listener: Listener
) -> Iterator[FrameGroup]:
    """Run tasks, and give their groups in the order of time."""
    there: dict[int, GroupRecord] = {}
    following = 0
    for task, record in run_blocks(client, align_groups, tasks, listener, verb="align"):
        if not isinstance(record, GroupRecord):
            first, last = task.bounds[0][0], task.bounds[-1][1] - 1
            raise ProcessingError(f"{task.fov}: frames {first} to {last} not aligned: {record}")
        there[task.block] = record
        while following in there:
            yield from _groups(tasks[following], there.pop(following))
            following += 1


def _groups(task: GroupTask, record: GroupRecord) -> Iterator[FrameGroup]:
    file = _file(task)
    means = read_arrays(file)
    if means is None:
        raise ProcessingError(f"{file} is gone: somebody else took it away; run again")
    for i, (shifts, weights) in enumerate(record.groups):
        yield FrameGroup(mean=means.get(str(i)), shifts=shifts, weights=weights)
    file.unlink()


def _file(task: GroupTask) -> StorePath:
    return store_path(task.scratch) / f"{task.block:08d}.npz"


@contextmanager
def _scratch(store: AcquisitionStore, fov: str) -> Iterator[StorePath]:
    """Give an empty folder beside the store to this run alone."""
    folder = store.ledger(calibration_group(fov)).folder / "aligning"
    with hold_lease(folder / "lease.json", what=f"the alignment of {store.path}: {fov}"):
        for left in folder.glob("*.npz"):  # by a driver that was killed
            left.unlink()
        try:
            yield folder
        finally:
            for left in folder.glob("*.npz"):
                left.unlink(missing_ok=True)
    remove_tree(folder)


def _told(listener: Listener, total: int) -> Listener:
    done = 0

    def listen(event: object) -> None:
        nonlocal done
        if isinstance(event, BlockDone):
            done += event.frames
            listener(FramesAligned(fov=event.fov, frames=event.frames, done=done, total=total))
        else:
            listener(event)

    return listen
