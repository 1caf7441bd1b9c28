"""Filter every frame of a store that is not filtered yet, as a graph of tasks on Dask."""

import logging
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from stemscale.acquisition import image_coordinates
from stemscale.clusters import Jobs, Tls, check_place, connect
from stemscale.dashboard import attach
from stemscale.denoising import RESPECTS, find_devices
from stemscale.distortion import Interpolation
from stemscale.errors import ProcessingError, StoreUnavailableError
from stemscale.pipeline.block import BlockTask, process_block
from stemscale.pipeline.calibration import shift_variables
from stemscale.pipeline.drift import find_drift
from stemscale.pipeline.engine import run_blocks
from stemscale.pipeline.events import Listener, RunStarted, no_listener
from stemscale.pipeline.ledger_files import (
    keep_distortion,
    keep_drift,
    keep_filter,
    keep_parameters,
    load_drift,
    load_parameters,
)
from stemscale.pipeline.performance import check_report_file, reporting
from stemscale.pipeline.plan import ProcessPlan, SeriesPlan, check_workers, plan_process
from stemscale.pipeline.standing import earlier_run, restore_ledger
from stemscale.pipeline.telling import telling
from stemscale.pipeline.tuning import find_parameters
from stemscale.store import (
    FRAME_STATUS,
    OUT_OF_RANGE,
    OUT_OF_RANGE_FLAG,
    AcquisitionStore,
    FlaggedFrames,
    FrameVariable,
    StorePath,
    block_bounds,
    finish_frames,
    flagged_frames,
    hold_lease,
    rapid_group,
)

logger = logging.getLogger(__name__)

_BANDS = (("band", 3),)
_RANGE_VARIABLES = {
    OUT_OF_RANGE: FrameVariable(
        attrs={
            "units": "1",
            "long_name": "how far the rapid frame lies outside what the filter was trained on, in "
            "tolerances: 0 inside, 1 or more clearly outside; the largest of all respects",
        },
        dtype="float32",
    ),
    OUT_OF_RANGE_FLAG: FrameVariable(
        attrs={
            "long_name": "in which respects the rapid frame lies outside what the filter was "
            "trained on",
            "flag_masks": list(RESPECTS.values()),
            "flag_meanings": " ".join(RESPECTS),
        },
        dtype="uint8",
    ),
}
_VERBS = {"none": "correct", "dcfi": "average"}  # of tasks, as Dask's pages name them


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSummary:
    """What a run of `process` did.

    Attributes
    ----------
    store : Path or ObjectPath
        The store.
    name : str
        Name of what was written.
    fovs : int
        Fields of view.
    frames : int
        Frames made in this run.
    frames_skipped : int
        Frames that were there already.
    failed : dict of str to list
        Frames that could not be made, by FOV.
    reasons : dict of str to str
        Why frames could not be made, the last reason of each FOV.
    damaged : dict of str to list
        Frames whose raw data are damaged, by FOV.
    clipped : int
        Pixels clipped to the range of the dtype.
    masked : int
        Pixels that the rapid scan did not see: the store's fill value, NaN in xarray.
    transfers : dict of str to str
        Where the distortion is from, by FOV, if from another store.
    misfits : dict of str to tuple of str
        Where a series is clearly unlike what the filter was trained for, by FOV, in sentences.
    out_of_range : dict of str to FlaggedFrames
        Frames that lie outside what the filter was trained on, by FOV; of all frames there are,
        made in this run or before. FOVs without one are left out.
    judged : bool
        Whether frames were held against what the filter was trained on: only a filter file can
        tell, and those of older versions do not.
    seconds : float
        Time the blocks took, without the start of the workers [s].
    state : str
        ``complete`` or ``partial``.
    """

    store: StorePath
    name: str
    fovs: int
    frames: int
    frames_skipped: int
    failed: dict[str, list[int]]
    reasons: dict[str, str]
    damaged: dict[str, list[int]]
    clipped: int
    masked: int
    transfers: dict[str, str]
    misfits: dict[str, tuple[str, ...]]
    out_of_range: dict[str, FlaggedFrames]
    judged: bool
    seconds: float
    state: str

    @property
    def frames_per_s(self) -> float:
        """Rate of this run [frames/s]."""
        return self.frames / self.seconds if self.seconds else 0.0


