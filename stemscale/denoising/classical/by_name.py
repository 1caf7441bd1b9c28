"""The classical filters by their names."""

from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.classical.parameters import Parameters
from stemscale.errors import FilterError, FrameShapeError

FloatFrames = NDArray[np.float32]  # (frame, y, x)

CLASSICAL: dict[str, str] = {
    "gaussian": "Gaussian low-pass",
    "nlm": "non-local means",
    "bm3d": "block matching in 3-D (row F7); needs the extra 'bm3d'",
    "lag": "deconvolution of the detector's lag; needs a slow scan",
}
"""What may be asked for; a module of that name holds each."""


class _Filter(Protocol):
    def tune(self, frames: FloatFrames, reference: NDArray[np.float64] | None) -> Parameters: ...

    def apply(self, frames: FloatFrames, parameters: Parameters) -> FloatFrames: ...


def tune_classical(
    word: str, frames: NDArray[Any], reference: NDArray[Any] | None = None
) -> Parameters:
    """Find the parameters of a classical filter for frames like these.

    Parameters
    ----------
    word : str
        A key of `CLASSICAL`.
    frames : ndarray, shape (frame, y, x)
        A few corrected rapid frames of one series [counts]; NaN = not seen.
    reference : ndarray, shape (y, x), optional
        The slow scan on the frames' grid, on any scale: parameters are those of the highest PSNR
        against it, background removed. Without it they come from the frames' noise.

    Returns
    -------
    dict
        JSON values; ``tuned`` says against what, and ``psnr`` what was reached there [dB].

    Raises
    ------
    FilterError
        If the word is unknown, its package is missing, or it needs a reference.
    FrameShapeError
        If frames and reference do not fit each other, or there is no frame.
    """
    if frames.ndim != 3 or 0 in frames.shape:
        raise FrameShapeError(
            f"frames have shape {frames.shape}: needed is (frame, y, x) with a frame in it"
        )
    if reference is not None and reference.shape != frames.shape[1:]:
        raise FrameShapeError(
            f"frames have shape {frames.shape[1:]} but the slow scan has {reference.shape}: "
            "calibrate first, so that both lie on one grid"
        )
    of = None if reference is None else np.asarray(reference, dtype=np.float64)
    return _filter(word).tune(np.asarray(frames, dtype=np.float32), of)


def apply_classical(word: str, frames: NDArray[Any], parameters: Parameters) -> FloatFrames:
    """Run a classical filter over frames, one by one.

    Parameters
    ----------
    word : str
        A key of `CLASSICAL`.
    frames : ndarray, shape (frame, y, x)
        Corrected rapid frames [counts], any real dtype; NaN = not seen.
    parameters : mapping
        From `tune_classical`.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)
        [counts]; NaN where the input is NaN.

    Raises
    ------
    FilterError
        If the word is unknown, its package is missing, or a parameter makes no sense.
    FrameShapeError
        If ``frames`` is not (frame, y, x).

    Examples
    --------
    The middle of a Gaussian of 1 px is 1 / 2π of its sum:

    >>> import numpy as np
    >>> from stemscale.denoising import apply_classical
    >>> frames = np.zeros((1, 9, 9))
    >>> frames[0, 4, 4] = 100.0
    >>> filtered = apply_classical("gaussian", frames, {"sigma_px": 1.0})
    >>> round(float(filtered[0, 4, 4])), round(float(filtered.sum()))
    (16, 100)
    """
    if frames.ndim != 3:
        raise FrameShapeError(f"frames have shape {frames.shape}: needed is (frame, y, x)")
    values = np.asarray(frames, dtype=np.float32)
    filtered = _filter(word).apply(values, parameters)
    filtered[~np.isfinite(values)] = np.nan
    return filtered


def _filter(word: str) -> _Filter:
    if word not in CLASSICAL:
        raise FilterError(f"filter {word!r} is unknown: take one of {', '.join(CLASSICAL)}")
    return cast(_Filter, import_module(f"stemscale.denoising.classical.{word}"))
