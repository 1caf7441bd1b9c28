"""A Gaussian low-pass: the plainest filter there is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from stemscale.denoising.classical.parameters import Parameters, number
from stemscale.denoising.classical.tuning import crop, highest, mean_psnr
from stemscale.denoising.noise import noise_correlation, noise_sigma
from stemscale.denoising.unseen import fill_unseen

FloatFrames = NDArray[np.float32]

_START_PX, _RATIO, _LIMITS_PX = 1.2, 1.3, (0.2, 12.0)
_CROP_PX, _FRAMES = 320, 2


def tune(frames: FloatFrames, reference: NDArray[np.float64] | None) -> dict[str, Any]:
    """Find the width of the Gaussian.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected frames [counts]; NaN = not seen.
    reference : ndarray, shape (y, x), optional
        Slow scan.

    Returns
    -------
    dict
        ``sigma_px``, of the highest PSNR against the reference; without one, of the least risk.

    Notes
    -----
    Risk is Stein's unbiased estimate of the squared error, from the frame and its noise alone:
    mean (y - Gy)² + 2 σ² sum over k of g(0, k) c(k), where c is the correlation of the noise
    along the scan. Source: Stein 1981.
    """
    frames, reference = crop(frames, reference, size=_CROP_PX, n=_FRAMES)

    if reference is not None:
        of = reference
        sigma_px, psnr = highest(
            lambda s: mean_psnr(_filtered(frames, s), of),
            _START_PX,
            ratio=_RATIO,
            lowest=_LIMITS_PX[0],
            largest=_LIMITS_PX[1],
        )
        return {"sigma_px": sigma_px, "tuned": "slow scan", "psnr": psnr}
    variance = float(np.mean([noise_sigma(f) ** 2 for f in frames]))
    correlation = np.asarray(noise_correlation(frames))
    sigma_px, _ = highest(
        lambda s: -_risk(frames, s, variance, correlation),
        _START_PX,
        ratio=_RATIO,
        lowest=_LIMITS_PX[0],
        largest=_LIMITS_PX[1],
    )
    return {"sigma_px": sigma_px, "tuned": "noise"}


def apply(frames: FloatFrames, parameters: Parameters) -> FloatFrames:
    """Filter frames one by one.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        [counts]; NaN = not seen.
    parameters : mapping
        ``sigma_px``.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)

    Raises
    ------
    FilterError
        If the width is missing or negative.
    """
    return _filtered(frames, number(parameters, "sigma_px"))


def _filtered(frames: FloatFrames, sigma_px: float) -> FloatFrames:
    result = np.empty(frames.shape, dtype=np.float32)
    for index, frame in enumerate(frames):
        result[index] = gaussian_filter(fill_unseen(frame).astype(np.float64), sigma_px)
    return result


def _risk(
    frames: FloatFrames, sigma_px: float, variance: float, correlation: NDArray[np.float64]
) -> float:
    missed = float(np.nanmean((frames - _filtered(frames, sigma_px)) ** 2))
    impulse = np.zeros(2 * correlation.size - 1)
    impulse[correlation.size - 1] = 1.0
    along = gaussian_filter(impulse, sigma_px, mode="constant")
    both_sides = np.concatenate([correlation[:0:-1], correlation])
    across = gaussian_filter(np.eye(1, 101, 50)[0], sigma_px)[50]
    return missed + 2 * variance * float(across * (along @ both_sides))
