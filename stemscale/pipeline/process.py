"""Filter every frame of a store that is not filtered yet, as a graph of tasks on Dask."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from stemscale.acquisition import image_coordinates
from stemscale.distortion import Interpolation
from stemscale.pipeline.block import BlockTask, process_block
from stemscale.pipeline.calibration import shift_variables
from stemscale.pipeline.cluster import connect
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
from stemscale.pipeline.plan import ProcessPlan, SeriesPlan, check_workers, plan_process
from stemscale.pipeline.tuning import find_parameters
from stemscale.store import (
    FRAME_STATUS,
    AcquisitionStore,
    FrameVariable,
    block_bounds,
    finish_frames,
    hold_lease,
    rapid_group,
)

logger = logging.getLogger(__name__)

_BANDS = (("band", 3),)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSummary:
    """What a run of `process` did.

    Attributes
    ----------
    store : Path
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
    seconds : float
        Time the blocks took, without the start of the workers [s].
    state : str
        ``complete`` or ``partial``.
    """

    store: Path
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
    scheduler: str = "local",
    workers: int | None = None,
    client: Client | None = None,
    listener: Listener = no_listener,
) -> ProcessSummary:
    """Filter every frame of a store that is not filtered yet.

    Parameters
    ----------
    store, filter, name, fovs, distortion, force, interpolation, window, weighted, drift, overwrite
        As for `plan_process`.
    scheduler : str
        "local", or the address of a running Dask scheduler.
    workers : int, optional
        Worker processes of a local cluster; by default one for each core.
    client : distributed.Client, optional
        A ready client to use instead of ``scheduler``.
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
    )
    check_workers(workers)
    return run_plan(
        plan,
        filter_file=filter,
        scheduler=scheduler,
        workers=workers,
        client=client,
        listener=listener,
    )


def run_plan(
    plan: ProcessPlan,
    *,
    filter_file: str | Path | None,
    scheduler: str = "local",
    workers: int | None = None,
    client: Client | None = None,
    listener: Listener = no_listener,
) -> ProcessSummary:
    """Carry a plan out.

    Parameters
    ----------
    plan : ProcessPlan
    filter_file : str or Path
        The filter, where it is a file.
    scheduler, workers, client, listener
        As for `process`.

    Returns
    -------
    ProcessSummary
    """
    store = AcquisitionStore(plan.store)
    if plan.choice.sha256 is not None:
        keep_filter(store.path, Path(str(filter_file)), plan.choice.sha256)
    busy = [s for s in plan.series if s.todo]
    given_up: dict[str, list[int]] = defaultdict(list)
    reasons: dict[str, str] = {}
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        epochs = {s.group: stack.enter_context(_lease(store, s)) for s in busy}
        for series in busy:
            _lay_out(store, series, plan)
        if busy and client is None:
            client = stack.enter_context(connect(scheduler, workers=workers))
        for series in busy:
            if series.run.get("drift") and load_drift(store.ledger(series.group)) is None:
                shifts = find_drift(store, series.fov, client, listener)
                keep_drift(store.ledger(series.group), shifts)
            _tune(store, series, plan)
        began = time.perf_counter()
        if client is not None:
            listener(_started(plan, client))
            for task, record in run_blocks(client, process_block, _tasks(plan, epochs), listener):
                if isinstance(record, str):
                    given_up[task.group].append(task.block)
                    reasons[task.fov] = record
                else:
                    counts.update(record.counts)
        seconds = time.perf_counter() - began
        for series in busy:
            _finish(store, series, given_up[series.group])
        if busy:
            store.add_history(f"{_command(plan)} on {' '.join(s.fov for s in busy)}")
        if busy or not store.is_consolidated():  # a run may be killed when only this is left to do
            store.consolidate()
    return _summary(store, plan, seconds if busy else 0.0, counts, reasons)


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


def _lease(store: AcquisitionStore, series: SeriesPlan) -> Any:
    return hold_lease(store.ledger(series.group).lease_file, what=f"{store.path}/{series.group}")


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
    same = (ledger.run() or {}).get("fingerprint") == series.run["fingerprint"]
    if same and store.has(f"{series.group}/frames"):
        store.set_attrs(series.group, {"state": "partial"})
        return
    coordinates = _coordinates(store, series)
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


def _tasks(plan: ProcessPlan, epochs: dict[str, int]) -> Iterator[BlockTask]:
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
            )


def _finish(store: AcquisitionStore, series: SeriesPlan, failed: list[int]) -> None:
    ledger = store.ledger(series.group)
    records = ledger.records()
    variables = {}
    if any("psnr" in r.scores for r in records.values()):
        relation = store.attrs(f"{series.fov}/slow").get("relation", "same")
        variables = _psnr_variables(relation, whole=bool(series.run["whole_series"]))
    drift = load_drift(ledger) if series.run.get("drift") else None
    if drift is not None:
        store.write_dataset(series.group, shift_variables(drift))
    finish_frames(store, series.group, records, variables=variables, failed_blocks=failed)
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


def _started(plan: ProcessPlan, client: Client) -> RunStarted:
    return RunStarted(
        frames=plan.frames,
        blocks=plan.tasks,
        workers=len(client.nthreads()),
        dashboard=client.dashboard_link,
    )


def _summary(
    store: AcquisitionStore,
    plan: ProcessPlan,
    seconds: float,
    counts: Mapping[str, int],
    reasons: dict[str, str],
) -> ProcessSummary:
    failed: dict[str, list[int]] = {}
    damaged: dict[str, list[int]] = {}
    complete = True
    for series in plan.series:
        complete &= store.attrs(series.group).get("state") == "complete"
        with store.dataset(series.group) as dataset:
            status = dataset["frame_status"].values
        for kind, found in (("failed", failed), ("damaged_input", damaged)):
            frames = np.flatnonzero(status == FRAME_STATUS[kind])
            if len(frames):
                found[series.fov] = [int(f) for f in frames]
    lost = sum(map(len, failed.values())) + sum(map(len, damaged.values()))
    return ProcessSummary(
        store=plan.store,
        name=plan.name,
        fovs=len(plan.series),
        frames=max(0, plan.frames - lost),
        frames_skipped=sum(s.done_frames for s in plan.series),
        failed=failed,
        reasons=reasons,
        damaged=damaged,
        clipped=counts.get("clipped", 0),
        masked=counts.get("masked", 0),
        transfers={s.fov: s.correction for s in plan.series if s.transfer is not None},
        misfits={s.fov: s.misfit for s in plan.series if s.misfit},
        seconds=seconds,
        state="complete" if complete else "partial",
    )
