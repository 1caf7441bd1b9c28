"""Train a filter on the FOVs of one store or several."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Image
from stemscale.denoise import Filter, TrainingFov, find_recipe, save_filter, train_filter
from stemscale.distortion import DistortionMap, Warp
from stemscale.errors import SettingsError, TrainingError
from stemscale.pipeline.calibrate import blocks_of
from stemscale.pipeline.calibration import load_calibration, load_shifts
from stemscale.pipeline.cores import usable_cores
from stemscale.pipeline.events import FovDone, Listener, TrainingStep, no_listener
from stemscale.store import AcquisitionStore, calibration_group, rapid_group, slow_group

logger = logging.getLogger(__name__)

TARGETS = ("slow", "dcfi")


def train(
    stores: str | Path | Sequence[str | Path],
    *,
    output: str | Path,
    fovs: Sequence[str] = (),
    exclude_fovs: Sequence[str] = (),
    target: str = "slow",
    preset: str = "standard",
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    listener: Listener = no_listener,
) -> Filter:
    """Train a filter that turns corrected rapid frames into their target.

    Parameters
    ----------
    stores : path or sequence of paths
        Stores with calibrated FOVs.
    output : path
        The filter file, ending in ``.safetensors``.
    fovs, exclude_fovs : sequence of str
        Which FOVs; by default those marked ``train``, or all where none is marked; those marked
        ``test`` never.
    target : {"slow", "dcfi"}
        What every frame is to become: the slow scan (row F1), or the corrected average (row F2).
    preset : str
        Name of a recipe.
    epochs : int, optional
        Instead of the recipe's.
    minutes : float, optional
        Train that long; the schedule is fitted to the time.
    seed : int
        Of weights, patches and augmentation.
    threads : int, optional
        Of torch, at most; by default the cores there are. With the same seed, epochs and threads
        a machine makes the same filter.
    overwrite : bool
        Whether an existing file is replaced.
    listener : callable
        Told of each FOV read and of each step of the training.

    Returns
    -------
    Filter
        Also written to ``output``.

    Raises
    ------
    SettingsError
        If output, target or preset make no sense.
    TrainingError
        If no FOV can be trained on.

    Notes
    -----
    Frames are shifted back by the drift found at calibration, so that each lies on its target.
    Source: Ihara 2022, Method, "Deep learning"; rows F1 to F3.
    """
    path = Path(output)
    recipe = find_recipe(preset)
    if target not in TARGETS:
        raise SettingsError(f"target {target!r} is unknown: choose one of {', '.join(TARGETS)}")
    if path.suffix != ".safetensors":
        raise SettingsError(f"{path}: a filter file ends in .safetensors")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists: choose another --output, or give --overwrite")
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    listed = [stores] if isinstance(stores, str | Path) else list(stores)
    chosen = _choose([AcquisitionStore(s) for s in listed], fovs, exclude_fovs, target)
    training, about = [], []
    for i, (store, fov) in enumerate(chosen, start=1):
        training.append(_training_fov(store, fov, target))
        about.append(_about(store, fov))
        listener(FovDone(fov=fov, step="read", done=i, total=len(chosen)))
    path.parent.mkdir(parents=True, exist_ok=True)
    made = train_filter(
        training,
        recipe=recipe,
        target=target,  # type: ignore[arg-type]  # checked above
        epochs=None,
        minutes=minutes,
        seed=seed,
        threads=threads or usable_cores(),
        listener=lambda progress: listener(TrainingStep(progress=progress)),
        card_extras={"preset": preset, "fovs": about, "scan_settings": _settings(chosen)},
    )
    save_filter(made, path)
    logger.info("%s: trained on %d FOVs", path, len(chosen))
    return made


def _choose(
    stores: Sequence[AcquisitionStore],
    fovs: Sequence[str],
    exclude: Sequence[str],
    target: str,
) -> list[tuple[AcquisitionStore, str]]:
    everything = [(s, f) for s in stores for f in s.fovs()]
    names = {f for _, f in everything}
    if missing := [f for f in [*fovs, *exclude] if f not in names]:
        raise TrainingError(
            f"no store has a FOV {', '.join(missing)}: there are {', '.join(sorted(names))}"
        )
    use = {(s.path, f): s.attrs(f).get("use") for s, f in everything}
    marked = "train" in use.values()
    found, reasons = [], []
    for store, fov in everything:
        of_fov = use[store.path, fov]
        if (fovs and fov not in fovs) or fov in exclude:
            continue
        if of_fov == "test":
            reasons.append(f"{fov} is marked test")
        elif not fovs and marked and of_fov != "train":
            reasons.append(f"{fov} is not marked train")
        elif reason := _cannot_train(store, fov, target):
            reasons.append(f"{fov} {reason}")
        else:
            found.append((store, fov))
    if not found:
        raise TrainingError(f"there is no FOV to train on: {'; '.join(reasons) or 'all excluded'}")
    for reason in reasons:
        logger.info("left out: %s", reason)
    return found


def _cannot_train(store: AcquisitionStore, fov: str, target: str) -> str:
    """Give the reason why a FOV cannot be trained on, or nothing."""
    if not store.has(calibration_group(fov)):
        return "has no calibration: run `stemscale calibrate` first"
    if not store.has(f"{calibration_group(fov)}/shift_x"):
        return "has only a carried-over calibration: it has no slow scan of the same still view"
    if target == "slow" and store.attrs(slow_group(fov)).get("relation") != "same":
        return "has a slow scan taken after the series"
    return ""


def _training_fov(store: AcquisitionStore, fov: str, target: str) -> TrainingFov:
    calibration = load_calibration(store, fov)
    shifts = load_shifts(store, fov)
    assert calibration is not None  # `_cannot_train` has seen to both
    assert shifts is not None
    frames = _corrected(store, fov, calibration.distortion, shifts)
    reference: Image | None
    if target == "slow":
        reference = store.slow_image(fov)
    else:
        with store.dataset(calibration_group(fov)) as dataset:
            reference = dataset["dcfi"].values
    return TrainingFov(name=fov, frames=frames, target=np.asarray(reference, dtype=np.float32))


def _corrected(
    store: AcquisitionStore, fov: str, distortion: DistortionMap, shifts: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Frames of a FOV on the slow grid, each shifted back by its own drift.

    Frames without contrast have no known drift, and are left out.
    """
    aligned = np.isfinite(shifts[:, 0] + shifts[:, 1])
    corrected = np.empty((int(aligned.sum()), *distortion.shape), dtype=np.float32)
    frames = (frame for block in blocks_of(store, fov) for frame in block)
    kept = (
        pair
        for pair, good in zip(zip(frames, shifts, strict=True), aligned.tolist(), strict=True)
        if good
    )
    for i, (frame, (drift_y, drift_x)) in enumerate(kept):
        corrected[i] = Warp(distortion.shifted(drift_y, drift_x))(frame[None])[0]
    return corrected


def _about(store: AcquisitionStore, fov: str) -> dict[str, Any]:
    return {
        "store": store.path.name,
        "fov": fov,
        "content_hash": store.attrs(rapid_group(fov)).get("content_hash"),
    }


def _settings(chosen: Sequence[tuple[AcquisitionStore, str]]) -> dict[str, Any]:
    store, fov = chosen[0]
    settings = store.settings(rapid_group(fov))
    return {**settings.to_attrs(), "n_x": settings.n_x, "n_y": settings.n_y}
