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
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stemscale.denoise.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stemscale.denoise.filter_file import Filter, architecture_card
from stemscale.denoise.recipe import Recipe
from stemscale.denoise.seen import training_ranges
from stemscale.denoise.training_run import Listener, TrainingProgress, TrainingRun
from stemscale.denoise.training_set import (
    FovPart,
    PatchSampler,
    Split,
    TrainingFov,
    prepare_fov,
    split_fovs,
)
from stemscale.denoise.unet import UNet
from stemscale.denoise.validation import Validation
from stemscale.errors import SettingsError
from stemscale.filter_card import FORMAT_VERSION

__all__ = ["Listener", "TrainingProgress", "train_filter"]

logger = logging.getLogger(__name__)

Target = Literal["slow", "dcfi", "frames"]

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
    device: str = "cpu",
    checkpoint: Path | None = None,
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
    target : {"slow", "dcfi", "frames"}
        What the FOVs' targets are, for the card (rows F1, F2; pairs of frames).
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
    checkpoint : Path, optional
        File that is written after each epoch, and when the training is interrupted. If it is
        there, the training goes on from it, to the weights that an undisturbed one has (by
        epochs). It is not deleted.
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
        If there is nothing to train on, the loss is no longer a number, or the checkpoint is that
        of another training.
    SettingsError
        If both epochs and minutes are given or either is not positive, or an extra has the name
        of one of the card's own entries.
    """
    start = time.monotonic()
    epochs = _check_length(recipe, epochs, minutes)
    parts = [prepare_fov(fov, recipe) for fov in fovs]
    split = split_fovs(parts, share=recipe.validation_share, rng=np.random.default_rng(seed))
    sampler = PatchSampler(split.training, recipe, seed)
    validation = Validation(split.validation, frames_in=recipe.network.frames_in)
    fingerprint = _fingerprint(parts, recipe, target, epochs, minutes, seed)

    def keep(tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        if checkpoint is not None:
            made = Checkpoint(fingerprint=fingerprint, tensors=tensors, state=state)
            save_checkpoint(made, checkpoint)

    with _torch_set(seed, threads):
        network = UNet(recipe.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = TrainingRun(
            network, sampler, validation, recipe, listener=listener, keeper=keep, start=start
        )
        if checkpoint is not None and checkpoint.is_file():
            left = load_checkpoint(checkpoint, fingerprint)
            run.restore(left.tensors, left.state)
        run.train(None if epochs is None else epochs * sampler.steps_per_epoch, minutes)
        network = run.result()
        score = validation.psnr(network, device=device)
        summary = run.summary()
    logger.info("trained on %d FOVs: %.2f dB held out", len(split.training), score)
    held_out = {part.name for part in split.validation} - {part.name for part in split.training}
    card = {
        **_card(recipe, target),
        "seen": training_ranges([f for f in fovs if f.name not in held_out], frames=recipe.frames),
        "training": {**summary, "seed": seed, **_split_card(split)},
        "scores": {
            "measure": _MEASURE,
            "validation_psnr_db": score,
            "validation_psnr_rapid_db": validation.rapid_psnr,
            "training_loss": run.loss,
        },
    }
    return Filter(network.cpu().requires_grad_(False), _with_extras(card, card_extras or {}))


def _fingerprint(
    parts: Sequence[FovPart],
    recipe: Recipe,
    target: str,
    epochs: int | None,
    minutes: float | None,
    seed: int,
) -> str:
    """Name a training by all that its weights depend on."""
    digest = hashlib.sha256()
    settings = [asdict(recipe), target, epochs, minutes, seed]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for part in parts:
        digest.update(f"\n{part.name} {tuple(part.frames.shape)} {part.scale}\n".encode())
        digest.update(np.ascontiguousarray(part.target).tobytes())
        digest.update(np.ascontiguousarray(part.frames[0]).tobytes())
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
