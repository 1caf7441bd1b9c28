"""What a worker process sets up before its first block."""

import signal
import sys
import threading
from collections.abc import Collection
from importlib.metadata import version
from typing import TYPE_CHECKING

from distributed import WorkerPlugin

from stemscale.clusters.cores import usable_cores
from stemscale.errors import ProcessingError

if TYPE_CHECKING:
    from distributed import Client, Worker

MALLOC = {
    # Memory given back to the system is had again page by page: with Dask's own setting frames were
    # aligned at 3.5 times the CPU time; with the C library's, correcting and writing a 512 x 512
    # frame took 1.9 ms of system time, with these .3.
    "MALLOC_TRIM_THRESHOLD_": 1 << 29,
    "MALLOC_MMAP_THRESHOLD_": 1 << 25,
    # Each thread's own reserve took 150 MB more, and grew by 3 MB for each 1,000 frames.
    "MALLOC_ARENA_MAX": 1,
}
"""Environment of a worker, for the C library."""

# The thread that filters needs the interpreter between two operations of the network, and the one
# that reads and scores lets go of it in time: 5 to 8 % more frames/s than with Python's own 5 ms.
_SWITCH_S = 5e-4
_TRIES = 5
_device = "cpu"


class WorkerSetup(WorkerPlugin):
    """Give torch the threads and the device of this worker, which has to be of our version.

    Dask's nanny sets OMP_NUM_THREADS=1, whatever the cores. A worker that joins later is set up as
    it joins; if it is of another version, it is sent away, and its log says why.

    Parameters
    ----------
    threads : int, optional
        Of torch, for each worker process; by default those of the worker.
    devices : tuple of str
        torch's names, shared out to the workers by their number; "auto" takes the GPU that a
        worker sees, as workers of dask-cuda do, or else the CPU.
    there : collection of str
        Addresses of the workers that there are already.
    """

    name = "stemscale-worker"

    def __init__(
        self, threads: int | None, devices: tuple[str, ...], there: Collection[str] = ()
    ) -> None:
        self.threads, self.devices, self.there = threads, devices, frozenset(there)
        self.version = version("stemscale")

    def setup(self, worker: "Worker") -> None:
        """Set both; called by Dask when the worker starts.

        Raises
        ------
        ProcessingError
            If the worker has another version of stemscale.
        """
        here = version("stemscale")
        if here != self.version:
            if worker.address not in self.there:  # nobody waits to be told
                worker.loop.add_callback(worker.close, nanny=True, reason="version of stemscale")
            raise ProcessingError(
                f"the worker {worker.address} has stemscale {here}, and this is {self.version}: "
                "install the same version on both"
            )
        import torch

        global _device
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
        sys.setswitchinterval(_SWITCH_S)
        torch.set_num_threads(self.threads or min(worker.state.nthreads, usable_cores()))
        number = int(worker.name) if str(worker.name).isdigit() else 0
        _device = self.devices[number % len(self.devices)]
        if _device == "auto":
            _device = "cuda" if torch.cuda.is_available() else "cpu"


def register(client: "Client", plugin: WorkerSetup) -> None:
    """Set up the workers there are, and those to come.

    Raises
    ------
    ImportError
        If they cannot import stemscale.
    ProcessingError
        If they are of another version, or die again and again.
    """
    for _ in range(_TRIES):
        try:
            client.register_plugin(plugin)
        except OSError as error:  # one of them died just now
            died = error
        else:
            return
    raise ProcessingError(
        f"workers die as soon as they are told what to do ({died}): look at their logs"
    ) from died


def worker_device() -> str:
    """Name the device on which this process filters."""
    return _device
