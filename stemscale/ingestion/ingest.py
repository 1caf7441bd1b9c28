"""Microscope files into a store: all or nothing, whole blocks, recorded one by one."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscale.errors import InputFileError, SeriesError, SettingsError, StoreError
from stemscale.ingestion.blocks import BlockWriter, write_blocks
from stemscale.ingestion.decide import Todo, decide
from stemscale.ingestion.growth import grow, grown, is_growing, shrink
from stemscale.ingestion.hdf5_check import check_hdf5
from stemscale.ingestion.manifest import ManifestRow, read_manifest, row_of
from stemscale.ingestion.plan import FovPlan, IngestOptions, LogReport, plan_fovs
from stemscale.ingestion.readers import input_files
from stemscale.ingestion.records import lose_blocks
from stemscale.ingestion.series import finish, finish_blocks, lay_out, write_slow
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    StorePath,
    blocks_on_disk,
    hold_lease,
    rapid_group,
    store_path,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestProgress:
    """How far an ingest has come.

    Attributes
    ----------
    fov : str
        The FOV being written.
    frames : int
        Frames just written.
    bytes : int
        Size of those frames [byte].
    frames_in_all : int
        Frames of the whole ingest.
    """

    fov: str
    frames: int
    bytes: int
    frames_in_all: int


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestedFov:
    """What became of one FOV.

    Attributes
    ----------
    fov : str
        Its name.
    n_frames : int
        Frames in the series.
    shape : tuple of int
        (n_y, n_x) of a frame.
    dtype : str
        Of a pixel.
    slow : bool
        Whether there is a slow scan.
    skipped : bool
        Whether the very same files were there already.
    appended : int
        Frames that were added to a series that was there.
    mended : int
        Frames that were damaged in the store and have been written again.
    log : LogReport or None
        What joining a log came to.
    left_out : mapping of str to mapping
        By file, which of its signals are no series of real images, and why; empty where one
        signal was asked for by its name.
    not_taken : mapping of str to str
        Files that a watch left out, and why.
    """

    fov: str
    n_frames: int
    shape: tuple[int, int]
    dtype: str
    slow: bool
    skipped: bool
    appended: int = 0
    mended: int = 0
    log: LogReport | None = None
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    not_taken: Mapping[str, str] = field(default_factory=dict)


def ingest(
    store: str | Path,
    rapid: str | Path | Sequence[str | Path] = (),
    *,
    slow: str | Path | None = None,
    slow_is: str = "same",
    fov: str | None = None,
    frame_metadata: str | Path | None = None,
    use: str | None = None,
    manifest: str | Path | None = None,
    append: bool = False,
    log: str | Path | None = None,
    log_offset_s: float = 0.0,
    log_how: str = "linear",
    detector: str | None = None,
    rapid_settings: Mapping[str, Any] | None = None,
    slow_settings: Mapping[str, Any] | None = None,
    workers: int = 1,
    block: int | None = None,
    listener: Callable[[IngestProgress], None] = lambda _: None,
) -> list[IngestedFov]:
    """Add one FOV, or all FOVs of a manifest, to a store, making it if needed.

    An ingest that was killed is resumed by the same call, and redoes only what is not there; so
    is a complete one of which shards were lost or damaged since.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    rapid : path or sequence of paths
        Files of the rapid frames of one FOV, or folders of files; several make one series, in
        that order.
    slow : path, optional
        File of its slow scan.
    slow_is : {"same", "after"}
        Whether the slow scan shows the FOV as it was all along, or after an in-situ series.
    fov : str, optional
        Name of the FOV; by default made from the name of the first file.
    frame_metadata : path, optional
        CSV with one row a frame: ``time_s``, ``temperature_C`` and so on.
    use : {"train", "test"}, optional
        What the FOV is for.
    manifest : path, optional
        CSV that lists FOVs, instead of all of the above.
    append : bool
        Whether a FOV that is there may get more frames: from a file that has grown since, or
        from further files that continue the series.
    log : path, optional
        Log of a heating holder (DENSsolutions, Protochips, or a CSV with a column ``time_s``),
        joined by time.
    log_offset_s : float
        From the first sample of the log to the first frame [s].
    log_how : {"linear", "nearest"}
        How a frame gets its values from the samples around it.
    detector : str, optional
        Which signal, where a file has several; "all" for a FOV of each.
    rapid_settings, slow_settings : mapping, optional
        Scan settings (fields of `ScanSettings`) where files say too little or wrong.
    workers : int
        Processes that read and write at a time; with more than 1, call this from a script that
        guards its main part with ``if __name__ == "__main__":``.
    block : int, optional
        Frames in a block; by default what `frames_per_block` chooses.
    listener : callable
        Told of each block written.

    Returns
    -------
    list of IngestedFov

    Raises
    ------
    InputFileError, SeriesError
        If an input is missing, damaged or not what it should be; the store is then as it was.
    StoreConflictError
        If a FOV of that name holds other data.
    StoreError
        If the store cannot be written; the same call later goes on where this one was.

    Examples
    --------
    Frames of one field of view; the same call again finds them there:

    >>> import numpy as np
    >>> import stemscale
    >>> np.save("grain.npy", np.arange(96, dtype=np.uint16).reshape(3, 4, 8))
    >>> scan = {"pixel_size_nm": 2.1, "dwell_time_ns": 100}
    >>> for _ in range(2):
    ...     (found,) = stemscale.ingest("new.zarr", "grain.npy", rapid_settings=scan)
    ...     print(found.fov, found.n_frames, found.shape, found.skipped)
    grain 3 (4, 8) False
    grain 3 (4, 8) True
    """
    rows, more = _rows(rapid, slow, slow_is, fov, frame_metadata, use, manifest)
    if workers < 1:
        raise SettingsError(f"--workers is {workers}, but must be at least 1")
    options = IngestOptions(
        detector=detector,
        rapid_settings=rapid_settings or {},
        slow_settings=slow_settings or {},
        log=None if log is None else Path(log),
        log_offset_s=log_offset_s,
        log_how=log_how,
    )
    slow_files = [row.slow for row in rows if row.slow is not None]
    rapid_files = [*(row.rapid for row in rows), *more]
    check_hdf5([*input_files(rapid_files, leave_out=slow_files), *slow_files])
    plans = [p for row in rows for p in plan_fovs(row, more, options)]
    with _all_or_nothing(store_path(store), plans, append) as (target, everything, begun):
        todo = [t for t in everything if t.what != "skip"]
        total = sum(t.plan.source.n_frames for t in todo)
        appended = {
            t.plan.fov: _write_fov(
                target, t, block, workers, _Teller(listener, t.plan, total), begun
            )
            for t in todo
        }
        if todo:
            names = " ".join(t.plan.fov for t in todo)
            files = " ".join(t.plan.files[0].name for t in todo)
            target.add_history(f"ingest {names} from {files}")
        if todo or not target.is_consolidated():  # an ingest may be killed just before
            target.consolidate()
    return [_summary(t, appended.get(t.plan.fov), _mended(target, t)) for t in everything]


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells the listener of frames written."""

    listener: Callable[[IngestProgress], None]
    plan: FovPlan
    total: int

    def __call__(self, frames: int) -> None:
        n_y, n_x = self.plan.source.settings.shape
        n_bytes = frames * n_y * n_x * self.plan.source.dtype.itemsize
        self.listener(
            IngestProgress(
                fov=self.plan.fov, frames=frames, bytes=n_bytes, frames_in_all=self.total
            )
        )


