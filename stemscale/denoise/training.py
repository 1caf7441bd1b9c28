"""Train a filter on fields of view."""

import importlib.metadata
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stemscale.denoise.augmentation import Batch
from stemscale.denoise.filter_file import FORMAT_VERSION, Filter, architecture_card
from stemscale.denoise.recipe import Recipe
from stemscale.denoise.threads import ThreadTrial
from stemscale.denoise.training_set import PatchSampler, Split, TrainingFov, prepare_fov, split_fovs
from stemscale.denoise.unet import UNet
from stemscale.denoise.validation import Validation
from stemscale.errors import SettingsError, TrainingError

logger = logging.getLogger(__name__)

Target = Literal["slow", "dcfi"]

_MEASURE = "PSNR against the target, background removed, gain matched [dB]"
_EVENT_EVERY_S = 0.5
_VALIDATION_SHARE = 0.05  # of the time at most, between epochs of a training by the clock


@dataclass(frozen=True, kw_only=True, slots=True)
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


def train_filter(
    fovs: Sequence[TrainingFov],
    *,
    recipe: Recipe,
    target: Target = "slow",
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    listener: Listener | None = None,
    card_extras: Mapping[str, Any] | None = None,
) -> Filter:
    """Train a filter.

    An epoch is as many patches as it takes for every pixel of every frame to be drawn once on
    average (frames x pixels seen / pixels of a patch).

    Parameters
    ----------
    fovs : sequence of TrainingFov
        With three or more, whole FOVs are held out for validation; with fewer, the last frames
        and the lowest rows.
    recipe : Recipe
    target : {"slow", "dcfi"}
        What the FOVs' targets are, for the card (rows F1, F2).
    epochs : int, optional
        Instead of the recipe's.
    minutes : float, optional
        Train so long instead of by epochs; the schedule is fitted to the time.
    seed : int
        Same seed, epochs and threads on one machine's CPU: same weights.
    threads : int, optional
        Of torch, at most; as it is set by default. By the clock, one is used where that is
        quicker, as on a busy machine.
    device : str
        torch's name of it.
    listener : callable, optional
        Gets a TrainingProgress twice a second and after each epoch.
    card_extras : mapping, optional
        JSON values to put on the card: scan settings, stores and FOVs with content hash, licence.

    Returns
    -------
    Filter

    Raises
    ------
    TrainingError
        If there is nothing to train on, or the loss is no longer a number.
    SettingsError
        If both epochs and minutes are given or either is not positive, or an extra has the name
        of one of the card's own entries.
    """
    start = time.monotonic()
    epochs = _check_length(recipe, epochs, minutes)
    rng = np.random.default_rng(seed)
    parts = [prepare_fov(fov, recipe) for fov in fovs]
    split = split_fovs(parts, share=recipe.validation_share, rng=rng)
    sampler = PatchSampler(split.training, recipe, rng)
    validation = Validation(split.validation)
    with _torch_set(seed, threads):
        network = UNet(recipe.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = _Run(network, sampler, validation, recipe, listener, start=start)
        run.train(None if epochs is None else epochs * sampler.steps_per_epoch, minutes)
        network = run.result()
        score = validation.psnr(network, device=device)
        summary = run.summary()
    logger.info("trained on %d FOVs: %.2f dB held out", len(split.training), score)
    card = {
        **_card(recipe, target),
        "training": {**summary, "seed": seed, **_split_card(split)},
        "scores": {
            "measure": _MEASURE,
            "validation_psnr_db": score,
            "validation_psnr_rapid_db": validation.rapid_psnr,
            "training_loss": run.loss,
        },
    }
    return Filter(network.cpu().requires_grad_(False), _with_extras(card, card_extras or {}))


class _Run:
    """The loop over steps, with what it keeps from one to the next."""

    def __init__(
        self,
        network: UNet,
        sampler: PatchSampler,
        validation: Validation,
        recipe: Recipe,
        listener: Listener | None,
        *,
        start: float,
    ) -> None:
        self._network, self._sampler, self._validation = network, sampler, validation
        self._recipe, self._listener = recipe, listener
        self._device = str(next(network.parameters()).device)
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate)
        self._average = deepcopy(network) if recipe.average_decay is not None else None
        self._threads = torch.get_num_threads()
        self._start = start  # [s], of the whole training
        self._loop_start = time.monotonic()
        self._step = 0
        self._losses: list[float] = []
        self._psnr: float | None = None
        self._last_event = self._loop_start
        self._last_validation = self._loop_start
        self.loss = math.nan

    def train(self, steps: int | None, minutes: float | None) -> None:
        """Train for so many steps, or until the time is up."""
        share = 0.0
        # by epochs the threads stay: another number rounds otherwise, and the seed means nothing
        trial = ThreadTrial(self._threads if minutes is not None else 1)
        while share < 1:
            with trial.step():
                self._do_step(_rate(self._recipe, share))
            if steps is not None:
                share = self._step / steps
            elif minutes is not None:
                share = min(1.0, (time.monotonic() - self._start) / (60 * minutes))
            self._tell(share, minutes)

    def result(self) -> UNet:
        """Give the network as it shall be used."""
        return (self._average or self._network).eval()

    def summary(self) -> dict[str, Any]:
        """Say what was done, for the card."""
        return {
            "steps": self._step,
            "epochs": round(self._step / self._sampler.steps_per_epoch, 2),
            "patches": self._step * self._recipe.batch,
            "seconds": round(time.monotonic() - self._start, 1),
            "threads": self._threads,
            "device": self._device,
        }

    def _do_step(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        inputs, targets, weights = _tensors(self._sampler.draw(), self._device)
        self._network.train()
        self._optimiser.zero_grad()
        loss = weighted_mse(self._network(inputs), targets, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._step += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"loss is {value} at step {self._step}: lower the rate ({rate:g}) or look for "
                "wild pixels in the frames and the target"
            )
        self._losses.append(value)
        self._follow()

    def _follow(self) -> None:
        """Move the averaged weights a little towards the present ones."""
        if self._average is None or self._recipe.average_decay is None:
            return
        # in the first steps the average would remember the random start
        decay = min(self._recipe.average_decay, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            for mean, now in zip(
                self._average.parameters(), self._network.parameters(), strict=True
            ):
                mean.lerp_(now, 1 - decay)

    def _tell(self, share: float, minutes: float | None) -> None:
        now = time.monotonic()
        epoch_done = self._step % self._sampler.steps_per_epoch == 0
        if epoch_done and self._listener is not None:
            # by the clock, epochs may be short, and validation is time not trained
            wait = 60 * minutes * _VALIDATION_SHARE if minutes is not None else 0.0
            if now - self._last_validation >= wait:
                self._psnr = self._validation.psnr(self.result(), device=self._device)
                self._last_validation = now = time.monotonic()
        if not (epoch_done or share >= 1 or now - self._last_event >= _EVENT_EVERY_S):
            return
        self.loss = float(np.mean(self._losses))
        self._losses.clear()
        self._last_event = now
        elapsed = max(now - self._loop_start, 1e-9)
        if self._listener is not None:
            self._listener(
                TrainingProgress(
                    step=self._step,
                    epoch=self._step // self._sampler.steps_per_epoch,
                    share=share,
                    loss=self.loss,
                    validation_psnr=self._psnr,
                    validation_psnr_rapid=self._validation.rapid_psnr,
                    patches_per_s=self._step * self._recipe.batch / elapsed,
                    eta_s=elapsed * (1 - share) / share if share > 0 else math.inf,
                )
            )


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


def _check_length(recipe: Recipe, epochs: int | None, minutes: float | None) -> int | None:
    """Give the epochs to train, None where the clock decides."""
    if epochs is not None and minutes is not None:
        raise SettingsError("both epochs and minutes are given: a training takes one of them")
    if epochs is None and minutes is None:
        return recipe.epochs
    if (epochs is not None and epochs < 1) or (minutes is not None and not minutes > 0):
        raise SettingsError(f"training of {epochs} epochs or {minutes} minutes: needed is more")
    return epochs


def _rate(recipe: Recipe, share: float) -> float:
    """Adam's rate after a share of the training."""
    if share < recipe.warmup:
        return recipe.rate * max(share / recipe.warmup, 0.01)
    if recipe.schedule == "constant":
        return recipe.rate
    after = (share - recipe.warmup) / (1 - recipe.warmup)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * after))


def _tensors(batch: Batch, device: str) -> Iterator[Tensor]:
    for patches in (batch.inputs, batch.targets, batch.weights):
        yield torch.from_numpy(patches).to(device).unsqueeze(1)  # (batch, 1, y, x)


@contextmanager
def _torch_set(seed: int, threads: int | None) -> Iterator[None]:
    """Seed torch and set its threads, and leave both as they were."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)


def _card(recipe: Recipe, target: str) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "architecture": architecture_card(recipe.network),
        "normalisation": recipe.normalisation,
        "recipe": asdict(recipe),
        "target": target,
        "stemscale_version": importlib.metadata.version("stemscale"),
        "licence": "not stated",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _split_card(split: Split) -> dict[str, Any]:
    return {
        "fovs": [part.name for part in split.training],
        "frames": sum(len(part.which) for part in split.training),
        "validation_fovs": [part.name for part in split.validation],
        "held_out": split.held_out,
    }


def _with_extras(card: dict[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    clash = [key for key in extras if key in card and key != "licence"]
    if clash:
        raise SettingsError(f"the card has its own {', '.join(clash)}: name the extra otherwise")
    return {**card, **extras}
