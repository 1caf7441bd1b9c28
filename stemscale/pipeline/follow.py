"""Filter series while they grow: one run, with one cluster, that keeps up with the microscope."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from stemscale.dashboard import attach
from stemscale.errors import (
    ProcessingError,
    StemscaleError,
    StoreConflictError,
    StoreError,
)
from stemscale.pipeline.asked import Asked
from stemscale.pipeline.block import process_block
from stemscale.pipeline.engine import run_blocks
from stemscale.pipeline.events import Listener, Ready, Waiting
from stemscale.pipeline.filtered import frame_columns, grow, lay_out
from stemscale.pipeline.followed import Followed, FollowedSeries
from stemscale.pipeline.growing import RawSeries
from stemscale.pipeline.ledger_files import keep_filter
from stemscale.pipeline.outcome import ProcessSummary, summarize_run
from stemscale.pipeline.plan import FOLLOW_SCALE_FRAMES, ProcessPlan, plan_asked
from stemscale.pipeline.run import command_of, hold_series, running, verb_of, with_picture
from stemscale.pipeline.worker_filters import warm_up
from stemscale.store import (
    AcquisitionStore,
    StorePath,
    ledger_root,
    lengthen,
    make_growable,
    rapid_group,
    store_path,
)

logger = logging.getLogger(__name__)

_LOOK_S = 0.05
_FEW_S = 2.0  # without a new frame, a scale is taken from fewer than wanted
_SAY_EVERY_S = 5.0
_PUBLISH_S, _PUBLISH_SHARE = 1.0, 20.0  # how often at most, and of which part of the time
_TRIES, _AGAIN_S = 40, 0.05  # for coordinates that are just being written
_USUAL_SHAPE = (512, 512)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """How long to wait for frames.

    Attributes
    ----------
    until_idle_s : float or None
        The run ends when no frame has come for so long [s]; None: it ends when all series are
        complete.
    stop : threading.Event
        The run ends when it is set, once what there is is filtered.
    may_come : callable or None
        Tells whether there may be frames yet, by whoever writes them; by default, the store says
        whether a series is complete.
    """

    until_idle_s: float | None = None
    stop: threading.Event
    may_come: Callable[[], bool] | None = None

    def are_over(self, idle_s: float, complete: bool) -> bool:
        """Tell whether to wait no longer."""
        if self.stop.is_set():
            return True
        if self.until_idle_s is not None:
            return idle_s >= self.until_idle_s
        return complete if self.may_come is None else not self.may_come()


def follow(
    store: str | Path,
    asked: Asked,
    place: AbstractContextManager[Client],
    waits: Waits,
    listener: Listener,
    *,
    report_file: Path | None = None,
) -> ProcessSummary:
    """Filter series while they grow; the workers are ready before the first frame comes.

    Parameters
    ----------
    store : str or Path
        May be made later.
    asked : Asked
        Of which FOVs: by default of all that there are once there is one.
    place : context manager
        Of the client.
    waits : Waits
    listener : callable
    report_file : Path, optional
        For Dask's account of tasks and workers.

    Returns
    -------
    ProcessSummary

    Raises
    ------
    ProcessingError
        If no frame comes.
    FilterError, StoreConflictError, SettingsError
        As for `plan_process`.
    """
    path = store_path(store)
    choice = asked.choice()
    asked.check_follows(choice)
    asked.check(choice)
    if choice.file is not None and choice.sha256 is not None:
        ledger_root(path).parent.mkdir(parents=True, exist_ok=True)
        keep_filter(path, choice.file, choice.sha256)
    with place as client:
        client.run(warm_up, str(path.absolute()), choice.sha256, _USUAL_SHAPE)
        since_ns = time.time_ns()  # who is told may begin to write at once
        listener(Ready(dashboard=attach(client)))
        there = await_frames(path, asked.fovs, waits, listener)
        plan = _patiently(lambda: plan_asked(store, replace(asked, fovs=there), follow=True))
        return follow_plan(
            plan, client, waits, listener, since_ns=since_ns, report_file=report_file
        )


def await_frames(
    path: StorePath, fovs: Sequence[str], waits: Waits, listener: Listener
) -> tuple[str, ...]:
    """Wait until there are enough frames to begin with.

    Parameters
    ----------
    path : Path or ObjectPath
        The store; it may not be there yet.
    fovs : sequence of str
        Fields of view to wait for; by default those that there are, at least one.
    waits : Waits
    listener : callable
        Told what is waited for.

    Returns
    -------
    tuple of str
        The fields of view.

    Raises
    ------
    ProcessingError
        If no frame comes.
    """
    began = said = time.monotonic()
    found: dict[str, RawSeries] = {}
    while True:
        now = time.monotonic()
        over = waits.are_over(now - began, complete=False)  # asked before the last look
        store = AcquisitionStore(path) if (path / "zarr.json").is_file() else None
        for fov in (fovs or store.fovs()) if store is not None else ():
            if fov not in found and store is not None:
                with suppress(StemscaleError):  # it is just being made
                    found[fov] = RawSeries(store, fov)
        for raw in found.values():
            if raw.look():
                began = now
        for fov, raw in found.items():
            at_work = waits.may_come is not None and waits.may_come()
            if raw.is_complete() and not raw.n_frames and not at_work:
                raise StoreError(
                    f"{path}: {fov} is complete, but its records are not there, as in a copy: run "
                    f"`stemscale process` without --follow"
                )
        idle_s = now - began
        few_do = over or idle_s > _FEW_S
        if over and not fovs:  # those without a frame hold up nobody
            found = {fov: raw for fov, raw in found.items() if raw.n_frames}
        enough = [
            raw.n_frames >= FOLLOW_SCALE_FRAMES
            or (raw.n_frames > 0 and (few_do or raw.is_complete()))
            for raw in found.values()
        ]
        if found and all(enough) and all(fov in found for fov in fovs):
            return tuple(found)
        if over:
            raise ProcessingError(
                f"{path}: no frame of {', '.join(fovs) or 'any field of view'} came: there is "
                f"nothing to filter; is `stemscale ingest --watch` at work?"
            )
        if now - said > _SAY_EVERY_S:
            said = now
            listener(Waiting(reason="no frames yet"))
        time.sleep(_LOOK_S)


def follow_plan(
    plan: ProcessPlan,
    client: Client,
    waits: Waits,
    listener: Listener,
    *,
    since_ns: int,
    report_file: Path | None = None,
) -> ProcessSummary:
    """Filter what there is, and what comes, until no more is waited for.

    Parameters
    ----------
    plan : ProcessPlan
        Of series that may grow.
    client : Client
    waits : Waits
    listener : callable
    since_ns : int
        Since when frames were waited for [ns since 1970].
    report_file : Path, optional
        For Dask's account of tasks and workers.

    Returns
    -------
    ProcessSummary
    """
    store = AcquisitionStore(plan.store)
    with ExitStack() as stack:
        about: dict[str, Any] = {"verb": "process"}
        epochs = {s.group: stack.enter_context(hold_series(store, s, about)) for s in plan.series}
        plan = plan.as_it_stands(store, epochs)
        for series in plan.series:
            _patiently(lambda s=series: lay_out(store, s, plan.choice))  # type: ignore[misc]
        about["dashboard"] = attach(client)
        followed = [FollowedSeries(store, s, since_ns=since_ns) for s in plan.series]
        shown = [_Shown(store, one) for one in followed]
        store.consolidate()  # so that viewers find the groups
        counts = {"clipped": 0, "masked": 0}
        began = time.perf_counter()
        with running(
            client,
            plan,
            listener,
            dashboard=about["dashboard"],
            report_file=report_file,
            close=lambda: _close(store, plan, followed),
        ) as (run, told):
            source = Followed(
                str(plan.store.absolute()),
                followed,
                epochs,
                run,
                is_over=waits.are_over,
                publish=shown,
                listener=told,
            )
            for task, record in run_blocks(
                client, process_block, source, told, verb=verb_of(plan), pictured=with_picture
            ):
                source.made(task, record)
                if not isinstance(record, str):
                    counts = {n: c + record.counts.get(n, 0) for n, c in counts.items()}
        seconds = time.perf_counter() - began
        plan = _close(store, plan, followed)
    return summarize_run(
        store,
        plan,
        seconds,
        {**counts, "frames": source.frames_made},
        latency=source.latencies.summary(),
        most_behind=source.most_behind,
        kept_up=source.kept_up,
    )


class _Shown:
    """The group of a series in the store: made longer now and then, for those who look at it."""

    def __init__(self, store: AcquisitionStore, series: FollowedSeries) -> None:
        self._store, self._series = store, series
        self._group = series.plan.group
        columns = _patiently(lambda: frame_columns(store, series.plan))
        about = {"long_name": "what became of the frame"}
        status = series.statuses(series.plan.n_frames)
        make_growable(store, self._group, {**columns, "frame_status": ("frame", status, about)})
        self._names = [n for n, c in columns.items() if c[0] == "frame"]
        self._length, self._next = series.plan.n_frames, time.monotonic()

    def __call__(self) -> None:
        """Show the frames that came, where it is time for that."""
        began = time.monotonic()
        if began < self._next or self._series.changed >= self._series.n_frames:
            return
        try:
            self._show()
        except StoreConflictError:
            raise
        except (StemscaleError, OSError, ValueError) as error:
            # The columns are just being written, the disk is full, the server away: the blocks
            # say so where it lasts, and the group is made longer another time.
            logger.debug("%s is not made longer now: %s", self._group, error)
        now = time.monotonic()
        # It takes longer with every frame, and is done less often for that.
        self._next = now + max(_PUBLISH_S, _PUBLISH_SHARE * (now - began))

    def _show(self) -> None:
        columns = self._columns()
        length, since = len(columns["frame"]), min(self._series.changed, self._length)
        rapid = rapid_group(self._series.plan.fov)
        beside = [f"{rapid}/{n}" for n in ("frames", *self._names)]
        lengthen(self._store, self._group, length, columns, since=since, beside=beside)
        self._length = self._series.changed = length

    def _columns(self) -> dict[str, NDArray[Any]]:
        rapid = rapid_group(self._series.plan.fov)
        columns: dict[str, NDArray[Any]] = {
            name: np.asarray(self._store.array(f"{rapid}/{name}")[:]) for name in self._names
        }
        length = max(self._length, min(self._series.n_frames, *(len(c) for c in columns.values())))
        columns = {n: c[:length] for n, c in columns.items()}
        return {**columns, "frame_status": self._series.statuses(length)}


def _close(
    store: AcquisitionStore, plan: ProcessPlan, followed: Sequence[FollowedSeries]
) -> ProcessPlan:
    """Write what became of all frames into the groups; give the plan as it came to be."""
    series = []
    for one in followed:
        n_frames = max(one.n_frames, one.plan.n_frames)
        standing = replace(one.plan.standing, failed=one.failed)
        now = replace(one.plan, n_frames=n_frames, standing=standing)
        columns = _patiently(lambda s=now: frame_columns(store, s))  # type: ignore[misc]
        short = min(len(c[1]) for c in columns.values() if c[0] == "frame")
        now = replace(now, n_frames=min(n_frames, short))
        columns = {
            n: (d, v[: now.n_frames] if d == "frame" else v, a) for n, (d, v, a) in columns.items()
        }
        grow(store, now, columns)
        if not one.raw.is_complete(now=True):
            store.set_attrs(now.group, {"state": "partial"})
        series.append(now)
    fovs = " ".join(s.fov for s in series)
    store.add_history(f"{command_of(plan)} --follow on {fovs}")
    store.consolidate()
    return replace(plan, series=tuple(series))


def _patiently(make: Callable[[], Any]) -> Any:
    """Do what reads the coordinates of a group that is being written: it may take a few tries."""
    for left in reversed(range(_TRIES)):
        try:
            return make()
        except StoreConflictError:
            raise
        except (StemscaleError, OSError, ValueError, KeyError):
            if not left:
                raise
            time.sleep(_AGAIN_S)
    raise AssertionError
