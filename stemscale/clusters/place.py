"""A ready `distributed.Client`, whatever the scheduler."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dask
from distributed import Client

from stemscale.clusters.address import Tls, at_address
from stemscale.clusters.kubernetes import on_kubernetes, read_manifest
from stemscale.clusters.local import on_this_machine
from stemscale.clusters.slurm import on_slurm, read_slurm_settings
from stemscale.clusters.threads import in_this_process
from stemscale.clusters.worker import MALLOC
from stemscale.errors import SettingsError

_CONFIG = {
    # A poisoned block takes its queued neighbours with it: queue no more than is worked on.
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.scheduler.allowed-failures": 0,  # the engine retries, with quarantine
    "distributed.worker.memory.target": False,  # nothing is kept that could be spilled
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.85,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.comm.timeouts.connect": "30s",
    "distributed.admin.tick.interval": "500ms",  # every 20 ms, it took 4 % of a core of the driver
    "distributed.worker.profile.interval": "200ms",  # every 10 ms, it took 3 % of a core a worker
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()},
}

StartWorkers = Callable[[], AbstractContextManager[Client]]
"""Starts workers elsewhere as a file says, and gives a client of them."""


class _ByFile(NamedTuple):
    """A place whose workers a YAML file describes."""

    read: Callable[[Path], Any]
    start: Callable[[Any], AbstractContextManager[Client]]


_BY_FILE: dict[str, _ByFile] = {
    "slurm": _ByFile(read_slurm_settings, on_slurm),
    "kubernetes": _ByFile(read_manifest, on_kubernetes),
}


@contextmanager
def connect(
    scheduler: str,
    *,
    workers: int | None = None,
    devices: tuple[str, ...] = ("cpu",),
    tls: Tls | None = None,
    jobs: StartWorkers | None = None,
) -> Iterator[Client]:
    """Give a client of the scheduler asked for, with workers that are set up.

    Parameters
    ----------
    scheduler : str
        "threads" works in this process, "local" starts worker processes on this machine, "slurm"
        jobs that are workers, and "kubernetes" pods; anything else is the address of a running
        scheduler.
    workers : int, optional
        Worker processes of a local cluster; by default one for each core, or for each GPU.
    devices : tuple of str
        torch's names of those that filter, one for each local worker process. Elsewhere, each
        worker takes the GPU that it sees, or else the CPU.
    tls : Tls, optional
        For a scheduler at a ``tls://`` address.
    jobs : callable, optional
        For "slurm" and "kubernetes", from `check_place`.

    Yields
    ------
    Client

    Raises
    ------
    ProcessingError
        If there is no scheduler at that address, if workers do not start, or if they have another
        version of stemscale, or none.
    SettingsError
        If options do not go with the scheduler, or a package that it needs is not installed.
    """
    _check_together(scheduler, tls=tls, has_file=jobs is not None)
    place: AbstractContextManager[Client]
    with dask.config.set(_CONFIG):
        if scheduler == "threads":
            place = in_this_process()
        elif scheduler == "local":
            place = on_this_machine(workers, devices)
        elif jobs is not None:
            place = jobs()
        else:
            place = at_address(scheduler, tls)
        with place as client:
            yield client


def check_place(
    scheduler: str,
    *,
    workers: int | None = None,
    device: str = "auto",
    tls: Tls | None = None,
    cluster_file: Path | None = None,
) -> StartWorkers | None:
    """Refuse what cannot be reached, before anything is done for it.

    Parameters
    ----------
    scheduler, workers, tls
        As for `connect`.
    device : str
        As asked for local workers.
    cluster_file : Path, optional
        YAML: for "slurm", see `SlurmSettings`; for "kubernetes", see `read_manifest`.

    Returns
    -------
    callable or None
        What `connect` starts the workers with that the file describes.

    Raises
    ------
    SettingsError
        If options do not go with the scheduler, or a file is not what it should be.
    """
    check_workers(workers)
    _check_together(scheduler, tls=tls, has_file=cluster_file is not None)
    if scheduler != "local" and (workers is not None or device != "auto"):
        raise SettingsError(
            f"--scheduler {scheduler}: --workers and --device are for local workers; elsewhere, "
            "those who start the workers say how many, and each takes the GPU that it sees"
        )
    if tls is not None:
        tls.security()
    if cluster_file is None:
        return None
    place = _BY_FILE[scheduler]
    return partial(place.start, place.read(cluster_file))


def check_workers(workers: int | None) -> None:
    """Accept a number of worker processes.

    Raises
    ------
    SettingsError
        If it is not at least 1.
    """
    if workers is not None and workers < 1:
        raise SettingsError(f"--workers is {workers}, but must be at least 1")


def _check_together(scheduler: str, *, tls: Tls | None, has_file: bool) -> None:
    if has_file != (scheduler in _BY_FILE):
        raise SettingsError(
            f"--scheduler {scheduler}: --scheduler {' or '.join(_BY_FILE)} and --cluster FILE.yaml "
            "go together"
        )
    if (tls is not None) != scheduler.startswith("tls://"):
        raise SettingsError(
            f"--scheduler {scheduler}: --tls-ca, --tls-cert and --tls-key go with an address that "
            "begins with tls://, and it with them"
        )
