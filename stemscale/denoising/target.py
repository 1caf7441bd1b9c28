"""Bring the image that a filter shall produce onto the intensities of the rapid frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FrameShapeError
from stemscale.quality import line_response, remove_background


def match_target(
    target: NDArray[Any], mean: NDArray[Any], *, background_px: float
) -> NDArray[np.float64]:
    """Bring a target to the contrast and the background of the rapid frames.

    Rapid and slow scan differ in gain and in a smooth background. A filter trained to reproduce
    the slow scan's spends its effort on guessing a background that the rapid frame does not show,
    and its output is on nobody's scale.

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

    Notes
    -----
    The response h along x that turns the target's detail into that of the rapid frames is fitted.
    Lag moves intensity downstream but keeps its sum, so the sum of h is the gain; a plain
    regression would answer too little, as the smear has flattened the rapid frames. The
    background is the smooth part of mean - h * target: that of the mean alone is smeared, too,
    and left a fifth of the smear in a filter's output (lag tail .06 against .32 of the rapid
    frames; .01 this way, on simulated frames of 256 x 256 px).
    """
    response = _response(target, mean, background_px)
    gain = float(response.sum())
    smeared = convolve1d(fill_unseen(target).astype(np.float64), response, axis=1, mode="nearest")
    difference = mean - smeared
    difference[np.isnan(target)] = np.nan
    background = difference - remove_background(difference, sigma_px=background_px)
    matched: NDArray[np.float64] = gain * target + background
    return matched


def _response(
    target: NDArray[Any], mean: NDArray[Any], background_px: float
) -> NDArray[np.float64]:
    """Fit h(k), k = -n … n; the ratio of contrasts alone where no h with a sum above 0 is found."""
    try:
        _, response = line_response(mean, target, sigma_px=background_px)
        if response.sum() > 0:  # False for NaN: no structure along x
            return response
    except FrameShapeError:  # lines of less than 16 pixels
        pass
    both = np.isfinite(target) & np.isfinite(mean)
    contrast = float(np.std(target[both])) if both.any() else 0.0
    return np.array([float(np.std(mean[both])) / contrast if contrast > 0 else 1.0])
