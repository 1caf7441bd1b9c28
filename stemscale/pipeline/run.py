"""What every run of a plan does around its blocks: hold what it writes, tell of itself, close."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client

from stemscale.errors import ProcessingError, StoreUnavailableError
from stemscale.pipeline.block import BlockTask
from stemscale.pipeline.events import Listener, RunStarted
from stemscale.pipeline.performance import reporting
from stemscale.pipeline.plan import ProcessPlan, SeriesPlan
from stemscale.pipeline.telling import telling
from stemscale.store import AcquisitionStore, hold_lease

_VERBS = {"none": "correct", "dcfi": "average"}


def verb_of(plan: ProcessPlan) -> str:
    """Say what is done to a FOV, as Dask's pages name its tasks."""
    return _VERBS.get(plan.choice.kind, "denoise")


def with_picture(task: BlockTask) -> BlockTask:
    """Let a task show the dashboard a frame."""
    return replace(task, picture=True)


def hold_series(store: AcquisitionStore, series: SeriesPlan, about: Mapping[str, Any]) -> Any:
    """Be the only driver that writes a series, see `hold_lease`."""
    file = store.ledger(series.group).lease_file
    return hold_lease(file, what=f"{store.path}/{series.group}", about=about)


@contextmanager
def running(
    client: Client,
    plan: ProcessPlan,
    listener: Listener,
    *,
    dashboard: str,
    report_file: Path | None,
    close: Callable[[], Any],
) -> Iterator[tuple[str, Listener]]:
    """Tell of a run as it begins and ends, and close it where it is cut short.

    Parameters
    ----------
    client : Client
    plan : ProcessPlan
        As it stands when the first block is submitted.
    listener : callable
    dashboard : str
        Address of the page that shows the run; empty where there is none.
    report_file : Path or None
        For Dask's account of tasks and workers.
    close : callable
        Writes what became of the frames, where the user or a store or scheduler that is gone ends
        the run.

    Yields
    ------
    run : str
        Names the run to the dashboard.
    told : callable
        The listener to be told of the run.
    """
    run = secrets.token_hex(8)
    try:
        listener(
            RunStarted(
                frames=plan.frames,
                blocks=plan.tasks,
                workers=len(client.nthreads()),
                dashboard=dashboard,
            )
        )
        with (
            reporting(client, report_file, command=command_of(plan)),
            telling(client, plan, run, listener) as told,
        ):
            yield run, told
    except (KeyboardInterrupt, ProcessingError):
        with suppress(OSError, StoreUnavailableError):  # it may be the store that ends this
            close()
        raise


def command_of(plan: ProcessPlan) -> str:
    """Write the command as the store's history keeps it."""
    asked = plan.asked
    parts = [f"process --filter {plan.choice.label} --name {plan.name}"]
    if asked.window is not None:
        parts.append(f"--window {asked.window}")
    parts += ["--weighted"] * asked.weighted + ["--drift"] * asked.drift
    transfer = next((s.transfer for s in plan.series if s.transfer is not None), None)
    if transfer is not None:
        forced = any(s.transfer is not None and s.transfer.forced for s in plan.series)
        parts.append(f"--distortion {transfer.store}" + " --force" * forced)
    elif asked.distortion is not None:
        parts.append("--distortion none")
    if asked.interpolation != "linear":
        parts.append(f"--interpolation {asked.interpolation}")
    if asked.dtype is not None:
        parts.append(f"--dtype {asked.dtype}")
    return " ".join(parts)
