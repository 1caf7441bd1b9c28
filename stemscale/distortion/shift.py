"""Move an image by a fraction of a pixel and keep its spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
Float32 = NDArray[np.float32]

WHOLE_PX = 0.05
"""Closer to a whole pixel than this, an image is moved by whole pixels and not interpolated."""

_REACH = 3  # pixels on either side that Lanczos' kernel mixes


def shift_image(image: Image, shift_y: float, shift_x: float) -> tuple[Float32, slice, slice]:
    """Return what an image shows at every pixel of a grid that is shifted against it.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Any real dtype.
    shift_y, shift_x : float
        ``moved(y, x) = image(y + shift_y, x + shift_x)`` [px].

    Returns
    -------
    moved : ndarray of float32
        The part of the grid that the image covers.
    rows, columns : slice
        Where on the grid (of the image's own shape) that part lies; empty where nothing is seen.

    Notes
    -----
    Lanczos' kernel with three lobes: where linear interpolation midway between pixels keeps 50 %
    of the contrast of details of 3 px, it keeps 91 %, so that a mean over frames at all fractions
    of a pixel is hardly blurred. For the kernel alone the border pixels are repeated; no pixel of
    the result lies beyond them. Shifts within 0.05 px of a whole pixel are rounded, which is no
    more than the error to which they are known, and leaves the values as they are.
    """
    moved = np.asarray(image, dtype=np.float32)
    moved, rows = _along(moved, shift_y, axis=0)
    moved, columns = _along(moved, shift_x, axis=1)
    return moved, rows, columns


def _along(image: Float32, shift: float, *, axis: int) -> tuple[Float32, slice]:
    n = image.shape[axis]
    if abs(shift - round(shift)) <= WHOLE_PX:
        shift = float(round(shift))
    first = max(0, int(np.ceil(-shift)))
    stop = min(n, int(np.floor(n - 1 - shift)) + 1)
    if stop <= first:
        return np.take(image, [], axis=axis), slice(0, 0)
    base = int(np.floor(shift))
    if shift == base:
        return _cut(image, first + base, stop + base, axis), slice(first, stop)
    padding = [(0, 0), (0, 0)]
    padding[axis] = (_REACH, _REACH)
    padded = np.pad(image, padding, mode="edge")
    moved: Float32 | None = None
    for place, weight in zip(range(1 - _REACH, _REACH + 1), _lanczos(shift - base), strict=True):
        start = first + base + place + _REACH
        part = weight * _cut(padded, start, start + stop - first, axis)
        moved = part if moved is None else moved + part
    assert moved is not None
    return moved, slice(first, stop)


def _cut(image: Float32, start: int, stop: int, axis: int) -> Float32:
    return image[start:stop] if axis == 0 else image[:, start:stop]


def _lanczos(fraction: float) -> Float32:
    """Return the weights of the six pixels around a point, of sum 1."""
    distance = np.arange(1 - _REACH, _REACH + 1) - fraction
    weights = np.sinc(distance) * np.sinc(distance / _REACH)
    result: Float32 = (weights / weights.sum()).astype(np.float32)
    return result
