"""The loop of a training, which can be left and entered again at any step."""

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemscale.denoising.recipe import Recipe
from stemscale.denoising.steps import Steps, part_of
from stemscale.denoising.threads import ThreadTrial
from stemscale.denoising.unet import UNet
from stemscale.denoising.validation import Validation

_EVENT_EVERY_S = 0.5
_VALIDATION_SHARE = 0.05  # of the time at most, between epochs of a training by the clock
_SAVE_EVERY_S = 5.0  # epochs may be short


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training is."""

    step: int  # batches done
    epoch: int  # epochs done
    share: float  # of the training done, 0 … 1
    loss: float  # mean since the last event
    validation_psnr: float | None  # last measured [dB]
    validation_psnr_rapid: float  # of the frames as they are [dB]
    patches_per_s: float
    eta_s: float  # time left [s]


Listener = Callable[[TrainingProgress], None]
Keeper = Callable[[dict[str, Tensor], dict[str, Any]], None]


class TrainingRun:
    """The loop over steps, with what it keeps from one to the next.

    Parameters
    ----------
    network : UNet
        On its device.
    steps : Steps
        Of that network.
    validation : Validation
    recipe : Recipe
    listener : callable, optional
        Told of the progress.
    keeper : callable, optional
        Given tensors and state (see `restore`) after an epoch, and when the loop is left.
    start : float
        When the training began, by `time.monotonic` [s].
    """

    def __init__(
        self,
        network: UNet,
        steps: Steps,
        validation: Validation,
        recipe: Recipe,
        *,
        listener: Listener | None = None,
        keeper: Keeper | None = None,
        start: float,
    ) -> None:
        self._network, self._steps, self._validation = network, steps, validation
        self._recipe, self._listener, self._keeper = recipe, listener, keeper
        self._device = str(next(network.parameters()).device)
        self._average = deepcopy(network) if recipe.average_decay is not None else None
        self._best: UNet | None = None
        self._threads = torch.get_num_threads()
        self._start = start  # [s], of the whole training
        self._loop_start = self._last_event = self._last_validation = time.monotonic()
        self._last_save = self._loop_start
        self._first_patches = 0
        self._losses: list[float] = []
        self._psnr: float | None = None
        self._best_psnr = -math.inf
        self._worse = 0  # validations since the best one
        self._curve: list[tuple[float, float, float | None]] = []
        self.loss = math.nan

    def train(self, steps: int | None, minutes: float | None) -> None:
        """Train for so many steps, or until the time is up, or until it gets no better."""
        share = self._share(steps, minutes)
        # by epochs the threads stay: another number rounds otherwise, and the seed means nothing
        trial = ThreadTrial(self._threads if minutes is not None else 1)
        with self._steps.drawn_ahead() as step:
            try:
                while share < 1 and not self._gets_no_better():
                    with trial.step():
                        self._losses.append(step(_rate(self._recipe, share)))
                    self._follow()
                    share = self._share(steps, minutes)
                    self._after_step(share, minutes)
            except KeyboardInterrupt:
                self._save()
                raise
        if self._recipe.patience is not None and share >= 1:
            self._validate()  # the last weights may be the best
        if share < 1:
            self._tell(1.0)

    def result(self) -> UNet:
        """Give the network as it shall be used."""
        return (self._best or self._present()).eval()

    def summary(self) -> dict[str, Any]:
        """Say what was done, for the card."""
        ended_early = {"stopped": "validation got no better"} if self._gets_no_better() else {}
        return {
            "steps": self._steps.done,
            "epochs": round(self._steps.done / self._steps.per_epoch, 2),
            "patches": self._steps.patches,
            "seconds": round(time.monotonic() - self._start, 1),
            "threads": self._threads,
            "device": ",".join(self._steps.devices),
            "curve": [list(point) for point in self._curve],
            **ended_early,
        }

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on where the training was left; its steps are restored already."""
        self._first_patches = self._steps.patches
        if self._average is not None:
            self._average.load_state_dict(part_of(tensors, "average"))
        if best := part_of(tensors, "best"):
            self._best = deepcopy(self._network)
            self._best.load_state_dict(best)
        self._start = time.monotonic() - float(state["seconds"])
        self._losses, self._psnr = list(state["losses"]), state["psnr"]
        self._best_psnr = -math.inf if state["best_psnr"] is None else state["best_psnr"]
        self._worse = int(state["worse"])
        self._curve = [tuple(point) for point in state["curve"]]

    def _save(self) -> None:
        if self._keeper is None or self._steps.done == 0:
            return
        tensors = self._steps.tensors()
        for name, network in (("average", self._average), ("best", self._best)):
            if network is not None:
                tensors |= {f"{name}.{k}": t for k, t in network.state_dict().items()}
        state = {
            "step": self._steps.done,
            "seconds": time.monotonic() - self._start,
            "losses": self._losses,
            "psnr": self._psnr,
            "best_psnr": self._best_psnr if math.isfinite(self._best_psnr) else None,
            "worse": self._worse,
            "curve": self._curve,
        }
        self._keeper(tensors, state)
        self._last_save = time.monotonic()

    def _share(self, steps: int | None, minutes: float | None) -> float:
        if steps is not None:
            return self._steps.done / steps
        return min(1.0, (time.monotonic() - self._start) / (60 * (minutes or 1)))

    def _present(self) -> UNet:
        return self._average or self._network

    def _gets_no_better(self) -> bool:
        return self._recipe.patience is not None and self._worse >= self._recipe.patience

    def _follow(self) -> None:
        """Move the averaged weights a little towards the present ones."""
        if self._average is None or self._recipe.average_decay is None:
            return
        # in the first steps the average would remember the random start
        decay = min(self._recipe.average_decay, (1 + self._steps.done) / (10 + self._steps.done))
        with torch.no_grad():
            for mean, now in zip(
                self._average.parameters(), self._network.parameters(), strict=True
            ):
                mean.lerp_(now, 1 - decay)

    def _after_step(self, share: float, minutes: float | None) -> None:
        now = time.monotonic()
        epoch_done = self._steps.done % self._steps.per_epoch == 0
        if epoch_done and (self._listener is not None or self._recipe.patience is not None):
            # by the clock, epochs may be short, and validation is time not trained
            wait = 60 * minutes * _VALIDATION_SHARE if minutes is not None else 0.0
            if now - self._last_validation >= wait:
                self._validate()
        if epoch_done or share >= 1 or now - self._last_event >= _EVENT_EVERY_S:
            self._tell(share, curve=epoch_done or share >= 1)
        if epoch_done and now - self._last_save >= _SAVE_EVERY_S:
            self._save()

    def _validate(self) -> None:
        present = self._present()
        self._psnr = self._validation.psnr(present, device=self._device)
        self._last_validation = time.monotonic()
        if self._recipe.patience is None:
            return
        self._worse += 1
        if self._psnr > self._best_psnr:
            self._best_psnr, self._worse = self._psnr, 0
            if self._best is None:
                self._best = deepcopy(present)
            self._best.load_state_dict(present.state_dict())

    def _tell(self, share: float, *, curve: bool = False) -> None:
        if self._losses:
            self.loss = float(np.mean(self._losses))
            self._losses.clear()
        self._last_event = time.monotonic()
        if curve:
            self._curve.append((round(share, 6), self.loss, self._psnr))
        elapsed = max(self._last_event - self._loop_start, 1e-9)
        in_all = max(self._last_event - self._start, 1e-9)
        if self._listener is not None:
            self._listener(
                TrainingProgress(
                    step=self._steps.done,
                    epoch=self._steps.done // self._steps.per_epoch,
                    share=share,
                    loss=self.loss,
                    validation_psnr=self._psnr,
                    validation_psnr_rapid=self._validation.rapid_psnr,
                    patches_per_s=(self._steps.patches - self._first_patches) / elapsed,
                    eta_s=in_all * (1 - share) / share if share > 0 else math.inf,
                )
            )


def _rate(recipe: Recipe, share: float) -> float:
    """Adam's rate after a share of the training."""
    if share < recipe.warmup:
        return recipe.rate * max(share / recipe.warmup, 0.01)
    if recipe.schedule == "constant":
        return recipe.rate
    after = (share - recipe.warmup) / (1 - recipe.warmup)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * after))
