"""Non-local means: averages over pixels whose surroundings look alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.classical.parameters import Parameters, number
from stemscale.denoising.classical.tuning import crop, highest, mean_psnr
from stemscale.denoising.noise import noise_sigma
from stemscale.denoising.unseen import fill_unseen

FloatFrames = NDArray[np.float32]

_PATCHES_PX = (5, 7, 9)
_STRENGTH = 0.6  # of the noise's standard deviation: what scikit-image recommends for its fast mode
_RATIO, _LIMITS = 1.4, (0.05, 4.0)
_REACH_PX = 9
_CROP_PX, _FRAMES = 160, 2


def tune(frames: FloatFrames, reference: NDArray[np.float64] | None) -> dict[str, Any]:
    """Find patch size and strength.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected frames [counts]; NaN = not seen.
    reference : ndarray, shape (y, x), optional
        Slow scan.

    Returns
    -------
    dict
        ``sigma`` of the noise [counts], ``strength`` (the filter's h in units of it), ``patch_px``
        and ``reach_px``; of the highest PSNR against the reference, or as recommended.
    """
    sigma = float(np.mean([noise_sigma(f) for f in frames]))
    given: dict[str, Any] = {
        "sigma": sigma,
        "strength": _STRENGTH,
        "patch_px": 7,
        "reach_px": _REACH_PX,
    }
    if reference is None or sigma == 0:
        return {**given, "tuned": "noise"}
    part, of = crop(frames, reference, size=_CROP_PX, n=_FRAMES)
    assert of is not None
    best: tuple[float, dict[str, Any]] = (float("-inf"), given)
    start = _STRENGTH
    for patch_px in _PATCHES_PX:

        def score(strength: float, patch_px: int = patch_px) -> float:
            return mean_psnr(apply(part, {**given, "strength": strength, "patch_px": patch_px}), of)

        start, psnr = highest(score, start, ratio=_RATIO, lowest=_LIMITS[0], largest=_LIMITS[1])
        best = max(best, (psnr, {**given, "strength": start, "patch_px": patch_px}), key=_first)
    return {**best[1], "tuned": "slow scan", "psnr": best[0]}


def _first(found: tuple[float, dict[str, Any]]) -> float:
    return found[0]


def apply(frames: FloatFrames, parameters: Parameters) -> FloatFrames:
    """Filter frames one by one.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        [counts]; NaN = not seen.
    parameters : mapping
        ``sigma`` [counts], ``strength``, ``patch_px``, ``reach_px``.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)

    Raises
    ------
    FilterError
        If a parameter is missing or makes no sense.

    Notes
    -----
    Source: Buades 2005, in the fast form of scikit-image (Darbon 2008). It takes noise for white
    and knows nothing of lag: the smear stays.
    """
    from skimage.restoration import denoise_nl_means

    sigma, strength = number(parameters, "sigma"), number(parameters, "strength")
    patch_px = int(number(parameters, "patch_px", lowest=1))
    reach_px = int(number(parameters, "reach_px", lowest=1))
    result = np.empty(frames.shape, dtype=np.float32)
    for index, frame in enumerate(frames):
        filled = fill_unseen(frame).astype(np.float64)
        if sigma * strength == 0:
            result[index] = filled
            continue
        # in units of the noise, around 0: the fast form sums squares over the whole frame
        middle = float(np.median(filled))
        result[index] = middle + sigma * denoise_nl_means(
            (filled - middle) / sigma,
            patch_size=patch_px,
            patch_distance=reach_px,
            h=strength,
            sigma=1.0,
            fast_mode=True,
        )
    return result
