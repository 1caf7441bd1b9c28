"""Filter every frame of a store that is not filtered yet, as a graph of tasks on Dask."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import xarray as xr
from distributed import Client

from stemscale.clusters import StartWorkers, Tls, check_place, connect
from stemscale.corrections import keep_drift, load_drift
from stemscale.dashboard import attach
from stemscale.denoising import find_devices
from stemscale.distortion import Interpolation
from stemscale.errors import SettingsError
from stemscale.pipeline.asked import Asked
from stemscale.pipeline.block import BlockTask, process_block
from stemscale.pipeline.drift import find_drift
from stemscale.pipeline.engine import run_blocks
from stemscale.pipeline.events import Listener, no_listener
from stemscale.pipeline.filtered import finish, frame_columns, lay_out
from stemscale.pipeline.follow import Waits
from stemscale.pipeline.follow import follow as follow_series
from stemscale.pipeline.ledger_files import keep_filter, keep_parameters, load_parameters
from stemscale.pipeline.outcome import ProcessSummary, summarize_run
from stemscale.pipeline.performance import check_report_file
from stemscale.pipeline.plan import ProcessPlan, SeriesPlan, plan_asked
from stemscale.pipeline.run import command_of, hold_series, running, verb_of, with_picture
from stemscale.pipeline.tuning import find_parameters
from stemscale.store import FRAME_STATUS, AcquisitionStore, block_bounds

logger = logging.getLogger(__name__)


def process(
    store: str | Path,
    *,
    filter: str | Path | None = None,  # the field's word, and the option's
    name: str | None = None,
    fovs: Sequence[str] = (),
    distortion: str | Path | None = None,
    force: bool = False,
    interpolation: Interpolation = "linear",
    dtype: str | None = None,
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
    follow: bool = False,
    until_idle_s: float | None = None,
    stop: threading.Event | None = None,
    may_come: Callable[[], bool] | None = None,
    listener: Listener = no_listener,
) -> ProcessSummary:
    """Filter every frame of a store that is not filtered yet.

    Parameters
    ----------
    store, filter, name, fovs, distortion, force, interpolation, dtype, window, weighted, drift
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
    follow : bool
        Whether to go on with what is still being ingested, the newest frames first, until the
        series are complete.
    until_idle_s : float, optional
        With ``follow``: go on until no frame has come for so long instead [s].
    stop : threading.Event, optional
        With ``follow``: when it is set, the run ends as soon as what has come is filtered.
    may_come : callable, optional
        With ``follow``: tells whether frames may come yet, in place of what the store says.
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
    ProcessingError
        If ``follow`` waits for frames in vain.

    Examples
    --------
    All frames are there already, so that there is nothing to do:

    >>> import stemscale
    >>> summary = stemscale.process("run.zarr", filter="live")
    >>> summary.state, summary.frames, summary.frames_skipped
    ('complete', 0, 24)
    """
    asked = Asked(
        filter=filter,
        name=name,
        fovs=fovs,
        distortion=distortion,
        force=force,
        interpolation=interpolation,
        dtype=dtype,
        window=window,
        weighted=weighted,
        drift=drift,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )
    if until_idle_s is not None and not (follow and until_idle_s > 0):
        raise SettingsError(f"--until-idle {until_idle_s:g}: seconds above 0, with --follow")
    plan = None if follow else plan_asked(store, asked)
    jobs = check_place(
        scheduler,
        workers=workers,
        device=device,
        tls=tls,
        cluster_file=None if cluster_file is None else Path(cluster_file),
    )
    report_file = None if performance_report is None else Path(performance_report)
    check_report_file(report_file)
    if plan is None:
        waits = Waits(until_idle_s=until_idle_s, stop=stop or threading.Event(), may_come=may_come)
        place = (
            nullcontext(client)
            if client is not None
            else connect(
                scheduler, workers=workers, devices=find_devices(device), tls=tls, jobs=jobs
            )
        )
        return follow_series(store, asked, place, waits, listener, report_file=report_file)
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
    jobs: StartWorkers | None = None,
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
    jobs : callable, optional
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
            s.group: stack.enter_context(hold_series(store, s, about))
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
            lay_out(store, series, plan.choice)
        if client is not None:
            about["dashboard"] = attach(client)
        for series in busy:
            if series.run.get("drift") and load_drift(store.ledger(series.group)) is None:
                shifts = find_drift(store, series.fov, client, listener)
                keep_drift(store.ledger(series.group), shifts)
            _tune(store, series, plan)
        began = time.perf_counter()
        if client is not None:
            with running(
                client,
                plan,
                listener,
                dashboard=about["dashboard"],
                report_file=report_file,
                close=lambda: _close(store, plan, epochs, given_up),
            ) as (run, told):
                for task, record in run_blocks(
                    client,
                    process_block,
                    _tasks(plan, epochs, run),
                    told,
                    verb=verb_of(plan),
                    pictured=with_picture,
                ):
                    if isinstance(record, str):
                        given_up[task.group][task.block] = record
                    else:
                        counts.update(record.counts)
                        counts["frames"] += record.status.count(good)
        seconds = time.perf_counter() - began
        _close(store, plan, epochs, given_up)
        if not epochs and not store.is_consolidated():  # a run killed when only this was left
            store.consolidate()
    return summarize_run(store, plan, seconds if busy else 0.0, counts)


def _close(
    store: AcquisitionStore,
    plan: ProcessPlan,
    epochs: Container[str],
    given_up: Mapping[str, Mapping[int, str]],
) -> None:
    """Write what became of the frames into the groups that this run holds."""
    mine = [s for s in plan.series if s.group in epochs]
    for series in mine:
        # a watch that ended since may have brought more of them
        store.write_dataset(series.group, xr.Dataset(coords=frame_columns(store, series)))
        finish(store, series, given_up.get(series.group, {}))
    if any(s.todo for s in mine):
        store.add_history(f"{command_of(plan)} on {' '.join(s.fov for s in mine if s.todo)}")
    if mine:
        store.consolidate()


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
