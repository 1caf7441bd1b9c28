"""What a filter saw in training, in numbers that a series can be held against later."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.augmentation import Batch, augment, dose_weights
from stemscale.denoising.evenly import evenly
from stemscale.denoising.noise import noise_sigma
from stemscale.denoising.ranges import CharacterRanges
from stemscale.denoising.recipe import Recipe
from stemscale.denoising.scaling import (
    SCALE_FRAMES,
    SeriesScale,
    frame_min_max,
    mean_frame,
    normalise,
    series_scale,
)
from stemscale.denoising.training_set import TrainingFov
from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality import horizontal_profile, lag_tail

SPECTRUM_BINS = 16
_NOISE_FRAMES = 8  # of a FOV: frames of one series have hardly more noise than one another
_DARK, _BRIGHT = 1.0, 99.0  # [%]
_DIGITS = 5  # of a number on the card

Range = list[float] | None  # smallest and largest; None: nowhere to be measured


def training_ranges(fovs: Sequence[TrainingFov], *, frames: int | None = None) -> dict[str, Any]:
    """Measure what the frames and targets of a training are like.

    Parameters
    ----------
    fovs : sequence of TrainingFov
        Those trained on, without those held out.
    frames : int, optional
        Frames of each FOV that are used, the first ones; all by default.

    Returns
    -------
    dict
        JSON values. ``fovs``: their number. Each of the following is ``[smallest, largest]`` over
        the FOVs, or None where no FOV tells:

        - ``intensity_counts``: 1 % and 99 % percentiles of the mean frame [counts];
        - ``center_counts``, ``spread_counts``: `series_scale` [counts];
        - ``contrast``: spread / centre, of FOVs whose centre is above 0;
        - ``noise``: standard deviation of single frames' noise (`noise_sigma`) / spread;
        - ``lag_tail``: smear of the mean frame against the target (`quality.lag_tail`).

        ``spectrum``: power of the targets along x, in 16 bins: ``wave_number_per_px``, the middles
        of the bins [1/px], and ``ln_power_min``, ``ln_power_max``; targets have centre 0, spread 1
        and the power is that of a pixel, ln(|F|² / pixels), so that neither the gain of the slow
        scan nor the size of the image counts. None without a target.

    Notes
    -----
    Nothing here can end a training: a FOV that is constant, or too small, tells nothing.
    """
    found = [_measure(fov, frames) for fov in fovs]
    spectra = [f["spectrum"] for f in found if f["spectrum"] is not None]
    return {
        "fovs": len(fovs),
        **{
            name: _range(value for f in found for value in f[name])
            for name in (
                "intensity_counts",
                "center_counts",
                "spread_counts",
                "contrast",
                "noise",
                "lag_tail",
            )
        },
        "spectrum": _spectrum_range(np.array(spectra)) if spectra else None,
    }


def frame_ranges(
    fovs: Sequence[TrainingFov], recipe: Recipe, rng: np.random.Generator
) -> dict[str, Any] | None:
    """Measure what single frames of a training are like, as they are and varied by the recipe.

    Parameters
    ----------
    fovs : sequence of TrainingFov
        Those trained on, without those held out.
    recipe : Recipe
        Frames, scale, and by how much gain, offset, dose and lag are varied.
    rng : numpy.random.Generator
        Draws the variations, one of each frame that is measured.

    Returns
    -------
    dict or None
        `CharacterRanges.to_card` over 8 frames of each FOV, evenly spread; None where no FOV
        tells. A FOV that is constant tells nothing.
    """
    ranges = CharacterRanges()
    for fov in fovs:
        frames = fov.frames if recipe.frames is None else fov.frames[: recipe.frames]
        try:
            scale = series_scale(frames) if recipe.normalisation == "series" else None
        except (SeriesError, FrameShapeError):  # constant, or no frame
            continue
        for i in evenly(len(frames), _NOISE_FRAMES):
            frame = np.asarray(frames[i])
            ranges.add(frame, scale, series=fov.name)
            if recipe.dose_jitter and fov.target is not None:
                own, other = dose_weights(rng, recipe.dose_jitter)
                frame = own * frame + other * np.asarray(frames[int(rng.integers(len(frames)))])
            varied = _varied(normalise(frame, scale or frame_min_max(frame)), recipe, rng)
            ranges.add(varied, SeriesScale(center=0.0, spread=1.0), series=fov.name)
    return ranges.to_card()


def _varied(
    frame: NDArray[np.float32], recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Vary a frame, NaN = not seen, on the network's scale, as its patches are in training."""
    stack = fill_unseen(frame)[None, None]  # (batch, frames in, y, x)
    batch = augment(
        Batch(inputs=stack, targets=stack[:, 0], weights=stack[:, 0]),
        rng,
        gain_jitter=recipe.gain_jitter,
        offset_jitter=recipe.offset_jitter,
        lag_jitter=recipe.lag_jitter,
    )
    return np.where(np.isfinite(frame), batch.inputs[0, 0], np.float32(np.nan))


