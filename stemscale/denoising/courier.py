"""Batches on their way to a device and back, while it computes others."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FloatBatch = NDArray[np.float32]


class Courier:
    """Brings batches to a device, and fetches what becomes of them.

    On a GPU, copies go through pinned memory and streams of their own: while one batch is computed,
    the next is on its way there and the last on its way back, and the CPU prepares others. On a CPU
    a batch is done as soon as it is started.

    Parameters
    ----------
    device : str
        torch's name of it.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        try:
            module: Any = torch.get_device_module(self._device)
        except RuntimeError:  # a device that only computes
            module = torch.cpu
        # torch.cpu has streams that do nothing, for code like this.
        self._module: Any = module if hasattr(module, "Stream") else torch.cpu
        self._apart = self._module is not torch.cpu
        self._there, self._back = (self._module.Stream(self._device) for _ in range(2))

    def start(self, batch: FloatBatch, work: Callable[[torch.Tensor], torch.Tensor]) -> "OnTheWay":
        """Send a batch, have it worked on, and call the result home.

        Parameters
        ----------
        batch : ndarray of float32
        work : callable
            Gets the batch on the device, gives a tensor there.

        Returns
        -------
        OnTheWay

        Raises
        ------
        torch.OutOfMemoryError
            If the device has no room.
        """
        ready = torch.from_numpy(batch)
        if self._apart:
            ready = ready.pin_memory()
        computing = self._module.current_stream(self._device)
        with self._module.stream(self._there):
            there = ready.to(self._device, non_blocking=self._apart)
        computing.wait_stream(self._there)
        if self._apart:  # memory is not given away while another stream uses it
            there.record_stream(computing)
        made = work(there)
        self._back.wait_stream(computing)
        home_again = self._module.Event()
        with self._module.stream(self._back):
            home = made.to("cpu", non_blocking=self._apart)  # pinned, where it is not waited for
            home_again.record(self._back)
        if self._apart:
            made.record_stream(self._back)
        return OnTheWay(home, home_again)


@lru_cache
def courier_to(device: str) -> Courier:
    """Give the courier of a device: each pair of streams would keep memory of its own."""
    return Courier(device)


class OnTheWay:
    """A batch that comes back."""

    def __init__(self, home: torch.Tensor, home_again: Any) -> None:
        self._home, self._home_again = home, home_again

    def wait(self) -> FloatBatch:
        """Give what became of it, as soon as it is home."""
        self._home_again.synchronize()
        return self._home.numpy()
