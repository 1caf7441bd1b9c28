"""Several devices that train one network together, each by a process of its own."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessContext, start_processes

from stemscale.denoising.training_set import FovPart
from stemscale.errors import TrainingError

_END = -1.0  # instead of a rate
_GRACE_S = 10.0  # for a process to end by itself


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among those that train together.

    Attributes
    ----------
    rank : int
        0 leads: it knows the clock, validates and writes.
    devices : tuple of str
        torch's names of them, by rank.
    """

    rank: int = 0
    devices: tuple[str, ...] = ("cpu",)

    @property
    def world(self) -> int:
        """How many processes there are."""
        return len(self.devices)

    @property
    def device(self) -> str:
        """Device of this process."""
        return self.devices[self.rank]

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Give a network whose gradients are the mean over all ranks; the first rank's weights."""
        if self.world == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def shared(self, rate: float) -> float | None:
        """Share the first rank's rate for the next step; None: there is none."""
        if self.world == 1:
            return rate
        told = torch.tensor([rate], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, src=0)
        value = float(told)
        return None if value == _END else value

    def end(self) -> None:
        """Tell the others that there is no next step."""
        self.shared(_END)


ALONE = Ranks()

Follow = Callable[[Ranks, list[FovPart]], None]  # what the other ranks do


@contextmanager
def started(devices: Sequence[str], parts: Sequence[FovPart], follow: Follow) -> Iterator[Ranks]:
    """Start a process for each device but the first, which is this process's own.

    Parameters
    ----------
    devices : sequence of str
    parts : sequence of FovPart
        What all train on. Frames are copied to a file that the others map, as they may be more
        than memory holds.
    follow : callable
        Run by the other processes, with their ranks and parts; it must be importable.

    Yields
    ------
    Ranks

    Raises
    ------
    TrainingError
        If one of the others ends early.
    """
    ranks = Ranks(0, tuple(devices))
    if ranks.world == 1:
        yield ranks
        return
    with tempfile.TemporaryDirectory(prefix="stemscale-") as folder:
        kept = [_kept(part, Path(folder) / f"{i}.npy") for i, part in enumerate(parts)]
        others: ProcessContext = start_processes(  # type: ignore[no-untyped-call]
            _run, (ranks, kept, follow, folder), ranks.world - 1, join=False, start_method="spawn"
        )
        try:
            with _group(ranks, folder):
                yield ranks
                ranks.end()
            for process in others.processes:
                process.join(_GRACE_S)
        except RuntimeError as error:  # as gloo and NCCL raise where a peer is gone
            if reason := _failure(others):
                raise TrainingError(f"the process of a device has ended: {reason}") from error
            raise
        finally:
            for process in others.processes:
                process.kill()
                process.join()


def _run(place: int, ranks: Ranks, kept: list[FovPart], follow: Follow, folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first rank's to answer
    mine = replace(ranks, rank=place + 1)
    parts = [replace(part, frames=np.load(part.frames, mmap_mode="r")) for part in kept]
    with _group(mine, folder):
        follow(mine, parts)


@contextmanager
def _group(ranks: Ranks, folder: str) -> Iterator[None]:
    cuda = torch.device(ranks.device).type == "cuda"
    if cuda:
        torch.cuda.set_device(ranks.device)
    for library in ("GLOO", "NCCL"):  # one machine: nothing is to listen on a network
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=f"file://{folder}/group",
        rank=ranks.rank,
        world_size=ranks.world,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _kept(part: FovPart, file: Path) -> FovPart:
    """Write a part's frames to a file, which takes their place."""
    shape = tuple(part.frames.shape)
    frames: Any = np.lib.format.open_memmap(file, "w+", dtype=np.float32, shape=shape)
    for index in range(shape[0]):
        frames[index] = part.frames[index]
    frames.flush()
    return replace(part, frames=str(file))


def _failure(others: ProcessContext) -> str:
    """Say what another process ended of; nothing where none did."""
    try:
        others.join(timeout=_GRACE_S)
    except Exception as error:  # of any kind: it was raised in the other process
        return str(error).strip().splitlines()[-1]
    return ""
