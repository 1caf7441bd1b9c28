"""The steps of a training: gradients of one batch after another, on one device or several."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from stemscale.denoising.augmentation import Batch
from stemscale.denoising.ranks import ALONE, Ranks
from stemscale.denoising.recipe import Recipe
from stemscale.denoising.training_set import PatchSampler
from stemscale.denoising.unet import UNet
from stemscale.errors import TrainingError

_AHEAD = 3  # batches drawn while the network is busy


class Steps:
    """Adam's steps over the batches of a sampler.

    Parameters
    ----------
    network : UNet
        On its device.
    sampler : PatchSampler
    recipe : Recipe
    ranks : Ranks
        The processes that take each step together, each with a batch of its own.

    Attributes
    ----------
    done : int
    devices : tuple of str
    """

    def __init__(
        self, network: UNet, sampler: PatchSampler, recipe: Recipe, ranks: Ranks = ALONE
    ) -> None:
        self._network, self._sampler, self._ranks = network, sampler, ranks
        self._trained = ranks.wrapped(network)
        self._device = str(next(network.parameters()).device)
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)
        self._patches = recipe.batch * ranks.world
        self.devices = ranks.devices
        self.done = 0

    @property
    def patches(self) -> int:
        """Patches of all batches so far."""
        return self.done * self._patches

    @property
    def per_epoch(self) -> int:
        """Steps after which every pixel of every frame was drawn once on average."""
        return -(-self._sampler.patches_per_epoch // self._patches)

    @contextmanager
    def drawn_ahead(self) -> Iterator[Callable[[float], float]]:
        """Draw batches in the background; gives what takes a step at a rate, and tells its loss."""
        waiting: deque[Future[Batch]] = deque()
        following = self.done
        with ThreadPoolExecutor(1, thread_name_prefix="patches") as beside:

            def step(rate: float) -> float:
                nonlocal following
                if self._ranks.rank == 0:
                    self._ranks.shared(rate)
                while len(waiting) < _AHEAD:
                    number = following * self._ranks.world + self._ranks.rank
                    waiting.append(beside.submit(self._sampler.draw, number))
                    following += 1
                return self._step(waiting.popleft().result(), rate)

            try:
                yield step
            finally:
                for future in waiting:
                    future.cancel()

    def follow(self) -> None:
        """Take the first rank's steps, until it says that there are no more."""
        with self.drawn_ahead() as step:
            while (rate := self._ranks.shared(0.0)) is not None:
                step(rate)

    def _step(self, batch: Batch, rate: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        inputs, targets, weights = _tensors(batch, self._device)
        self._network.train()
        self._optimiser.zero_grad()
        with _precision(self._device):
            output = self._trained(inputs)
        loss = weighted_mse(output.float(), targets, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self.done += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"loss is {value} at step {self.done}: lower the rate ({rate:g}) or look for "
                "wild pixels in the frames and the target"
            )
        return value

    def tensors(self) -> dict[str, Tensor]:
        """Give weights and moments, to be kept."""
        tensors = {f"network.{k}": t for k, t in self._network.state_dict().items()}
        for i, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": t for k, t in moments.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Go on from weights and moments that were kept after some steps."""
        self._network.load_state_dict(part_of(tensors, "network"))
        moments = self._optimiser.state_dict()
        for i in range(len(list(self._network.parameters()))):
            # Adam goes on in these very tensors, which the ranks of a CPU have in common
            kept = part_of(tensors, f"adam.{i}")
            moments["state"][i] = {name: tensor.clone() for name, tensor in kept.items()}
        self._optimiser.load_state_dict(moments)
        self.done = done


def weighted_mse(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean square error over the pixels that count.

    Parameters
    ----------
    output, target, weight : Tensor, shape (batch, 1, y, x)
        A pixel of weight 0 was not seen.

    Returns
    -------
    Tensor, shape ()
    """
    return (weight * (output - target).square()).sum() / weight.sum().clamp(min=1)


def part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Give the tensors under a name, by the rest of theirs."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _tensors(batch: Batch, device: str) -> Iterator[Tensor]:
    yield torch.from_numpy(batch.inputs).to(device)  # (batch, frames in, y, x)
    for patches in (batch.targets, batch.weights):
        yield torch.from_numpy(patches).to(device).unsqueeze(1)  # (batch, 1, y, x)


def _precision(device: str) -> AbstractContextManager[Any]:
    """Mixed precision where it is quicker, and wide enough not to need a scaled loss."""
    if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
