"""Which pixels a fractional position mixes along one axis, and how."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch

from stemscale.distortion.arrays import FloatArray

Interpolation = Literal["linear", "cubic", "lanczos"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

Taps = tuple[torch.Tensor, torch.Tensor]
"""Index (int64) and weight (float32) of what each source mixes, (..., tap)."""

Weights = dict[int, FloatArray]  # by place, counted from the pixel at or before the source


def taps(source: FloatArray, n: int, interpolation: Interpolation) -> Taps:
    """Find the pixels that sources mix along one axis.

    Parameters
    ----------
    source : ndarray of float64, any shape
        Positions [px]; those outside ``[0, n - 1]`` are taken for the border pixel.
    n : int
        Pixels along the axis.
    interpolation : {"linear", "cubic", "lanczos"}
        See `Warp`.

    Returns
    -------
    index, weight : Tensor, shape (*source.shape, tap)
        Weights add up to 1. Taps beyond the border repeat the border pixel. A tap of weight 0
        points at a pixel that has weight, so that it cannot bring in a NaN; taps without any
        weight are left out.
    """
    held = np.clip(source, 0, n - 1)
    base = np.minimum(np.floor(held), max(n - 2, 0)).astype(np.int64)
    nearest = np.rint(held).astype(np.int64)
    indices, weights = [], []
    for place, weight in _WEIGHTS[interpolation](held - base).items():
        if not weight.any():  # never all of them: weights add up to 1
            continue
        indices.append(np.where(weight == 0, nearest, np.clip(base + place, 0, n - 1)))
        weights.append(weight.astype(np.float32))
    return torch.from_numpy(np.stack(indices, -1)), torch.from_numpy(np.stack(weights, -1))


def _linear(f: FloatArray) -> Weights:
    return {0: 1 - f, 1: f}


def _cubic(f: FloatArray) -> Weights:
    return {
        -1: -0.5 * f + f**2 - 0.5 * f**3,
        0: 1 - 2.5 * f**2 + 1.5 * f**3,
        1: 0.5 * f + 2 * f**2 - 1.5 * f**3,
        2: -0.5 * f**2 + 0.5 * f**3,
    }


def _lanczos(f: FloatArray) -> Weights:
    """Weigh by a sinc under the main lobe of another one, three times as wide."""
    whole = (f == 0) | (f == 1)  # there the sine of a multiple of pi is not quite 0
    raw = {
        place: np.where(whole, f == place, np.sinc(f - place) * np.sinc((f - place) / 3))
        for place in range(-2, 4)
    }
    total = np.sum(list(raw.values()), axis=0)  # 0.99 to 1.01: a constant image would ripple
    return {place: weight / total for place, weight in raw.items()}


_WEIGHTS: dict[Interpolation, Callable[[FloatArray], Weights]] = {
    "linear": _linear,
    "cubic": _cubic,
    "lanczos": _lanczos,
}
