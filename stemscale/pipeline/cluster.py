"""A ready `distributed.Client`, whatever the scheduler."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed import Client, LocalCluster, WorkerPlugin

from stemscale.errors import ProcessingError
from stemscale.pipeline.cores import usable_cores

if TYPE_CHECKING:
    from distributed import Worker

logger = logging.getLogger(__name__)

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
    # Dask's own setting gives every array back to the system, to get it again page by page: frames
    # were aligned at 3.5 times the CPU time.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


class TorchThreads(WorkerPlugin):
    """Give torch the threads that are this worker's share of the machine.

    Dask's nanny sets OMP_NUM_THREADS=1, whatever the cores.

    Parameters
    ----------
    threads : int
        For each worker process.
    """

    name = "stemscale-torch-threads"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def setup(self, worker: "Worker") -> None:
        """Set the threads; called by Dask when the worker starts."""
        import torch

        torch.set_num_threads(self.threads)


@contextmanager
def connect(scheduler: str, *, workers: int | None = None) -> Iterator[Client]:
    """Give a client of the scheduler asked for, with workers that are set up.

    Parameters
    ----------
    scheduler : str
        "local" starts worker processes on this machine; anything else is the address of a running
        scheduler.
    workers : int, optional
        Worker processes of a local cluster; by default one for each core.

    Yields
    ------
    Client

    Raises
    ------
    ProcessingError
        If there is no scheduler at that address.
    """
    import dask

    with dask.config.set(_CONFIG):
        if scheduler == "local":
            with _local(workers) as client:
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
            yield client


@contextmanager
def _local(workers: int | None) -> Iterator[Client]:
    cores = usable_cores()
    count = workers or cores
    options: dict[str, Any] = {
        "n_workers": count,
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,  # failures reach the user as events
        "dashboard_address": f"127.0.0.1:{_free_port(8787)}",  # Dask's own default binds all
    }
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        client.register_plugin(TorchThreads(max(1, cores // count)))
        yield client


def _free_port(wanted: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0  # any free one
    return wanted