def process(
    store: str | Path,
    *,
    filter: str | Path | None = None,  # the field's word, and the option's
    name: str | None = None,
    fovs: Sequence[str] = (),
    distortion: str | Path | None = None,
    force: bool = False,
    interpolation: Interpolation = "linear",
    window: int | None = None,
    weighted: bool = False,
    drift: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    scheduler: str = "local",
    workers: int | None = None,
    device: str = "auto",
    tls: Tls | None = None,
    cluster_file: str | Path | None = None,
    client: Client | None = None,
    performance_report: str | Path | None = None,
    listener: Listener = no_listener,
) -> ProcessSummary:
    """Filter every frame of a store that is not filtered yet.

    Parameters
    ----------
    store, filter, name, fovs, distortion, force, interpolation, window, weighted, drift
        As for `plan_process`.
    overwrite, retry_failed
        As for `plan_process`.
    scheduler : str
        "local", "slurm", "kubernetes", or the address of a running Dask scheduler.
    workers : int, optional
        Worker processes of a local cluster; by default one for each core, or for each GPU.
    device : str
        Where a local cluster filters, see `stemscale.denoising.find_devices`.
    tls : Tls, optional
        Certificates, for the address of a scheduler that asks for them.
    cluster_file : str or Path, optional
        YAML: the settings of SLURM jobs, see `stemscale.clusters.slurm.SlurmSettings`; or a
        DaskCluster of Kubernetes, see `stemscale.clusters.kubernetes.read_manifest`.
    client : distributed.Client, optional
        A ready client to use instead of ``scheduler``.
    performance_report : str or Path, optional
        HTML file for Dask's account of tasks and workers, see `distributed.performance_report`.
    listener : callable
        Told when the run starts and of each block done or failed.

    Returns
    -------
    ProcessSummary

    Raises
    ------
    FilterError, StoreError, StoreConflictError, SeriesError
        As for `plan_process`, before anything is written.
    StoreConflictError
        If another run is writing the same output.
    SettingsError
        If options do not go together, or the file for the report cannot be.
    """
    plan = plan_process(
        store,
        filter=filter,
        name=name,
        fovs=fovs,
        distortion=distortion,
        force=force,
        interpolation=interpolation,
        window=window,
        weighted=weighted,
        drift=drift,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )
    check_workers(workers)
    jobs = check_place(
        scheduler,
        workers=workers,
        device=device,
        tls=tls,
        cluster_file=None if cluster_file is None else Path(cluster_file),
    )
    report_file = None if performance_report is None else Path(performance_report)
    check_report_file(report_file)
    devices = find_devices(device) if plan.choice.kind == "file" else ("cpu",)
    return run_plan(
        plan,
        scheduler=scheduler,
        workers=workers,
        devices=devices,
        tls=tls,
        jobs=jobs,
        client=client,
        report_file=report_file,
        listener=listener,
    )


