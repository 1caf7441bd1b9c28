"""Worker processes on this machine."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from distributed import Client, LocalCluster

from stemscale.clusters.cores import usable_cores
from stemscale.clusters.worker import WorkerSetup, register
from stemscale.errors import ProcessingError, SettingsError

THREADS = 2  # of a worker: one filters, while the other reads, corrects, scores and writes


def local_workers(workers: int | None, devices: tuple[str, ...] = ("cpu",)) -> tuple[int, int]:
    """Count the worker processes of a local cluster, and the blocks that each works on at once.

    Parameters
    ----------
    workers : int, optional
        As asked; by default one for each core, or for each GPU.
    devices : tuple of str
        torch's names of those that filter.
    """
    return workers or (usable_cores() if devices == ("cpu",) else len(devices)), THREADS


@contextmanager
def on_this_machine(workers: int | None, devices: tuple[str, ...]) -> Iterator[Client]:
    """Start workers, one for each core or GPU, and give a client of them, see `connect`."""
    count, threads = local_workers(workers, devices)
    options: dict[str, Any] = {
        "n_workers": count,
        "threads_per_worker": threads,
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,  # failures reach the user as events
        "dashboard_address": f"127.0.0.1:{free_port(8787)}",  # Dask's own default binds all
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
                f"the worker processes did not start ({error}). They import the script that starts "
                'them: its calls of stemscale belong under `if __name__ == "__main__":`'
            ) from error
        client = stack.enter_context(Client(cluster, set_as_default=False))
        register(client, WorkerSetup(max(1, usable_cores() // count), devices))
        yield client


def _cuda_cluster() -> Any:
    try:
        return import_module("dask_cuda").LocalCUDACluster
    except ImportError as error:
        raise SettingsError(
            "several GPUs need the package dask-cuda, which is not installed: pip install "
            '"stemscale[gpu]", or name one of them with --device cuda:0'
        ) from error


def free_port(wanted: int) -> int:
    """Give a port of loopback, or 0, which stands for any free one, if it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0  # any free one
    return wanted
