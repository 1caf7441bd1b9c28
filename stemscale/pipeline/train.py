"""Train a filter on the FOVs of one store or several."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Image
from stemscale.clusters import usable_cores
from stemscale.corrections import load_calibration, load_shifts
from stemscale.denoising import (
    Filter,
    Recipe,
    TrainingFov,
    filter_hash,
    find_devices,
    find_recipe,
    load_filter,
    save_filter,
    scratch_frames,
    train_filter,
)
from stemscale.distortion import DistortionMap, SeriesWarp, match_views
from stemscale.errors import DistortionError, SettingsError, TrainingError
from stemscale.pipeline.average import average_series
from stemscale.pipeline.events import FovDone, Listener, TrainingStep, no_listener
from stemscale.shipped import find_filter
from stemscale.store import AcquisitionStore, calibration_group, rapid_group, slow_group

logger = logging.getLogger(__name__)

TARGETS = ("slow", "dcfi", "frames")

_GENTLER = 0.25  # rate of a training that starts from a filter, over the recipe's: it is there


def train(
    stores: str | Path | Sequence[str | Path],
    *,
    output: str | Path,
    fovs: Sequence[str] = (),
    exclude_fovs: Sequence[str] = (),
    target: str = "slow",
    preset: str = "standard",
    correction: bool = True,
    frames: int | None = None,
    frames_in: int | None = None,
    width: int | None = None,
    rate: float | None = None,
    equalize: bool = False,
    start_from: str | Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    resume: bool = False,
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
    target : {"slow", "dcfi", "frames"}
        What every frame is to become: the slow scan (row F1), the average (row F2), or the other
        frames of the same still FOV, whose noise is its own (Noise2Noise): that needs neither slow
        scan nor calibration, and cannot remove the smear, which all frames share.
    preset : str
        Name of a recipe.
    correction : bool
        False: frames as recorded (row F5): for ``slow``, only brought to the slow scan's view.
    frames : int, optional
        Frames of each FOV to train on, the first ones, instead of the recipe's (row F4).
    frames_in : int, optional
        Consecutive frames that the filter sees at once, odd.
    width : int, optional
        Channels of the network's finest level, instead of the recipe's.
    rate : float, optional
        Of Adam, instead of the recipe's.
    equalize : bool
        Train on adaptively equalised images (row F8): the output is then no longer proportional
        to the intensity.
    start_from : path or str, optional
        A filter file, or the name of a shipped one: its network is trained further on these FOVs,
        at a quarter of the recipe's rate.
    epochs : int, optional
        Instead of the recipe's.
    minutes : float, optional
        Train that long; the schedule is fitted to the time.
    seed : int
        Of weights, patches and augmentation.
    threads : int, optional
        Of torch, at most; by default the cores there are. With the same seed, epochs and threads
        a machine makes the same filter.
    device : str
        See `stemscale.denoising.find_devices`; several train together, each on batches of its own,
        so that a step sees as many more patches.
    resume : bool
        Whether there must be a checkpoint to go on from. Where there is one of the same training
        beside ``output``, it is used in any case.
    overwrite : bool
        Whether an existing file is replaced, and a checkpoint thrown away.
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
        If no FOV can be trained on, or a checkpoint is missing or that of another training.

    Notes
    -----
    A checkpoint, ``output`` with ``.checkpoint`` behind, is written after each epoch and when the
    training is interrupted, and removed at its end. Corrected frames lie in a file without a name
    beside ``output``, so a training set may be larger than memory. Each is shifted back by the
    drift found at calibration, so that it lies on its target.
    Source: Ihara 2022, Method, "Deep learning"; rows F1 to F3.
    """
    path = Path(output)
    recipe = find_recipe(preset)
    devices = find_devices(device)
    if target not in TARGETS:
        raise SettingsError(f"target {target!r} is unknown: choose one of {', '.join(TARGETS)}")
    if path.suffix != ".safetensors":
        raise SettingsError(f"{path}: a filter file ends in .safetensors")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists: choose another --output, or give --overwrite")
    checkpoint = path.with_name(path.name + ".checkpoint")
    if resume and not checkpoint.is_file():
        raise TrainingError(f"{checkpoint} does not exist, so there is nothing to resume")
    parent = None if start_from is None else load_filter(find_filter(start_from))
    if parent is not None:
        if width is not None or frames_in is not None or equalize:
            raise SettingsError(
                "--width, --frames-in and --equalize do not go with --from: the network stays that "
                "of the filter to start from"
            )
        recipe = replace(
            recipe,
            network=parent.network.settings,
            normalisation=parent.normalisation,
            rate=_GENTLER * recipe.rate,
        )
    recipe = _changed(recipe, frames, frames_in, width, rate, equalize)
    if not correction and target == "slow":
        logger.warning(
            "training without distortion correction: frames and slow scan do not match, and the "
            "filter blurs along the scan (row F5: shown to fail)"
        )
    listed = [stores] if isinstance(stores, str | Path) else list(stores)
    chosen = _choose(
        [AcquisitionStore(s) for s in listed], fovs, exclude_fovs, target, correction=correction
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    training, about = [], []
    for i, (store, fov) in enumerate(chosen, start=1):
        training.append(
            _training_fov(
                store, fov, target, correction=correction, frames=recipe.frames, folder=path.parent
            )
        )
        about.append(_about(store, fov))
        listener(FovDone(fov=fov, done=i, total=len(chosen)))
    if overwrite and not resume:  # not before all else is known to be right
        checkpoint.unlink(missing_ok=True)
    made = train_filter(
        training,
        recipe=recipe,
        target=target,  # type: ignore[arg-type]  # checked above
        epochs=epochs,
        minutes=minutes,
        seed=seed,
        threads=threads or usable_cores(),
        device=devices,
        checkpoint=checkpoint,
        listener=lambda progress: listener(TrainingStep(progress=progress)),
        card_extras={
            "preset": preset,
            "corrected": correction,
            "fovs": about,
            "scan_settings": _settings(chosen),
            **_lineage(start_from, parent),
        },
        start_from=parent,
    )
    save_filter(made, path)
    checkpoint.unlink(missing_ok=True)
    logger.info("%s: trained on %d FOVs", path, len(chosen))
    return made


def _changed(
    recipe: Recipe,
    frames: int | None,
    frames_in: int | None,
    width: int | None,
    rate: float | None,
    equalize: bool,
) -> Recipe:
    """Apply what the caller wants otherwise than the recipe."""
    network = replace(
        recipe.network,
        frames_in=recipe.network.frames_in if frames_in is None else frames_in,
        width=recipe.network.width if width is None else width,
    )
    changes: dict[str, Any] = {"network": network}
    if frames is not None:
        changes["frames"] = frames
    if rate is not None:
        changes["rate"] = rate
    if equalize:
        changes["normalisation"] = "frame_equalized"
    return replace(recipe, **changes)


def _choose(
    stores: Sequence[AcquisitionStore],
    fovs: Sequence[str],
    exclude: Sequence[str],
    target: str,
    *,
    correction: bool,
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
        elif reason := _cannot_train(store, fov, target, correction=correction):
            reasons.append(f"{fov} {reason}")
        else:
            found.append((store, fov))
    if not found:
        raise TrainingError(f"there is no FOV to train on: {'; '.join(reasons) or 'all excluded'}")
    for reason in reasons:
        logger.info("left out: %s", reason)
    return found


def _cannot_train(store: AcquisitionStore, fov: str, target: str, *, correction: bool) -> str:
    """Give the reason why a FOV cannot be trained on, or nothing."""
    if target == "slow" and not store.has(slow_group(fov)):
        return "has no slow scan: train on other frames instead, with --target frames"
    if target == "slow" and store.attrs(slow_group(fov)).get("relation") != "same":
        return "has a slow scan taken after the series"
    if target == "frames" or not correction:
        return ""
    if not store.has(calibration_group(fov)):
        return "has no calibration: run `stemscale calibrate` first"
    if not store.has(f"{calibration_group(fov)}/shift_x"):
        return "has only a carried-over calibration: it has no slow scan of the same still view"
    return ""


def _training_fov(
    store: AcquisitionStore,
    fov: str,
    target: str,
    *,
    correction: bool,
    frames: int | None,
    folder: Path,
) -> TrainingFov:
    shifts = load_shifts(store, fov)
    own = shifts is not None  # not that of other FOVs, carried over
    known = correction or (target == "slow" and own)
    calibration = load_calibration(store, fov) if known else None
    average: Image | None = None
    if calibration is None or shifts is None:  # not needed for every target, see `_cannot_train`
        found = average_series(store, fov)
        average, shifts = found.image, found.shifts
    slow = store.slow_image(fov)
    if calibration is not None:
        distortion = calibration.distortion if correction else calibration.distortion.linear()
    elif target == "slow" and slow is not None and average is not None:
        try:
            view = match_views(average, slow)
        except DistortionError as error:
            raise DistortionError(
                f"{fov}: {error}; or calibrate first: others may help to place a faint FOV"
            ) from error
        distortion = view.distortion_map(slow.shape, average.shape)
    else:
        distortion = DistortionMap.identity(store.frames(rapid_group(fov)).shape[1:])
    reference: Image | None = None
    if target == "slow":
        reference = slow
    elif target == "dcfi" and average is not None:
        reference = average
    elif target == "dcfi":
        with store.dataset(calibration_group(fov)) as dataset:
            reference = dataset["dcfi"].values
    return TrainingFov(
        name=fov,
        frames=_corrected(store, fov, distortion, shifts[:frames], folder),
        target=None if reference is None else np.asarray(reference, dtype=np.float32),
    )


def _corrected(
    store: AcquisitionStore,
    fov: str,
    distortion: DistortionMap,
    shifts: NDArray[np.float64],
    folder: Path,
) -> NDArray[np.float32]:
    """Frames of a FOV on the target's grid, each shifted back by its own drift.

    Frames without contrast have no known drift, and are left out.
    """
    aligned = np.flatnonzero(np.isfinite(shifts[:, 0] + shifts[:, 1])).tolist()
    corrected = scratch_frames((len(aligned), *distortion.shape), folder)
    series = store.frames(rapid_group(fov))
    warp = SeriesWarp(distortion, rapid_shape=series.shape[1:], drift=shifts)
    place = 0
    for index in range(series.n_blocks):
        start, stop = series.bounds(index)
        wanted = [i - start for i in aligned if start <= i < stop]
        if wanted:
            corrected[place : place + len(wanted)] = warp(series.read(start, stop), start)[wanted]
            place += len(wanted)
    return corrected


def _about(store: AcquisitionStore, fov: str) -> dict[str, Any]:
    return {
        "store": store.path.name,
        "fov": fov,
        "content_hash": store.attrs(rapid_group(fov)).get("content_hash"),
    }


def _lineage(start_from: str | Path | None, parent: Filter | None) -> dict[str, Any]:
    """Say what a filter was made from, with the FOVs that it has seen in that form."""
    if parent is None or start_from is None:
        return {}
    file = find_filter(start_from)
    before = parent.card.get("started_from", {}).get("fovs", [])
    return {
        "started_from": {
            "filter": Path(start_from).name,
            "sha256": filter_hash(file),
            "fovs": [*before, *parent.card.get("fovs", [])],
        }
    }


def _settings(chosen: Sequence[tuple[AcquisitionStore, str]]) -> dict[str, Any]:
    store, fov = chosen[0]
    settings = store.settings(rapid_group(fov))
    return {**settings.to_attrs(), "n_x": settings.n_x, "n_y": settings.n_y}