def run_plan(
    plan: ProcessPlan,
    *,
    scheduler: str = "local",
    workers: int | None = None,
    devices: tuple[str, ...] = ("cpu",),
    tls: Tls | None = None,
    jobs: Jobs | None = None,
    client: Client | None = None,
    report_file: Path | None = None,
    listener: Listener = no_listener,
) -> ProcessSummary:
    """Carry a plan out.

    Parameters
    ----------
    plan : ProcessPlan
    scheduler, workers, tls, client, listener
        As for `process`.
    devices : tuple of str
        That a local cluster filters on.
    jobs : SlurmSettings or DaskCluster, optional
        The workers to be started elsewhere, from `stemscale.clusters.check_place`.
    report_file : Path, optional
        As ``performance_report``.

    Returns
    -------
    ProcessSummary
    """
    store = AcquisitionStore(plan.store)
    if plan.choice.file is not None and plan.choice.sha256 is not None:
        keep_filter(store.path, plan.choice.file, plan.choice.sha256)
    given_up: dict[str, dict[int, str]] = defaultdict(dict)
    counts: Counter[str] = Counter()
    good = FRAME_STATUS["done"]
    with ExitStack() as stack:
        about: dict[str, Any] = {"verb": "process"}
        epochs = {
            s.group: stack.enter_context(_lease(store, s, about))
            for s in plan.series
            if s.todo or store.attrs(s.group).get("state") != "complete"
        }
        # a driver that was killed leaves workers that go on until its lease is taken
        plan = plan.as_it_stands(store, epochs)
        busy = [s for s in plan.series if s.todo]
        if busy and client is None:  # before --overwrite takes away what is there
            place = connect(
                scheduler,
                workers=workers,
                devices=devices,
                tls=tls,
                jobs=jobs,
            )
            client = stack.enter_context(place)
        for series in busy:
            _lay_out(store, series, plan)
        if client is not None:
            about["dashboard"] = attach(client)
        for series in busy:
            if series.run.get("drift") and load_drift(store.ledger(series.group)) is None:
                shifts = find_drift(store, series.fov, client, listener)
                keep_drift(store.ledger(series.group), shifts)
            _tune(store, series, plan)
        began = time.perf_counter()
        try:
            if client is not None:
                listener(_started(plan, client, about["dashboard"]))
                run = secrets.token_hex(8)
                with (
                    reporting(client, report_file, command=_command(plan)),
                    telling(client, plan, run, listener) as told,
                ):
                    for task, record in run_blocks(
                        client,
                        process_block,
                        _tasks(plan, epochs, run),
                        told,
                        verb=_VERBS.get(plan.choice.kind, "denoise"),
                        pictured=lambda task: replace(task, picture=True),
                    ):
                        if isinstance(record, str):
                            given_up[task.group][task.block] = record
                        else:
                            counts.update(record.counts)
                            counts["frames"] += record.status.count(good)
        except (KeyboardInterrupt, ProcessingError):
            with suppress(OSError, StoreUnavailableError):  # it may be the store that ends this
                _close(store, plan, epochs, given_up)
            raise
        seconds = time.perf_counter() - began
        _close(store, plan, epochs, given_up)
        if not epochs and not store.is_consolidated():  # a run killed when only this was left
            store.consolidate()
    return _summary(store, plan, seconds if busy else 0.0, counts)


def _close(
    store: AcquisitionStore,
    plan: ProcessPlan,
    epochs: Container[str],
    given_up: Mapping[str, Mapping[int, str]],
) -> None:
    """Write what became of the frames into the groups that this run holds."""
    mine = [s for s in plan.series if s.group in epochs]
    for series in mine:
        _finish(store, series, given_up.get(series.group, {}))
    if any(s.todo for s in mine):
        store.add_history(f"{_command(plan)} on {' '.join(s.fov for s in mine if s.todo)}")
    if mine:
        store.consolidate()


def _command(plan: ProcessPlan) -> str:
    """Write the command as the store's history keeps it."""
    parts = [f"process --filter {plan.choice.label} --name {plan.name}"]
    transfer = next((s.transfer for s in plan.series if s.transfer is not None), None)
    if transfer is not None:
        forced = any(s.transfer is not None and s.transfer.forced for s in plan.series)
        parts.append(f"--distortion {transfer.store}" + " --force" * forced)
    chosen = {s.run["interpolation"] for s in plan.series} - {None, "linear"}
    parts += [f"--interpolation {name}" for name in chosen]
    return " ".join(parts)


def _lease(store: AcquisitionStore, series: SeriesPlan, about: Mapping[str, Any]) -> Any:
    file = store.ledger(series.group).lease_file
    return hold_lease(file, what=f"{store.path}/{series.group}", about=about)


def _tune(store: AcquisitionStore, series: SeriesPlan, plan: ProcessPlan) -> None:
    """Find the parameters of a classical filter, unless a run cut short has found them."""
    if not plan.choice.classical:
        return
    ledger = store.ledger(series.group)
    found = load_parameters(ledger)
    if found is None:
        found = find_parameters(store, series.fov, series.group, plan.choice)
        keep_parameters(ledger, found)
    store.set_attrs(series.group, {"filter_parameters": found})


