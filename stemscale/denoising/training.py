"""Train a filter on fields of view."""

import hashlib
import importlib.metadata
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stemscale.denoising.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stemscale.denoising.filter_file import Filter, architecture_card
from stemscale.denoising.ranks import Ranks, started
from stemscale.denoising.recipe import Recipe
from stemscale.denoising.steps import Steps
from stemscale.denoising.training_ranges import frame_ranges, training_ranges
from stemscale.denoising.training_run import Listener, TrainingProgress, TrainingRun
from stemscale.denoising.training_set import (
    FovPart,
    PatchSampler,
    Split,
    TrainingFov,
    prepare_fov,
    split_fovs,
)
from stemscale.denoising.unet import UNet
from stemscale.denoising.validation import Validation
from stemscale.errors import SettingsError
from stemscale.filter_card import FORMAT_VERSION

__all__ = ["Listener", "TrainingProgress", "train_filter"]

logger = logging.getLogger(__name__)

Target = Literal["slow", "dcfi", "frames", "truth"]

_MEASURED_FOVS = 400  # for the ranges on the card, about; more tell no more
_MEASURE = "PSNR against the target, background removed, gain matched [dB]"


def train_filter(
    fovs: Sequence[TrainingFov],
    *,
    recipe: Recipe,
    target: Target = "slow",
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str | Sequence[str] = "cpu",
    checkpoint: Path | None = None,
    listener: Listener | None = None,
    card_extras: Mapping[str, Any] | None = None,
    start_from: Filter | None = None,
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
    target : {"slow", "dcfi", "frames", "truth"}
        What the FOVs' targets are, for the card (rows F1, F2; pairs of frames; simulated ones).
    epochs : int, optional
        Instead of the recipe's.
    minutes : float, optional
        Train so long instead of by epochs; the schedule is fitted to the time.
    seed : int
        Same seed, epochs and threads on one machine's CPU: same weights.
    threads : int, optional
        Of torch, at most; as it is set by default. By the clock, one is used where that is
        quicker, as on a busy machine.
    device : str or sequence of str
        torch's name of it; of several, each is given a batch of its own in a process of its own,
        and a step follows the mean of their gradients (torch's DDP). A program that asks for
        several guards its start by ``if __name__ == "__main__"``.
    checkpoint : Path, optional
        File that is written after each epoch, and when the training is interrupted. If it is
        there, the training goes on from it, to the weights that an undisturbed one has (by
        epochs). It is not deleted.
    listener : callable, optional
        Gets a TrainingProgress twice a second and after each epoch.
    card_extras : mapping, optional
        JSON values to put on the card: scan settings, stores and FOVs with content hash, licence.
    start_from : Filter, optional
        Begin with its weights, not at random; of the recipe's network and normalisation.

    Returns
    -------
    Filter

    Raises
    ------
    TrainingError
        If there is nothing to train on, the loss is no longer a number, the checkpoint is that
        of another training, or the process of another device ends.
    SettingsError
        If both epochs and minutes are given or either is not positive, an extra has the name of
        one of the card's own entries, or the filter to start from is of another network.
    """
    start = time.monotonic()
    weights = _weights_of(start_from, recipe)
    epochs = _check_length(recipe, epochs, minutes)
    parts = [prepare_fov(fov, recipe) for fov in fovs]
    split = split_fovs(parts, share=recipe.validation_share, rng=np.random.default_rng(seed))
    validation = Validation(split.validation, frames_in=recipe.network.frames_in)
    devices = (device,) if isinstance(device, str) else tuple(device)
    fingerprint = _fingerprint(parts, recipe, target, epochs, minutes, seed, len(devices), weights)
    left = None
    if checkpoint is not None and checkpoint.is_file():
        left = load_checkpoint(checkpoint, fingerprint)
    follow = partial(_follow, recipe=recipe, seed=seed, threads=threads, left=left, weights=weights)

    def keep(tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        if checkpoint is not None:
            made = Checkpoint(fingerprint=fingerprint, tensors=tensors, state=state)
            save_checkpoint(made, checkpoint)

    with (
        _torch_set(seed, _threads_each(threads, devices)),
        started(devices, split.training, follow) as ranks,
    ):
        steps, network = _steps(ranks, split.training, recipe, seed, left, weights)
        run = TrainingRun(
            network, steps, validation, recipe, listener=listener, keeper=keep, start=start
        )
        if left is not None:
            run.restore(left.tensors, left.state)
        run.train(None if epochs is None else epochs * steps.per_epoch, minutes)
        network = run.result()
        score = validation.psnr(network, device=ranks.device)
        summary = run.summary()
    logger.info("trained on %d FOVs: %.2f dB held out", len(split.training), score)
    held_out = {part.name for part in split.validation} - {part.name for part in split.training}
    trained = [fov for fov in fovs if fov.name not in held_out]
    trained = trained[:: max(1, len(trained) // _MEASURED_FOVS)]
    recorded = [fov for fov in trained if fov.recorded]
    card = {
        **_card(recipe, target),
        "seen": {
            **training_ranges(trained, frames=recipe.frames),
            "frames": frame_ranges(trained, recipe, np.random.default_rng(seed)),
            "frames_recorded": frame_ranges(recorded, recipe, np.random.default_rng(seed)),
        },
        "training": {**summary, "seed": seed, **_split_card(split)},
        "scores": {
            "measure": _MEASURE,
            "validation_psnr_db": score,
            "validation_psnr_rapid_db": validation.rapid_psnr,
            "training_loss": run.loss,
        },
    }
    return Filter(network.cpu().requires_grad_(False), _with_extras(card, card_extras or {}))


def _steps(
    ranks: Ranks,
    parts: Sequence[FovPart],
    recipe: Recipe,
    seed: int,
    left: Checkpoint | None,
    weights: Mapping[str, Tensor] | None,
) -> tuple[Steps, UNet]:
    """Make a rank's network, and what trains it."""
    network = UNet(recipe.network)
    if weights is not None:
        network.load_state_dict(weights)
    network = network.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = Steps(network, PatchSampler(parts, recipe, seed), recipe, ranks)
    if left is not None:
        steps.restore(left.tensors, int(left.state["step"]))
    return steps, network


def _follow(
    ranks: Ranks,
    parts: list[FovPart],
    *,
    recipe: Recipe,
    seed: int,
    threads: int | None,
    left: Checkpoint | None,
    weights: Mapping[str, Tensor] | None,
) -> None:
    """Do the work of a rank that does not lead, in its own process."""
    with _torch_set(seed, _threads_each(threads, ranks.devices)):
        _steps(ranks, parts, recipe, seed, left, weights)[0].follow()


def _weights_of(filter: Filter | None, recipe: Recipe) -> dict[str, Tensor] | None:
    """Give the weights to start from."""
    if filter is None:
        return None
    for name, theirs, ours in (
        ("network", filter.network.settings, recipe.network),
        ("normalisation", filter.normalisation, recipe.normalisation),
    ):
        if theirs != ours:
            raise SettingsError(
                f"the filter to start from has {name} {theirs}, the recipe {ours}: take its own"
            )
    return {name: tensor.detach().cpu() for name, tensor in filter.network.state_dict().items()}


def _threads_each(threads: int | None, devices: Sequence[str]) -> int | None:
    if len(devices) == 1:
        return threads
    return max(1, (threads or torch.get_num_threads()) // len(devices))


def _fingerprint(
    parts: Sequence[FovPart],
    recipe: Recipe,
    target: str,
    epochs: int | None,
    minutes: float | None,
    seed: int,
    devices: int,
    weights: Mapping[str, Tensor] | None,
) -> str:
    """Name a training by all that its weights depend on."""
    digest = hashlib.sha256()
    for tensor in (weights or {}).values():
        digest.update(tensor.contiguous().numpy().tobytes())
    settings = [asdict(recipe), target, epochs, minutes, seed, devices]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for part in parts:
        digest.update(f"\n{part.name} {tuple(part.frames.shape)} {part.scale}\n".encode())
        digest.update(np.ascontiguousarray(part.target).tobytes())
        digest.update(np.ascontiguousarray(part.frames[0]).tobytes())
        if part.taught is not None:
            digest.update(np.ascontiguousarray(part.taught[0]).tobytes())
    return digest.hexdigest()


def _check_length(recipe: Recipe, epochs: int | None, minutes: float | None) -> int | None:
    """Give the epochs to train, None where the clock decides."""
    if epochs is not None and minutes is not None:
        raise SettingsError("both epochs and minutes are given: a training takes one of them")
    if epochs is None and minutes is None:
        return recipe.epochs
    if (epochs is not None and epochs < 1) or (minutes is not None and not minutes > 0):
        raise SettingsError(f"training of {epochs} epochs or {minutes} minutes: needed is more")
    return epochs


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
    known: dict[str, Any] = _without_nan({**card, **extras})
    return known


def _without_nan(value: Any) -> Any:
    """Put None where a number is not known: JSON has no NaN, and no training may fail over it."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
