"""Align a few consecutive frames among themselves, without any other part of the series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, Image
from stemscale.distortion.accumulator import Accumulator, Shift
from stemscale.distortion.arrays import FloatArray
from stemscale.distortion.drift import Band, DriftSearch, Spectrum, band_of, filled

_MEMORY = 8  # frames that the first reference remembers: their views differ as the scene drifts
_WIDEST = 0.2  # of the frame's length: frames that drift further are two groups
_ALIKE = 0.02  # of the frame's length: within that, views differ too little to cut them
_NOISE = 7.0  # agreement up to which it may be chance
_LEAST_NOISE = 0.01  # of a frame's power in the band: frames without noise would weigh all


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameGroup:
    """Frames aligned among themselves.

    Attributes
    ----------
    mean : ndarray of float32, shape (y, x), or None
        Their weighted mean, NaN where none of them saw; None if no frame has contrast.
    shifts : ndarray of float64, shape (frame, 2)
        Where the scene of ``mean`` lies in each frame (dy, dx) [px], 0 on average; NaN for a frame
        without contrast, which is left out.
    weights : ndarray of float64, shape (frame,)
        Weight of each frame, 0 for one that is left out.
    """

    mean: NDArray[np.float32] | None
    shifts: FloatArray
    weights: FloatArray


def align_group(
    frames: Frames | Sequence[Image],
    *,
    search: DriftSearch = DriftSearch(),  # noqa: B008 (frozen)
    weighted: bool = False,
) -> list[FrameGroup]:
    """Align a few frames among themselves and average them.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x), or sequence of ndarray, shape (y, x)
        In the order of time, any real dtype.
    search : DriftSearch
    weighted : bool
        Whether frames weigh by their quality, see `integrate_frames`.

    Returns
    -------
    list of FrameGroup
        One; more of them where the frames drift by more than 20 % of their length.

    Notes
    -----
    Each frame is first compared with the mean of those before it, then with the mean of all
    *others* (its own noise would hold it in place), each cut to what all of them see where the
    scene drifts. The means are sums of spectra, so a frame is transformed once or twice. A frame
    that agrees with the others no better than noise does, while they agree among themselves, has
    no contrast: the beam was blanked.
    """
    shape = (int(frames[0].shape[0]), int(frames[0].shape[1]))
    band = band_of(shape, search)
    images = [filled(frame) for frame in frames]
    spectra = [band.spectrum(image) for image in images]
    return _aligned(band, images, spectra, weighted)


def _aligned(
    band: Band, images: Sequence[Image], spectra: Sequence[Spectrum], weighted: bool
) -> list[FrameGroup]:
    shifts = _chained(band, spectra)
    known = np.flatnonzero(np.isfinite(shifts[:, 0]))
    if not known.size:
        return [FrameGroup(mean=None, shifts=shifts, weights=np.zeros(len(images)))]
    if (np.ptp(shifts[known], axis=0) > _WIDEST * np.array(band.shape)).any():
        half = len(images) // 2  # they have too little in common
        parts = (slice(0, half), slice(half, len(images)))
        return [g for p in parts for g in _aligned(band, images[p], spectra[p], weighted)]
    weights = np.zeros(len(images))
    weights[known] = 1.0
    if known.size > 1:
        chosen = known.tolist()
        shifts[known], weights[known] = _refined(
            band,
            [images[i] for i in chosen],
            [spectra[i] for i in chosen],
            shifts[known],
            weighted,
        )
        known = np.flatnonzero(np.isfinite(shifts[:, 0]))
    shifts -= shifts[known].mean(axis=0)
    total = Accumulator(band.shape)
    for i in known.tolist():
        total.add(images[i], (float(shifts[i, 0]), float(shifts[i, 1])), float(weights[i]))
    return [FrameGroup(mean=total.mean(), shifts=shifts, weights=weights)]


def _chained(band: Band, spectra: Sequence[Spectrum]) -> FloatArray:
    """Compare each frame with the mean of those before it."""
    shifts = np.full((len(spectra), 2), np.nan)
    reference: Spectrum | None = None
    count = 0
    best = 0.0
    last: Shift = (0.0, 0.0)
    for i, spectrum in enumerate(spectra):
        compared = spectrum if reference is None else reference
        found = band.peak(spectrum * np.conj(compared), last)
        if found is None:
            continue
        back = band.moved_back(spectrum, found)
        if reference is None:
            reference = back
        else:
            agreement = band.agreement(back, reference)
            best = max(best, agreement)
            if _is_noise(agreement, best):
                continue
            reference = reference + (back - reference) / min(count + 1, _MEMORY)
        count += 1
        shifts[i] = last = found
    return shifts


def _is_noise(agreement: float | FloatArray, usual: float) -> Any:
    return np.logical_and(np.less(agreement, _NOISE), np.less(agreement, usual / 3))


def _refined(
    band: Band,
    images: Sequence[Image],
    spectra: Sequence[Spectrum],
    shifts: FloatArray,
    weighted: bool,
) -> tuple[FloatArray, FloatArray]:
    """Compare each frame with the mean of the others, within what all of them see."""
    rest = shifts - np.median(shifts, axis=0)
    whole = np.rint(rest).astype(int)
    if (np.ptp(whole, axis=0) > _ALIKE * np.array(band.shape)).any():
        spectra = [band.spectrum(part) for part in _common(images, whole)]
    else:
        whole = np.zeros_like(whole)
    rest = rest - whole
    aligned = [band.moved_back(s, r) for s, r in zip(spectra, rest, strict=True)]
    total = np.sum(aligned, axis=0)
    agreement = np.empty(len(aligned))
    for i, own in enumerate(aligned):
        others = total - own
        step = band.climb(own * np.conj(others) * band.gain, (0.0, 0.0))
        aligned[i] = band.moved_back(own, step)
        agreement[i] = band.agreement(aligned[i], others)
        rest[i] += step
    weights = _weights(band, aligned) if weighted else np.ones(len(aligned))
    blank = _is_noise(agreement, float(np.median(agreement)))
    rest[blank], weights[blank] = np.nan, 0.0
    return rest + whole, weights


def _common(images: Sequence[Image], whole: NDArray[np.int_]) -> list[Image]:
    """Cut out of each image what all of them see."""
    first = whole - whole.min(axis=0)
    n_y, n_x = np.array(images[0].shape) - np.ptp(whole, axis=0)
    return [
        image[y : y + n_y, x : x + n_x]
        for image, (y, x) in zip(images, first.tolist(), strict=True)
    ]


def _weights(band: Band, aligned: Sequence[Spectrum]) -> FloatArray:
    """Weigh each frame by the amplitude of the scene in it over the variance of all else."""
    total = np.sum(aligned, axis=0)
    power = np.empty(len(aligned))
    common = np.empty(len(aligned))
    for i, own in enumerate(aligned):
        others = (total - own) / (len(aligned) - 1)
        power[i] = np.sum(band.detail * (own.real**2 + own.imag**2), dtype=np.float64)
        common[i] = np.sum(band.detail * (own * np.conj(others)).real, dtype=np.float64)
    amplitude = np.maximum(common, 0) / np.sqrt(max(common.mean(), 1e-30))
    noise = np.maximum(power - amplitude**2, _LEAST_NOISE * power)
    weights: FloatArray = amplitude / noise
    return weights
