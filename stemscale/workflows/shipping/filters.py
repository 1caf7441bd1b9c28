"""From simulated FOVs to a filter that comes with the package."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stemscale.denoising import (
    Filter,
    Recipe,
    TrainingFov,
    TrainingProgress,
    denoise_frames,
    filter_hash,
    find_recipe,
    load_filter,
    save_filter,
    series_scale,
    train_filter,
)
from stemscale.workflows.shipping.data import Data

_HELD_OUT = 0.03  # of the FOVs: there are thousands


def shipped_recipe(preset: str) -> Recipe:
    """Give the recipe of a shipped filter: its preset, for targets that fit and data without end.

    Parameters
    ----------
    preset : str

    Returns
    -------
    Recipe
    """
    return replace(
        find_recipe(preset),
        background_px=None,  # frames and targets have the same
        patience=None,
        validation_share=_HELD_OUT,
        average_decay=0.999,
    )


def make_filter(
    data: Data,
    preset: str,
    file: Path,
    *,
    seed: int,
    epochs: int,
    threads: int | None = None,
    about: dict[str, Any] | None = None,
    teacher: Path | None = None,
    listener: Callable[[TrainingProgress], None] | None = None,
) -> Filter:
    """Train a filter on simulated FOVs, going on where a training was cut short.

    Parameters
    ----------
    data : Data
    preset : str
        Name of a recipe.
    file : Path
        The filter file; beside it lies the checkpoint of a training that is not finished.
    seed : int
    epochs : int
    threads : int, optional
        Of torch. The same number gives the same weights.
    about : dict, optional
        JSON values for the card: of the data.
    teacher : Path, optional
        Filter file: learn what it makes of the frames, in place of the truth.
    listener : callable, optional
        See `train_filter`.

    Returns
    -------
    Filter
    """
    checkpoint = file.with_name(f"{file.name}.checkpoint")
    taught = _taught(data.frames, teacher, threads)
    fovs = [
        TrainingFov(
            name=f"{i:05d}",
            frames=frames,
            target=data.targets[i],
            taught=None if taught is None else taught[i],
            recorded=bool(data.recorded[i]),
        )
        for i, frames in enumerate(data.frames)
    ]
    made = train_filter(
        fovs,
        recipe=shipped_recipe(preset),
        target="truth",
        epochs=epochs,
        seed=seed,
        threads=threads,
        checkpoint=checkpoint,
        listener=listener,
        card_extras={
            "preset": preset,
            "corrected": True,
            "fovs": [],
            "simulated": about or {},
            "taught_by": None if teacher is None else filter_hash(teacher),
            "licence": "GPL-3.0-or-later",
        },
    )
    made = Filter(made.network, {**made.card, "training": _without_names(made.card["training"])})
    save_filter(made, file)
    checkpoint.unlink(missing_ok=True)
    return made


def _taught(
    frames: NDArray[np.float32], teacher: Path | None, threads: int | None
) -> NDArray[np.float32] | None:
    """Filter the frames (fov, frame, y, x) of all FOVs."""
    if teacher is None:
        return None
    torch.set_num_threads(threads or torch.get_num_threads())
    filter = load_filter(teacher)
    made = np.empty_like(frames)
    for series, into in zip(frames, made, strict=True):
        into[:] = denoise_frames(series, filter, scale=series_scale(series))
    return made


def _without_names(training: dict[str, Any]) -> dict[str, Any]:
    """Count the FOVs, of which the names say nothing."""
    names = ("fovs", "validation_fovs")
    return {**training, **{name: [f"{len(training[name])} simulated"] for name in names}}