def relative_noise(frames: Any, scale: SeriesScale, *, at_most: int = _NOISE_FRAMES) -> list[float]:
    """Measure the noise of some frames of a series against the series' spread.

    Parameters
    ----------
    frames : array-like, shape (frame, y, x)
        Corrected as the network gets them [counts]: interpolation takes noise away. NaN = not seen.
    scale : SeriesScale
    at_most : int
        Frames to measure, evenly spread over the series.

    Returns
    -------
    list of float
        Standard deviation / spread; without frames that show nothing of it.
    """
    picked = evenly(int(frames.shape[0]), at_most)
    sigmas = [noise_sigma(np.asarray(frames[i])) / scale.spread for i in picked]
    return [s for s in sigmas if s > 0]


def _measure(fov: TrainingFov, frames: int | None) -> dict[str, Any]:
    """Values of one FOV, a list under each name; the spectrum a row of bins, or None."""
    used = fov.frames if frames is None else fov.frames[:frames]
    n_frames = int(used.shape[0])
    found: dict[str, Any] = {"spectrum": None if fov.target is None else _spectrum(fov.target)}
    names = ("intensity_counts", "center_counts", "spread_counts", "contrast", "noise", "lag_tail")
    found |= {name: [] for name in names}
    if n_frames == 0:
        return found
    mean = mean_frame(used, range(0, n_frames, max(1, n_frames // SCALE_FRAMES)))
    if np.isfinite(mean).any():
        found["intensity_counts"] = [float(v) for v in np.nanpercentile(mean, [_DARK, _BRIGHT])]
    if fov.target is not None:
        found["lag_tail"] = _tail(mean, fov.target)
    try:
        scale = series_scale(used)
    except SeriesError:  # constant
        return found
    found["center_counts"], found["spread_counts"] = [scale.center], [scale.spread]
    if scale.center > 0:
        found["contrast"] = [scale.spread / scale.center]
    found["noise"] = relative_noise(used, scale)
    return found


def _tail(mean: NDArray[np.float64], target: NDArray[Any]) -> list[float]:
    try:
        return [lag_tail(mean, target).weight]
    except FrameShapeError:  # lines of less than 16 pixels
        return []


def _spectrum(target: NDArray[Any]) -> list[float] | None:
    """Mean ln power of the bins along x; None where the target is constant or too small."""
    try:
        scaled = normalise(target, series_scale(target[None]))
    except SeriesError:
        return None
    wave_number, ln_power = horizontal_profile(scaled, pixel_size_nm=None)
    place = np.minimum((wave_number * 2 * SPECTRUM_BINS).astype(int), SPECTRUM_BINS - 1)
    count = np.bincount(place, minlength=SPECTRUM_BINS)
    if not count.all():
        return None
    total = np.bincount(place, weights=ln_power - math.log(scaled.size), minlength=SPECTRUM_BINS)
    return [float(v) for v in total / count]


def _spectrum_range(spectra: NDArray[np.float64]) -> dict[str, list[float]]:
    middles = (np.arange(SPECTRUM_BINS) + 0.5) / (2 * SPECTRUM_BINS)
    return {
        "wave_number_per_px": [float(v) for v in middles],
        "ln_power_min": [_rounded(v) for v in spectra.min(axis=0)],
        "ln_power_max": [_rounded(v) for v in spectra.max(axis=0)],
    }


def _range(values: Iterable[float]) -> Range:
    known = [v for v in values if math.isfinite(v)]
    return [_rounded(min(known)), _rounded(max(known))] if known else None


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
