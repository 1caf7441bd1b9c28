"""Move an image by a fraction of a pixel and keep its spectrum."""

import numpy as np

from stemscale.acquisition import Image
from stemscale.distortion.arrays import Float32

Taps = list[tuple[int, np.float32]]

WHOLE_PX = 0.05
"""Closer to a whole pixel than this, an image is moved by whole pixels and not interpolated."""

LOBES = 3
"""Of Lanczos' kernel for frames: pixels that it mixes on either side of a point."""

_ROWS = 64  # worked on at a time, so that they stay in the cache: twice as fast


def shift_image(
    image: Image, shift_y: float, shift_x: float, *, lobes: int = LOBES
) -> tuple[Float32, slice, slice]:
    """Return what an image shows at every pixel of a grid that is shifted against it.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Any real dtype.
    shift_y, shift_x : float
        ``moved(y, x) = image(y + shift_y, x + shift_x)`` [px].
    lobes : int
        Of the kernel on either side; more of them keep finer detail, and cost more.

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
    rows, base_y, taps_y = _axis(image.shape[0], shift_y, lobes)
    columns, base_x, taps_x = _axis(image.shape[1], shift_x, lobes)
    moved = np.empty((rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32)
    if not moved.size:
        return moved, rows, columns
    whole = len(taps_y) == 1 and len(taps_x) == 1
    margin = 0 if whole else lobes
    padded = image if whole else _padded(image, margin)
    top, left = rows.start + base_y + margin, columns.start + base_x + margin
    n_y, n_x = moved.shape
    low, high = taps_y[0][0], taps_y[-1][0]
    for start in range(0, n_y, _ROWS):
        stop = min(start + _ROWS, n_y)
        band = padded[top + start + low : top + stop + high]
        along_x = _mixed([(band[:, left + k : left + k + n_x], w) for k, w in taps_x])
        _mixed(
            [(along_x[k - low : k - low + stop - start], w) for k, w in taps_y],
            out=moved[start:stop],
        )
    return moved, rows, columns


def covered(shape: tuple[int, ...], shift_y: float, shift_x: float) -> tuple[slice, slice]:
    """Return where `shift_image` puts what it moves: rows and columns of the grid."""
    return _axis(shape[0], shift_y, LOBES)[0], _axis(shape[1], shift_x, LOBES)[0]


def neighbours(shift: float) -> set[int]:
    """Return the whole-pixel shifts on either side of one, or the one that it is rounded to."""
    if abs(shift - round(shift)) <= WHOLE_PX:
        return {round(shift)}
    return {int(np.floor(shift)), int(np.ceil(shift))}


def _axis(n: int, shift: float, lobes: int) -> tuple[slice, int, Taps]:
    """Return the part of the grid that is seen, the whole pixels of the shift, and the weights."""
    if abs(shift - round(shift)) <= WHOLE_PX:
        shift = float(round(shift))
    first = max(0, int(np.ceil(-shift)))
    stop = min(n, int(np.floor(n - 1 - shift)) + 1)
    base = int(np.floor(shift))
    if stop <= first:
        return slice(0, 0), base, [(0, np.float32(1))]
    if shift == base:
        return slice(first, stop), base, [(0, np.float32(1))]
    return slice(first, stop), base, _lanczos(shift - base, lobes)


def _padded(image: Image, margin: int) -> Float32:
    n_y, n_x = image.shape
    padded = np.empty((n_y + 2 * margin, n_x + 2 * margin), dtype=np.float32)
    padded[margin:-margin, margin:-margin] = image
    padded[margin:-margin, :margin] = padded[margin:-margin, margin : margin + 1]
    padded[margin:-margin, -margin:] = padded[margin:-margin, -margin - 1 : -margin]
    padded[:margin] = padded[margin]
    padded[-margin:] = padded[-margin - 1]
    return padded


def _mixed(parts: list[tuple[Image, np.float32]], out: Float32 | None = None) -> Float32:
    """Return the weighted sum of parts of one shape."""
    (first, weight), *others = parts
    if out is None:
        out = np.empty(first.shape, dtype=np.float32)
    if not others:
        out[:] = first
        return out
    np.multiply(first, weight, out=out)
    product = np.empty_like(out)
    for part, weight in others:
        np.multiply(part, weight, out=product)
        np.add(out, product, out=out)
    return out


def _lanczos(fraction: float, lobes: int) -> Taps:
    """Return place and weight of the pixels around a point; the weights' sum is 1."""
    places = np.arange(1 - lobes, lobes + 1)
    distance = places - fraction
    weights = np.sinc(distance) * np.sinc(distance / lobes)
    weights = (weights / weights.sum()).astype(np.float32)
    return list(zip(places.tolist(), weights, strict=True))
