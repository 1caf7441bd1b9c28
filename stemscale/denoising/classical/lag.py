"""Deconvolution of the detector's lag: what arrives late along the scan is put back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, fftfreq, irfft2, rfft2, rfftfreq
from scipy.optimize import least_squares

from stemscale.denoising.classical.parameters import Parameters, number
from stemscale.denoising.classical.tuning import crop, highest, mean_psnr
from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FilterError
from stemscale.quality import hann, remove_background

FloatFrames = NDArray[np.float32]
Line = NDArray[np.float64]

_SCENE_UP_TO = 0.2  # [cycles/px] finer, a scene has no power for a fit
_TAILS_PX = ((0.2, 4.0), (4.0, 40.0))  # where the lengths of the quick and the slow tail are sought
_SHIFT_PX = 4.0  # largest residual shift between frames and slow scan that the fit allows
_AGREES = 0.3  # coherence along x of mean and slow scan below which there is nothing to fit
_STEEPNESS = (3.0, 4.0, 6.0)
_START, _RATIO, _LIMITS = 0.08, 1.3, (0.005, 2.0)  # [cycles/px]
_FLOOR = 0.05  # noise that came after the lag (readout), relative to that from before
_PAD_PX = 64
_CROP_PX, _FRAMES = 320, 2


def tune(frames: FloatFrames, reference: NDArray[np.float64] | None) -> dict[str, Any]:
    """Fit the tails on the mean of the frames against the slow scan, and the noise on the frames.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected frames of one scene [counts]: the more, the better the fit; NaN = not seen.
    reference : ndarray, shape (y, x)
        Slow scan.

    Returns
    -------
    dict
        ``tail_px`` and ``tail_weight`` of two exponential tails (weights sum to 1), ``shift_px``
        of the frames against the slow scan beside, and ``cutoff`` [cycles/px] and ``steepness`` of
        the ratio of noise to scene, of the highest PSNR.

    Raises
    ------
    FilterError
        If there is no slow scan, or it does not show what the frames show.

    Notes
    -----
    Response along x: h(k) = sum over tails of w (1 - a) a^k for k = 0, 1, …, with a = e^(-1/tau).
    It is fitted to sum M S* = g H sum |S|² (sums over lines; M, S the transforms along x of mean
    and slow scan, background removed, Hann window; the slow scan's own noise is taken off |S|²),
    for waves longer than 5 px. The slow tail of a real detector grows with the signal; the fit
    gives the one at the signal there is.
    """
    if reference is None:
        raise FilterError(
            "filter lag fits the detector's tails against a slow scan of the same FOV, and there "
            "is none on the frames' grid: ingest one with --slow, and calibrate"
        )
    fitted = fit_tails(frames, reference)
    part, of = crop(frames, reference, size=_CROP_PX, n=_FRAMES)
    assert of is not None
    best: dict[str, Any] = {"psnr": float("-inf")}
    cutoff = _START
    for steepness in _STEEPNESS:

        def score(value: float, steepness: float = steepness) -> float:
            return mean_psnr(apply(part, {**fitted, "cutoff": value, "steepness": steepness}), of)

        cutoff, psnr = highest(score, cutoff, ratio=_RATIO, lowest=_LIMITS[0], largest=_LIMITS[1])
        if psnr > best["psnr"] or "cutoff" not in best:
            best = {**fitted, "cutoff": cutoff, "steepness": steepness, "psnr": psnr}
    return {**best, "tuned": "slow scan"}


def apply(frames: FloatFrames, parameters: Parameters) -> FloatFrames:
    """Filter frames one by one.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        [counts]; NaN = not seen.
    parameters : mapping
        As from `tune`.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)

    Raises
    ------
    FilterError
        If a parameter is missing or makes no sense.

    Notes
    -----
    Wiener's filter: H* / (|H|² + (|H|² + r) (|k| / k_c)^p), where most noise went through the lag
    as the scene did (hence |H|²), r = 0.05 did not, and a scene's power falls with a power p of
    the wave number below that of the noise, which it meets at k_c. Frames are continued by
    reflection, 64 px far.
    Source: Wiener 1949.
    """
    result = np.empty(frames.shape, dtype=np.float32)
    n_y, n_x = frames.shape[1:]
    pads = tuple((min(_PAD_PX, size - 1),) * 2 for size in (n_y, n_x))
    shape = tuple(size + 2 * pad[0] for size, pad in zip((n_y, n_x), pads, strict=True))
    inverse = _inverse(parameters, (shape[0], shape[1]))
    inner = np.s_[pads[0][0] : pads[0][0] + n_y, pads[1][0] : pads[1][0] + n_x]
    for index, frame in enumerate(frames):
        filled = fill_unseen(frame).astype(np.float64)
        padded = np.pad(filled, pads, mode="reflect")
        result[index] = irfft2(rfft2(padded) * inverse, s=padded.shape)[inner]
    return result


def fit_tails(frames: FloatFrames, reference: NDArray[np.float64]) -> dict[str, Any]:
    """Fit the detector's response along the scan.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Corrected frames of one scene [counts]; NaN = not seen.
    reference : ndarray, shape (y, x)
        Slow scan.

    Returns
    -------
    dict
        ``tail_px``, ``tail_weight``, ``shift_px`` as from `tune`.

    Raises
    ------
    FilterError
        If the slow scan does not show what the frames show.
    """
    mean = frames.astype(np.float64).mean(axis=0)
    seen = np.isfinite(mean) & np.isfinite(reference)
    late, sharp = (
        fft(np.nan_to_num(remove_background(np.where(seen, image, np.nan))) * window, axis=1)
        for image, window in ((mean, _window(seen)), (reference, _window(seen)))
    )
    f = fftfreq(seen.shape[1])
    power = (np.abs(sharp) ** 2).sum(axis=0)
    floor = float(np.median(power[np.abs(f) > 0.4])) if seen.any() else 0.0
    used = (f > 0) & (f <= _SCENE_UP_TO)
    f, whole = f[used], power[used]
    power = np.maximum(whole - floor, 1e-3 * whole)
    common = (late * sharp.conj()).sum(axis=0)[used]
    own = (np.abs(late) ** 2).sum(axis=0)[used]
    agreement = np.abs(common).sum() / max(float(np.sqrt(whole * own).sum()), 1e-300)
    if not agreement > _AGREES:
        raise FilterError(
            f"filter lag: the slow scan agrees with the mean of the frames by {agreement:.2f} "
            f"along the scan, needed are {_AGREES:g}: do both show one place? calibrate first"
        )
    weight = 1 / np.sqrt(np.maximum(power, 1e-6 * power.max()))

    def missed(p: Line) -> Line:
        error = (common - p[4] * _response(f, p[:2], p[2], p[3]) * power) * weight
        return np.concatenate([error.real, error.imag]) / float(np.sqrt(power.sum()))

    scale = float(np.abs(common[0]) / power[0])
    (quick_low, quick_high), (slow_low, slow_high) = _TAILS_PX
    found = least_squares(
        missed,
        x0=(1.0, 9.0, 0.3, 0.0, scale),
        bounds=(
            (quick_low, slow_low, 0.0, -_SHIFT_PX, 0.0),
            (quick_high, slow_high, 1.0, _SHIFT_PX, np.inf),
        ),
        x_scale=(1.0, 5.0, 0.2, 1.0, max(scale, 1e-12)),
    ).x
    return {
        "tail_px": [float(found[0]), float(found[1])],
        "tail_weight": [1 - float(found[2]), float(found[2])],
        "shift_px": float(found[3]),
    }


def _window(seen: NDArray[np.bool_]) -> Line:
    window: Line = hann(seen.shape[1])[None]
    return window


def _response(f: Line, tail_px: Line, slow_weight: float, shift_px: float) -> NDArray[Any]:
    """Transfer function H of two tails, and of a shift, at wave numbers ``f`` [cycles/px]."""
    wave = np.exp(-2j * np.pi * f)
    quick, slow = ((1 - np.exp(-1 / tau)) / (1 - np.exp(-1 / tau) * wave) for tau in tail_px)
    response: NDArray[Any] = ((1 - slow_weight) * quick + slow_weight * slow) * wave**shift_px
    return response


def _inverse(parameters: Parameters, shape: tuple[int, int]) -> NDArray[Any]:
    """Wiener's filter for transforms of frames of ``shape`` by `rfft2`."""
    tails, weights = parameters.get("tail_px"), parameters.get("tail_weight")
    if not isinstance(tails, list) or not isinstance(weights, list) or len(tails) != 2:
        raise FilterError(
            f"filter parameters tail_px {tails!r} and tail_weight {weights!r} are not two tails: "
            "tune the filter again"
        )
    f_x = rfftfreq(shape[1])
    shift_px = number(parameters, "shift_px", lowest=-shape[1])
    response = _response(f_x, np.asarray(tails, dtype=np.float64), float(weights[1]), shift_px)
    power = np.abs(response) ** 2
    cutoff = number(parameters, "cutoff", lowest=1e-6)
    f = np.hypot(fftfreq(shape[0])[:, None], f_x[None])
    noise = (f / cutoff) ** number(parameters, "steepness")
    inverse: NDArray[Any] = response.conj() / (power + (power + _FLOOR) * noise)
    return inverse
