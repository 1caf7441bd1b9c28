"""Frames into a store while a microscope takes them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stemscale.errors import InputFileError, SeriesError, SettingsError, StoreError
from stemscale.ingestion.decide import Todo, is_same
from stemscale.ingestion.finished_file import signature
from stemscale.ingestion.growth import grown
from stemscale.ingestion.ingest import IngestedFov
from stemscale.ingestion.manifest import ManifestRow, row_of
from stemscale.ingestion.plan import FovPlan, IngestOptions, plan_fovs
from stemscale.ingestion.readers import readable_extensions
from stemscale.ingestion.series import finish, lay_out_anew, write_slow
from stemscale.ingestion.taking import Taking, keep_left_out, left_out_before
from stemscale.ingestion.watch_events import WatchListener, WatchNotice, WatchProgress
from stemscale.ingestion.watched import Watched
from stemscale.ingestion.watched_file import GROWING, WatchedFile
from stemscale.ingestion.watched_folder import WatchedFolder
from stemscale.store import (
    AcquisitionStore,
    StorePath,
    check_epoch,
    get_ready,
    hold_lease,
    rapid_group,
    store_path,
)

logger = logging.getLogger(__name__)

_RAGGED_S = 0.3  # without a new frame, after which a block that is not full is committed
_LONGEST_PAUSE_S = 1.0
_TOLD_EVERY_S = 0.5
_MISSED_S = 5.0  # before it is said that a source lacks frames that were taken from it
_AWAY_S = 60.0  # that a source which cannot be read is tried again


def watch(
    store: str | Path,
    source: str | Path,
    *,
    fov: str | None = None,
    slow: str | Path | None = None,
    slow_is: str = "after",
    frame_metadata: str | Path | None = None,
    use: str | None = None,
    log: str | Path | None = None,
    log_offset_s: float = 0.0,
    log_how: str = "linear",
    detector: str | None = None,
    rapid_settings: Mapping[str, Any] | None = None,
    slow_settings: Mapping[str, Any] | None = None,
    block: int = 4,
    until_idle_s: float | None = None,
    stop: threading.Event | None = None,
    poll_s: float = 0.05,
    patience_s: float = 5.0,
    listener: WatchListener = lambda _: None,
) -> IngestedFov:
    """Take frames into a store as the microscope's software writes them.

    A block is committed as soon as all its frames are there, with the time at which each file had
    them in its record; the frames of a block that is not full after 0.3 s without a new one are
    committed, too, and that block is written again when it gets more. What the slow scan and the
    tables say is added at the end, where they are there by then; the series is then the same as if
    it had been ingested at once. Called again with the same source, it goes on where it was, also
    where it was killed, or was complete.

    It can run in any thread, and handles no signals.

    Parameters
    ----------
    store : str or Path
        Folder of the store, made if needed, or its URL.
    source : str or Path
        What the software writes: an MRC or NPY file to which frames are appended; a folder that
        gets files, each of one frame or several, taken in the natural order of their names; or
        another file, which is taken once it is closed. It may not be there yet.
    fov, use, detector, rapid_settings, slow_settings, log, log_offset_s, log_how
        As for `ingest`, but for ``detector="all"``.
    slow : path, optional
        File of its slow scan; it may lie in the folder, and be written at the end.
    slow_is : {"same", "after"}
        Whether the slow scan shows the FOV as it was all along, or after the series.
    frame_metadata : path, optional
        Table of per-frame metadata; it may be written at the end.
    block : int
        Frames in a block, where the series is not there yet.
    until_idle_s : float, optional
        End when nothing new came for so long [s], from the start of the watch on.
    stop : threading.Event, optional
        Ends it when set.
    poll_s : float
        Time between two looks [s]; more where a folder takes long to list.
    patience_s : float
        How long a file that is not whole is waited for after its last change, before it is told
        of, and left out if others wait behind it [s].
    listener : callable
        Told how far it is, and what a user should know.

    Returns
    -------
    IngestedFov
        With no frames where none came.

    Raises
    ------
    InputFileError, SeriesError
        If the source is not what it should be, or changed where it should have grown. Frames that
        were committed stay in the store.
    StoreConflictError
        If the FOV holds something else, or another run writes it.
    StoreError
        If the store cannot be written; the same call later goes on where this one was.
    """
    path = Path(source)
    row = row_of(path, fov=fov, slow=slow, slow_is=slow_is, frame_metadata=frame_metadata, use=use)
    _check(path, detector, block)
    options = IngestOptions(
        detector=detector,
        rapid_settings=rapid_settings or {},
        slow_settings=slow_settings or {},
        log=None if log is None else Path(log),
        log_offset_s=log_offset_s,
        log_how=log_how,
    )
    with _growing_store(store_path(store), row.fov) as (target, still_mine):
        watched = _watched(row, options, left_out_before(target, row.fov), patience_s)
        taking = Taking(target, row, options, watched, block=block, still_mine=still_mine)
        one = _Watch(target, row, options, watched, taking, listener)
        stop = stop or threading.Event()
        one.take_all(stop, until_idle_s, poll_s)
        if stop.is_set() and not taking.is_found:  # at once after the start
            return one.summary(None, skipped=True)
        return one.end()


class _Watch:
    """One watch: looks, takes, tells, and finishes."""

    def __init__(
        self,
        store: AcquisitionStore,
        row: ManifestRow,
        options: IngestOptions,
        watched: Watched,
        taking: Taking,
        listener: WatchListener,
    ) -> None:
        self._store, self._row, self._options = store, row, options
        self._watched, self._taking, self._listener = watched, taking, listener
        self._away_since: float | None = None
        self._told: tuple[WatchProgress | None, float] = (None, 0.0)
        self._side = [f for f in (row.slow, row.frame_metadata, options.log) if f is not None]

    def take_all(self, stop: threading.Event, until_idle_s: float | None, poll_s: float) -> None:
        """Take frames until there is reason to end."""
        seen: Any = None
        newest = time.monotonic()
        missed = False
        while True:
            self._look()
            now = time.monotonic()
            state = (self._watched.n_frames, [signature(f) for f in self._side])
            if state != seen:
                seen, newest = state, now
            over = stop.is_set() or (until_idle_s is not None and now - newest >= until_idle_s)
            took = self._taking.take(ragged=over or now - newest >= _RAGGED_S)
            if not missed and not self._taking.is_found and now - newest >= _MISSED_S:
                missed = True
                self._notice(self._taking.missing)
            self._tell(now, always=took)
            if over and not took:
                if self._watched.pending_why:
                    self._notice(f"{self._watched.waiting_for}: {self._watched.pending_why}")
                return
            if not took:
                stop.wait(min(max(poll_s, self._watched.pause_s), _LONGEST_PAUSE_S))

    def end(self) -> IngestedFov:
        """Finish the series as an ingest at once would have, and say what became of it."""
        self._taking.check_found()
        if not self._taking.n_frames:
            return self.summary(None, skipped=True)
        plan = self._plan()
        without = sorted(self._watched.left_out)
        if self._taking.is_complete and not without and is_same(self._store, plan):
            if not self._store.is_consolidated():  # a watch may be killed just before
                self._store.consolidate()
            return self.summary(plan, skipped=True)
        sha256 = plan.sha256(*without)
        run = Todo(plan=plan, what="resume").run()
        group = rapid_group(plan.fov)
        self._taking.begin()
        lay_out_anew(self._store, plan)
        if plan.slow is not None:
            write_slow(self._store, plan.fov, plan.slow)
        self._store.ledger(group).start(run)
        finish(self._store, plan, sha256)
        grown(self._store, group)
        self._store.add_history(f"ingest --watch {plan.fov} from {plan.files[0].name}")
        self._store.consolidate()
        logger.info("%s: %d frames watched", plan.fov, self._taking.n_frames)
        return self.summary(plan, skipped=False)

    def _look(self) -> None:
        before = len(self._watched.left_out)
        try:
            for text in self._watched.look():
                self._notice(text)
        except OSError as error:  # of the source: a share that is away for a moment comes back
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
                self._notice(f"{self._row.rapid} cannot be read ({error}): trying again")
            if now - self._away_since > _AWAY_S:
                raise InputFileError(
                    f"{self._row.rapid} cannot be read ({error}): see that it is there and may be "
                    f"read, and run the same command again; it goes on where it was"
                ) from error
            return
        self._away_since = None
        if len(self._watched.left_out) != before:
            keep_left_out(self._store, self._row.fov, self._watched.left_out)

    def _notice(self, text: str) -> None:
        logger.warning("%s: %s", self._row.fov, text)
        self._listener(WatchNotice(fov=self._row.fov, text=text))

    def _tell(self, now: float, *, always: bool) -> None:
        before, when = self._told
        progress = WatchProgress(
            fov=self._row.fov,
            frames=self._taking.n_frames,
            behind=max(0, self._watched.n_frames - self._taking.n_frames),
            waiting_for=self._watched.waiting_for,
        )
        if always or (progress != before and now - when >= _TOLD_EVERY_S) or before is None:
            self._told = (progress, now)
            self._listener(progress)

    def _plan(self) -> FovPlan:
        """Open everything as an ordinary ingest does; what came too late is told and left out."""
        opened = self._watched.opened()
        missing = [f for f in self._side if not f.exists()]
        row, options = self._row, self._options
        for file in missing:
            self._notice(f"{file} is not there yet: the same command adds it later")
        row = replace(
            row,
            slow=None if row.slow in missing else row.slow,
            frame_metadata=None if row.frame_metadata in missing else row.frame_metadata,
        )
        options = replace(options, log=None if options.log in missing else options.log)
        try:
            (plan,) = plan_fovs(row, [], options, opened=opened)
        except (InputFileError, SeriesError) as error:
            if len(missing) == len(self._side):
                raise
            self._notice(f"not added: {error}; once that is mended, the same command adds it")
            row = replace(row, slow=None, frame_metadata=None)
            opened = self._watched.opened()  # a plan keeps of them only what it needs
            (plan,) = plan_fovs(row, [], replace(options, log=None), opened=opened)
        return plan

    def summary(self, plan: FovPlan | None, *, skipped: bool) -> IngestedFov:
        """Say what became of the FOV."""
        taking = self._taking
        shape, dtype = taking.about()
        return IngestedFov(
            fov=self._row.fov,
            n_frames=taking.n_frames,
            shape=shape,
            dtype=dtype,
            slow=plan is not None and plan.slow is not None,
            skipped=skipped,
            appended=taking.n_frames - taking.n_before if taking.n_before else 0,
            log=None if plan is None else plan.log,
            left_out={} if plan is None else plan.left_out,
            not_taken=dict(self._watched.left_out),
        )


def _check(path: Path, detector: str | None, block: int) -> None:
    if detector == "all":
        raise SettingsError("--detector all cannot be watched: name one detector")
    if block < 1:
        raise SettingsError(f"--block is {block}, but must be at least 1")
    kinds = readable_extensions()
    if not path.is_dir() and path.suffix and path.suffix.lower() not in kinds:
        first = "" if path.exists() else "; if it is to be a folder, make that first"
        raise InputFileError(f"{path} has no reader: stemscale reads {' '.join(kinds)}{first}")


def _watched(
    row: ManifestRow, options: IngestOptions, left_out: Mapping[str, str], patience_s: float
) -> Watched:
    if row.rapid.suffix.lower() in GROWING and not row.rapid.is_dir():
        return WatchedFile(row.rapid, detector=options.detector)
    side = (row.slow, row.frame_metadata, options.log)
    return WatchedFolder(
        row.rapid,
        detector=options.detector,
        no_frames=[f for f in side if f is not None],
        left_out=left_out,
        patience_s=patience_s,
    )


@contextmanager
def _growing_store(
    path: StorePath, fov: str
) -> Iterator[tuple[AcquisitionStore, Callable[[], None]]]:
    """Give the store, and what raises when another run has taken over."""
    is_new = not (path / "zarr.json").is_file()
    try:
        store = AcquisitionStore.create(path)
        ledger = store.ledger(rapid_group(fov))
        what = f"{path}/{rapid_group(fov)}"
        with hold_lease(ledger.lease_file, what=what) as epoch:
            store.require_whole(fov)
            get_ready()
            yield store, lambda: check_epoch(ledger.lease_file, epoch, what=what)
        if is_new and not store.fovs():
            store.destroy()
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error}): make room or mend it, and run the same command "
            f"again; it goes on where it was"
        ) from error