def _rows(
    rapid: str | Path | Sequence[str | Path],
    slow: str | Path | None,
    slow_is: str,
    fov: str | None,
    frame_metadata: str | Path | None,
    use: str | None,
    manifest: str | Path | None,
) -> tuple[list[ManifestRow], list[Path]]:
    files = [Path(f) for f in ([rapid] if isinstance(rapid, str | Path) else rapid)]
    if manifest is not None:
        if files or slow or fov or frame_metadata or use:
            raise SettingsError(
                "a manifest names all files itself: give either --manifest, or RAPID with its "
                "--slow, --fov, --frame-metadata and --use"
            )
        return read_manifest(Path(manifest)), []
    if not files:
        raise SettingsError("nothing to ingest: give RAPID files, or --manifest")
    row = row_of(
        files[0], fov=fov, slow=slow, slow_is=slow_is, frame_metadata=frame_metadata, use=use
    )
    return [row], files[1:]


@contextmanager
def _all_or_nothing(
    path: StorePath, plans: Sequence[FovPlan], append: bool
) -> Iterator[tuple[AcquisitionStore, list[Todo], set[str]]]:
    """Give the store and what to do; take back the FOVs that were begun if the input is bad."""
    is_new = not (path / "zarr.json").is_file()
    store = AcquisitionStore.create(path)
    todo: list[Todo] = []
    runs: dict[str, Any] = {}
    begun: set[str] = set()  # what is not, another ingest into the same store may have by now
    try:
        for plan in plans:
            todo.append(decide(store, plan, append=append))
            group = rapid_group(plan.fov)
            runs[plan.fov] = store.ledger(group).run() or {}
        yield store, todo, begun
    except (InputFileError, SeriesError, SettingsError):
        for one in (one for one in todo if one.plan.fov in begun):
            if one.is_new:
                store.delete(one.plan.fov)
            elif is_growing(store, rapid_group(one.plan.fov)):
                shrink(store, rapid_group(one.plan.fov), runs[one.plan.fov])
        if is_new and not store.fovs():
            store.destroy()
        else:
            store.consolidate()
        raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error}): make room or mend it, and run the same command "
            f"again; it goes on where it was"
        ) from error


