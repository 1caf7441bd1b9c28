"""Give the network a value where nothing was seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

FloatFrame = NDArray[np.float32]

_FAR = 2**40  # px; farther than any seen pixel


def fill_unseen(frame: NDArray[Any]) -> FloatFrame:
    """Fill unseen pixels with the nearest seen one of their row; of the nearest row where none is.

    A constant (0, the mean) would put an edge into the frame that a convolution answers to far
    inside; the nearest pixel continues the frame as it ends. Along the row first, as frames miss
    what the scan had not reached or had left: the distance in the plane takes ten times as long.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        Intensities; NaN = not seen.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Every pixel finite; all 0 when nothing was seen at all.
    """
    values = np.asarray(frame, dtype=np.float32)
    seen = np.isfinite(values)
    if seen.all():
        return values
    rows = np.asarray(seen.any(axis=1))
    if not rows.any():
        return np.zeros_like(values)
    nearest_row = _nearest(rows[None], np.arange(rows.size))[0]
    filled: FloatFrame = values[nearest_row]
    seen = seen[nearest_row]
    missing = ~seen.all(axis=0)
    # a pixel's nearest one is no farther than the next column that was seen from top to bottom
    columns = np.flatnonzero(binary_dilation(missing, iterations=1))
    filled[:, columns] = np.take_along_axis(filled, _nearest(seen[:, columns], columns), axis=1)
    return filled


def _nearest(seen: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give the place of the nearest seen pixel of each row, (y, place); the first of two."""
    before = np.maximum.accumulate(np.where(seen, places, -_FAR), axis=1)
    after = np.minimum.accumulate(np.where(seen, places, 2 * _FAR)[:, ::-1], axis=1)[:, ::-1]
    return np.where(places - before <= after - places, before, after)
