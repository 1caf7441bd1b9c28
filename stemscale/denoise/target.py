"""Bring the image that a filter shall produce onto the intensities of the rapid frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import FrameShapeError
from stemscale.quality import line_response, remove_background


def match_target(
    target: NDArray[Any], mean: NDArray[Any], *, background_px: float
) -> NDArray[np.float64]:
    """Put a target's detail onto the background of the rapid frames.

    Rapid and slow scan differ in gain and in a smooth background. A filter trained to reproduce
    the slow scan's spends its effort on guessing a background that the rapid frame does not show,
    and its output is on nobody's scale. So the smooth part is taken from the mean of the rapid
    frames, the detail from the target, and the detail is scaled to the frames' contrast.

    Parameters
    ----------
    target : ndarray, shape (y, x)
        Slow scan or DCFI [its own counts]; NaN = not seen.
    mean : ndarray, shape (y, x)
        Mean of the FOV's rapid frames [counts]; NaN = not seen.
    background_px : float
        Standard deviation of the Gaussian that parts background from detail [px].

    Returns
    -------
    ndarray of float64, shape (y, x)
        [counts of the rapid frames]; NaN where either was not seen.
    """
    detail = remove_background(target, sigma_px=background_px)
    mean_detail = remove_background(mean, sigma_px=background_px)
    gain = contrast_gain(target, mean, background_px=background_px)
    if gain is None:
        gain = _ratio_of_contrasts(detail, mean_detail)
    matched: NDArray[np.float64] = mean - mean_detail + gain * detail
    return matched


def contrast_gain(
    target: NDArray[Any], mean: NDArray[Any], *, background_px: float
) -> float | None:
    """Find how much contrast of the rapid frames answers to one unit of the target's.

    A plain regression would answer too little, as the smear has flattened the rapid frames. Lag
    moves intensity downstream but keeps its sum: so the response along x is fitted, and its sum
    is the gain.

    Parameters
    ----------
    target, mean : ndarray, shape (y, x)
        As for :func:`match_target`.
    background_px : float

    Returns
    -------
    float or None
        None where no response above 0 can be found (lines too short, no structure along x).
    """
    try:
        _, response = line_response(mean, target, sigma_px=background_px)
    except FrameShapeError:  # lines of less than 16 pixels
        return None
    gain = float(response.sum())
    return gain if gain > 0 else None  # False for NaN as well


def _ratio_of_contrasts(detail: NDArray[Any], mean_detail: NDArray[Any]) -> float:
    contrast = float(np.nanstd(detail))
    return float(np.nanstd(mean_detail)) / contrast if contrast > 0 else 1.0