def _write_fov(
    store: AcquisitionStore,
    todo: Todo,
    block: int | None,
    workers: int,
    tell: Callable[[int], None],
    begun: set[str],
) -> int:
    """Write what is not there yet, and give the number of frames that were added."""
    plan, group = todo.plan, rapid_group(todo.plan.fov)
    ledger = store.ledger(group)
    with (
        hold_lease(ledger.lease_file, what=f"{store.path}/{group}") as epoch,
        ThreadPoolExecutor(1) as beside,
    ):
        store.require_whole(plan.fov)
        begun.add(plan.fov)
        digest = beside.submit(plan.sha256)  # the second pass over the file finds it in memory
        before, frames = _lay_out(store, todo, block)
        writer = BlockWriter(
            store=store.path, group=group, source=plan.source, base=todo.base, epoch=epoch
        )
        missing = []
        there = blocks_on_disk(frames, ledger.records())
        for index in range(frames.n_blocks):
            if index in there:
                tell(_frames_of_input(frames, index, todo.base))
            else:
                missing.append(index)
        for index in write_blocks(writer, missing, workers=workers):
            tell(_frames_of_input(frames, index, todo.base))
        if plan.slow is not None:
            write_slow(store, plan.fov, plan.slow)
        if todo.what == "mend":
            finish_blocks(store, group)
        else:
            finish(store, plan, digest.result(), base=todo.base)
            grown(store, group)
    logger.info("%s: %d frames of %s", plan.fov, frames.shape[0], plan.source.settings.shape)
    return frames.shape[0] - before


def _frames_of_input(frames: FramesArray, index: int, base: int) -> int:
    start, stop = frames.bounds(index)
    return max(0, stop - max(start, base))


def _lay_out(store: AcquisitionStore, todo: Todo, block: int | None) -> tuple[int, FramesArray]:
    """Make the group, or room in it; give its length before and the array."""
    plan, group, run = todo.plan, rapid_group(todo.plan.fov), todo.run()
    if todo.what == "write":
        return 0, lay_out(store, plan, block, run)
    if todo.what == "mend":
        frames = lose_blocks(store, group, todo.damaged)
        return frames.shape[0], frames
    frames = store.frames(group)
    before = 0 if todo.is_new else frames.shape[0]
    if todo.what == "grow" or run != store.ledger(group).run():
        frames = grow(store, group, run, plan.per_frame, plan.source)
    return before, frames


def _summary(todo: Todo, added: int | None, mended: int) -> IngestedFov:
    source = todo.plan.source
    return IngestedFov(
        fov=todo.plan.fov,
        n_frames=todo.n_frames,
        shape=source.settings.shape,
        dtype=str(source.dtype),
        slow=todo.plan.slow is not None,
        skipped=added is None,
        mended=mended,
        appended=added or 0 if todo.what == "grow" else 0,
        log=todo.plan.log,
        left_out=todo.plan.left_out,
    )


def _mended(store: AcquisitionStore, todo: Todo) -> int:
    if not todo.damaged:
        return 0
    frames = store.frames(rapid_group(todo.plan.fov))
    return sum(stop - start for start, stop in map(frames.bounds, todo.damaged))