def _lay_out(store: AcquisitionStore, series: SeriesPlan, plan: ProcessPlan) -> None:
    """Make the empty group, unless it is there from a run that was cut short."""
    ledger = store.ledger(series.group)
    coordinates = _coordinates(store, series)
    earlier = earlier_run(store, series.group)
    if earlier is not None and earlier.get("fingerprint") == series.run["fingerprint"]:
        store.set_attrs(series.group, {"state": "partial"})
        if restore_ledger(store, series.output):
            keep_distortion(ledger, series.distortion)
            keep_parameters(ledger, store.attrs(series.group).get("filter_parameters"))
        if _length(store, series.group) < series.n_frames:
            _grow(store, series, coordinates)
        return
    card = plan.choice.card
    attrs = {
        "state": "partial",
        "filter": plan.choice.label,
        "filter_sha256": plan.choice.sha256,
        "filter_card": None if card is None else dict(card),
        "trained_on": series.trained_on,
        "filter_misfit": list(series.misfit) or None,
        "window": plan.choice.window,
        "weighted": plan.choice.weighted or None,
        "distortion": series.correction,
        "distortion_transfer": None if series.transfer is None else series.transfer.to_attrs(),
        "interpolation": series.run["interpolation"],
        "fingerprint": series.run["fingerprint"],
        "run": series.run,
    }
    known = {k: v for k, v in attrs.items() if v is not None}
    store.create_frames(
        series.fov,
        series.group,
        xr.Dataset(coords=coordinates, attrs=known),
        series.settings,
        n_frames=series.n_frames,
        dtype=np.dtype(series.dtype),
        with_fill=True,
        long_name=f"rapid frames after {plan.choice.label}",
        block=series.block,
    )
    ledger.start(series.run)
    keep_distortion(ledger, series.distortion)
    keep_drift(ledger, None)  # found once there are workers; that of another run is not this one's
    keep_parameters(ledger, None)


def _length(store: AcquisitionStore, group: str) -> int:
    """Frames that a group has room for; the fewest, where it was being made longer."""
    return min(store.frames(group).shape[0], store.array(f"{group}/frame").shape[0])


def _coordinates(store: AcquisitionStore, series: SeriesPlan) -> dict[str, Any]:
    """Per-frame coordinates of the input; their means where the series becomes one frame."""
    found: dict[str, Any] = dict(image_coordinates(series.settings))
    with store.dataset(rapid_group(series.fov), decode=False) as rapid:  # clock times as stored
        for name, coordinate in rapid.coords.items():
            if coordinate.dims != ("frame",):
                continue
            if series.run["whole_series"] and "flag_meanings" in coordinate.attrs:
                continue  # words have no mean
            values, attrs = coordinate.values, dict(coordinate.attrs)
            if series.run["whole_series"]:
                attrs["long_name"] = f"{attrs.get('long_name', name)}, mean of the series"
                if name == "frame":
                    values, attrs = np.zeros(1, dtype=np.int64), dict(coordinate.attrs)
                else:
                    values = _mean(values)
            found[str(name)] = ("frame", values, attrs)
    return found


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """Mean of what is known, in the same type."""
    missing = np.iinfo(np.int64).min  # of clock times
    known = values[values != missing] if values.dtype.kind == "i" else values[np.isfinite(values)]
    if not len(known):
        return values[:1]
    # Clock times fill 64 bit: no sum of them fits, and no float has their resolution.
    middle: NDArray[Any] = known[:1] + np.mean(known - known[0]).astype(values.dtype)
    return middle


def _tasks(plan: ProcessPlan, epochs: dict[str, int], run: str) -> Iterator[BlockTask]:
    for series in plan.series:
        for block in series.todo:
            start, stop = block_bounds(block, series.n_frames, series.block)
            yield BlockTask(
                store=str(plan.store.absolute()),
                fov=series.fov,
                group=series.group,
                block=block,
                frames=stop - start,
                fingerprint=series.run["fingerprint"],
                epoch=epochs[series.group],
                run=run,
            )


