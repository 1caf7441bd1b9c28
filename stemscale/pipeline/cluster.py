"""A ready `distributed.Client`, whatever the scheduler."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from distributed import Client, LocalCluster

from stemscale.errors import ProcessingError, SettingsError
from stemscale.pipeline.cores import usable_cores
from stemscale.pipeline.worker import WorkerSetup

logger = logging.getLogger(__name__)

_THREADS = 2  # of a worker: one filters, while the other reads, corrects, scores and writes

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
    # Memory given back to the system is had again page by page: with Dask's own setting frames were
    # aligned at 3.5 times the CPU time; with the C library's, correcting and writing a 512 x 512
    # frame took 1.9 ms of system time, with these .3.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 1 << 29,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 1 << 25,
}


@contextmanager
def connect(
    scheduler: str, *, workers: int | None = None, devices: tuple[str, ...] = ("cpu",)
) -> Iterator[Client]:
    """Give a client of the scheduler asked for, with workers that are set up.

    Parameters
    ----------
    scheduler : str
        "local" starts worker processes on this machine; anything else is the address of a running
        scheduler.
    workers : int, optional
        Worker processes of a local cluster; by default one for each core, or for each GPU.
    devices : tuple of str
        torch's names of those that filter, one for each local worker process. Elsewhere, each
        worker takes the GPU that it sees, or else the CPU.

    Yields
    ------
    Client

    Raises
    ------
    ProcessingError
        If there is no scheduler at that address, or local workers do not start.
    SettingsError
        If several GPUs are named, and dask-cuda is not installed.
    """
    import dask

    with dask.config.set(_CONFIG):
        if scheduler == "local":
            with _local(workers, devices) as client:
                yield client
            return
        try:
            client = Client(scheduler, timeout="20s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ProcessingError(
                f"no scheduler answers at {scheduler} ({error}): start one with "
                f"`dask scheduler`, or use --scheduler local"
            ) from error
        with client:
            client.register_plugin(WorkerSetup(None, ("auto",)))
            yield client


def local_workers(workers: int | None, devices: tuple[str, ...] = ("cpu",)) -> tuple[int, int]:
    """Count the worker processes of a local cluster, and the blocks that each works on at once.

    Parameters
    ----------
    workers : int, optional
        As asked; by default one for each core, or for each GPU.
    devices : tuple of str
        torch's names of those that filter.
    """
    return workers or (usable_cores() if devices == ("cpu",) else len(devices)), _THREADS


@contextmanager
def _local(workers: int | None, devices: tuple[str, ...]) -> Iterator[Client]:
    count, threads = local_workers(workers, devices)
    options: dict[str, Any] = {
        "n_workers": count,
        "threads_per_worker": threads,
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,  # failures reach the user as events
        "dashboard_address": f"127.0.0.1:{_free_port(8787)}",  # Dask's own default binds all
    }
    make: Any = LocalCluster
    if len(devices) > 1:
        make = _cuda_cluster()
        options["CUDA_VISIBLE_DEVICES"] = [torch_name.rpartition(":")[2] for torch_name in devices]
        devices = ("cuda:0",)  # the one that each worker sees
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(make(**options))
        except RuntimeError as error:
            raise ProcessingError(
                "the worker processes did not start. They import the script that starts them: its "
                'calls of stemscale belong under `if __name__ == "__main__":`'
            ) from error
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.register_plugin(WorkerSetup(max(1, usable_cores() // count), devices))
        yield client


def _cuda_cluster() -> Any:
    try:
        return import_module("dask_cuda").LocalCUDACluster
    except ImportError as error:
        raise SettingsError(
            "several GPUs need the package dask-cuda, which is not installed: pip install "
            '"stemscale[gpu]", or name one of them with --device cuda:0'
        ) from error


def _free_port(wanted: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0  # any free one
    return wanted
