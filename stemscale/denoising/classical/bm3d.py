"""BM3D, as in the paper: similar blocks are stacked, and what they do not share is taken out."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.classical.parameters import Parameters, number
from stemscale.denoising.classical.tuning import crop, highest, mean_psnr
from stemscale.denoising.noise import noise_correlation, noise_sigma, row_spectrum
from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FilterError

FloatFrames = NDArray[np.float32]

_RATIO, _LIMITS = 1.4, (0.1, 10.0)  # of the noise's standard deviation
_CROP_PX, _FRAMES = 128, 1  # one run on it takes a second
_THRESHOLD, _WIENER = 3.0, 0.4  # the package's own for white noise; its fit needs an older numpy
_BLOCK_PX = 8  # of the package: it takes no smaller frame


def tune(frames: FloatFrames, reference: NDArray[np.float64] | None) -> dict[str, Any]:
    """Find type and strength of the noise that BM3D is told of.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected frames [counts]; NaN = not seen.
    reference : ndarray, shape (y, x), optional
        Slow scan.

    Returns
    -------
    dict
        ``sigma`` [counts] and ``correlation`` along the scan ([1.0] for white noise); of the
        highest PSNR against the reference (row F7), or as measured on the frames. ``noise`` says
        "white" or "rows".

    Raises
    ------
    FilterError
        If the package ``bm3d`` is not installed.
    """
    _package()
    sigma = float(np.mean([noise_sigma(f) for f in frames]))
    measured = {"noise": "rows", "sigma": sigma, "correlation": noise_correlation(frames)}
    if reference is None or sigma == 0:
        return {**measured, "tuned": "noise"}
    part, of = crop(frames, reference, size=_CROP_PX, n=_FRAMES)
    assert of is not None
    found = []
    for noise in (measured, {**measured, "noise": "white", "correlation": [1.0]}):

        def score(factor: float, noise: dict[str, Any] = noise) -> float:
            return mean_psnr(apply(part, {**noise, "sigma": factor * sigma}), of)

        factor, psnr = highest(score, 1.0, ratio=_RATIO, lowest=_LIMITS[0], largest=_LIMITS[1])
        found.append({**noise, "sigma": factor * sigma, "tuned": "slow scan", "psnr": psnr})
    return max(found, key=lambda parameters: float(parameters["psnr"]))


def apply(frames: FloatFrames, parameters: Parameters) -> FloatFrames:
    """Filter frames one by one.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        [counts]; NaN = not seen.
    parameters : mapping
        ``sigma`` [counts] and ``correlation``.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)

    Raises
    ------
    FilterError
        If the package ``bm3d`` is not installed, a parameter makes no sense, or frames are
        smaller than a block of 8 x 8 px.

    Notes
    -----
    It knows nothing of lag but the noise's correlation: the smear stays. One thread: with more,
    the package's results vary in their last digits from run to run.
    Source: row F7; Dabov 2007 and, for correlated noise, Mäkinen 2020, in the implementation of
    Tampere University, whose licence allows non-commercial use only.
    """
    package = _package()
    sigma, correlation = number(parameters, "sigma"), parameters.get("correlation", [1.0])
    if not isinstance(correlation, list) or not correlation:
        raise FilterError(
            f"filter parameter correlation is {correlation!r}: needed is a list that starts with "
            "1; tune the filter again"
        )
    if min(frames.shape[1:]) < _BLOCK_PX:
        raise FilterError(
            f"frames have shape {frames.shape[1:]}: bm3d needs {_BLOCK_PX} x {_BLOCK_PX} px or more"
        )
    profile = package.BM3DProfile()
    profile.num_threads, profile.lambda_thr3d, profile.mu2 = 1, _THRESHOLD, _WIENER
    n_y, n_x = frames.shape[1:]
    spectrum = np.tile(row_spectrum(correlation, n_x) * n_x * n_y, (n_y, 1))  # of sigma 1
    result = np.empty(frames.shape, dtype=np.float32)
    for index, frame in enumerate(frames):
        filled = fill_unseen(frame).astype(np.float64)
        # the package was tuned for images of 0 … 1
        low, range_ = float(filled.min()), float(np.ptp(filled))
        if sigma == 0 or range_ == 0:
            result[index] = filled
            continue
        own = sigma / range_
        told = own if len(correlation) == 1 else own**2 * spectrum
        result[index] = low + range_ * package.bm3d((filled - low) / range_, told, profile)
    return result


def _package() -> ModuleType:
    try:
        return importlib.import_module("bm3d")
    except ImportError as error:
        raise FilterError(
            "filter bm3d needs the package bm3d, which is not installed: pip install "
            '"stemscale[bm3d]" (its licence allows non-commercial use only)'
        ) from error
