"""Threads of this process, behind the same client as workers elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_limits

from stemscale.clusters.cores import usable_cores

_LOOPBACK = "127.0.0.1:0"  # for what Dask serves of itself; by default any address may look at it


@contextmanager
def in_this_process() -> Iterator[Client]:
    """Give a client of which the tasks run here, one on each core; ready within a second.

    For work that lets go of the interpreter, as reading and products of matrices do. BLAS and
    torch take one thread for each task, until it is over.
    """
    threads = torch.get_num_threads()
    with (
        threadpool_limits(1, user_api="blas"),
        LocalCluster(
            processes=False,
            n_workers=1,
            threads_per_worker=usable_cores(),
            dashboard_address=None,
            worker_dashboard_address=_LOOPBACK,
            scheduler_kwargs={"dashboard_address": _LOOPBACK},
            silence_logs=logging.CRITICAL,
            memory_limit=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        torch.set_num_threads(1)
        try:
            yield client
        finally:
            torch.set_num_threads(threads)
