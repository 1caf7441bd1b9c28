"""Filters that nobody trains: BM3D, as in the paper."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoise.unseen import fill_unseen
from stemscale.errors import FilterError, FrameShapeError

# median of the absolute deviation of a normal distribution, in standard deviations
_MAD_OF_NORMAL = 0.6745


def noise_sigma(frame: NDArray[Any]) -> float:
    """Estimate a frame's noise.

    Second differences along y: lag correlates the noise along x, so that differences along x
    would see too little of it, while from line to line it is white.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        [counts]; NaN = not seen.

    Returns
    -------
    float
        Standard deviation [counts]; 0 where nothing can be seen of it.

    Notes
    -----
    The median ignores the few pixels on edges. var(a - 2b + c) = 6 var(a) for white noise.
    """
    values = np.asarray(frame, dtype=np.float64)
    second = values[:-2] - 2 * values[1:-1] + values[2:]
    second = second[np.isfinite(second)]
    if second.size == 0:
        return 0.0
    return float(np.median(np.abs(second)) / _MAD_OF_NORMAL / np.sqrt(6))


def bm3d_frames(frames: NDArray[Any], *, sigma: float | None = None) -> NDArray[np.float32]:
    """Filter frames one by one with BM3D.

    It takes the noise for white and Gaussian and knows nothing of lag: the smear stays.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        [counts]; NaN = not seen.
    sigma : float, optional
        Standard deviation of the noise [counts]; estimated for every frame by default.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)
        [counts]; NaN where the input is NaN.

    Raises
    ------
    FilterError
        If the package ``bm3d`` is not installed, or ``sigma`` is negative.
    FrameShapeError
        If ``frames`` is not (frame, y, x).

    Notes
    -----
    Source: row F7; Dabov 2007, in the implementation of Tampere University, whose licence allows
    non-commercial use only.
    """
    package = _bm3d()
    if frames.ndim != 3:
        raise FrameShapeError(f"frames have shape {frames.shape}: needed is (frame, y, x)")
    if sigma is not None and not sigma >= 0:
        raise FilterError(f"sigma is {sigma:g} counts: needed is 0 or more")
    result = np.empty(frames.shape, dtype=np.float32)
    for index, frame in enumerate(frames):
        filled = fill_unseen(frame).astype(np.float64)
        own = noise_sigma(frame) if sigma is None else sigma
        # the package was tuned for images of 0 … 1
        low, range_ = float(filled.min()), float(np.ptp(filled))
        if own == 0 or range_ == 0:
            result[index] = filled
        else:
            result[index] = low + range_ * package.bm3d((filled - low) / range_, own / range_)
    if frames.dtype.kind == "f":
        result[~np.isfinite(frames)] = np.nan
    return result


def _bm3d() -> ModuleType:
    try:
        return importlib.import_module("bm3d")
    except ImportError as error:
        raise FilterError(
            "filter bm3d needs the package bm3d, which is not installed: pip install "
            '"stemscale[bm3d]" (its licence allows non-commercial use only)'
        ) from error