def _grow(store: AcquisitionStore, series: SeriesPlan, coordinates: dict[str, Any]) -> None:
    """Make room for frames that the series got since; safe to be done again when cut short."""
    store.write_dataset(series.group, xr.Dataset(coords=coordinates))
    store.frames(series.group).resize(series.n_frames)
    _finish(store, series, {})  # what is known of every frame has the new length, too


def _finish(store: AcquisitionStore, series: SeriesPlan, given_up: Mapping[int, str]) -> None:
    ledger = store.ledger(series.group)
    records = ledger.records()
    variables: dict[str, FrameVariable] = {}
    if any("psnr" in r.scores for r in records.values()):
        relation = store.attrs(f"{series.fov}/slow").get("relation", "same")
        variables |= _psnr_variables(relation, whole=bool(series.run["whole_series"]))
    if any(OUT_OF_RANGE in r.scores for r in records.values()):
        variables |= _RANGE_VARIABLES
    drift = load_drift(ledger) if series.run.get("drift") else None
    if drift is not None:
        store.write_dataset(series.group, shift_variables(drift))
    failures = {**series.standing.failed, **given_up}
    ledger.keep_failures(failures)
    finish_frames(store, series.group, records, variables=variables, failed_blocks=failures)
    totals = {n: sum(r.counts.get(n, 0) for r in records.values()) for n in ("masked", "clipped")}
    store.set_attrs(series.group, {f"{name}_pixels": total for name, total in totals.items()})


def _psnr_variables(relation: str, *, whole: bool) -> dict[str, FrameVariable]:
    after = ", which was taken after the series" if relation == "after" else ""
    found = {}
    for name, what in (
        ("psnr", "filtered frame"),
        ("psnr_rapid", "rapid frames, mean of the series" if whole else "rapid frame, corrected"),
    ):
        long_name = f"PSNR of the {what} against the slow scan{after}"
        found[name] = FrameVariable(attrs={"units": "dB", "long_name": long_name})
        by_band = {
            "units": "dB",
            "long_name": f"{long_name}, by band of its intensity",
            "band_edges": [0, 20000, 40000, 65535],
        }
        found[f"{name}_band"] = FrameVariable(attrs=by_band, more=_BANDS)
    return found


def _started(plan: ProcessPlan, client: Client, dashboard: str) -> RunStarted:
    return RunStarted(
        frames=plan.frames,
        blocks=plan.tasks,
        workers=len(client.nthreads()),
        dashboard=dashboard,
    )


def _summary(
    store: AcquisitionStore,
    plan: ProcessPlan,
    seconds: float,
    counts: Mapping[str, int],
) -> ProcessSummary:
    failed: dict[str, list[int]] = {}
    damaged: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    out_of_range: dict[str, FlaggedFrames] = {}
    judged = False
    complete = True
    for series in plan.series:
        complete &= store.attrs(series.group).get("state") == "complete"
        reasons.update((series.fov, why) for why in store.ledger(series.group).failures().values())
        with store.dataset(series.group) as dataset:
            status = dataset["frame_status"].values
            flagged = flagged_frames(dataset)
        judged |= flagged is not None
        if flagged is not None and flagged.frames:
            out_of_range[series.fov] = flagged
        for kind, found in (("failed", failed), ("damaged_input", damaged)):
            frames = np.flatnonzero(status == FRAME_STATUS[kind])
            if len(frames):
                found[series.fov] = [int(f) for f in frames]
    return ProcessSummary(
        store=plan.store,
        name=plan.name,
        fovs=len(plan.series),
        frames=counts.get("frames", 0),
        frames_skipped=sum(s.standing.done_frames for s in plan.series),
        failed=failed,
        reasons=reasons,
        damaged=damaged,
        clipped=counts.get("clipped", 0),
        masked=counts.get("masked", 0),
        transfers={s.fov: s.correction for s in plan.series if s.transfer is not None},
        misfits={s.fov: s.misfit for s in plan.series if s.misfit},
        out_of_range=out_of_range,
        judged=judged,
        seconds=seconds,
        state="complete" if complete else "partial",
    )
