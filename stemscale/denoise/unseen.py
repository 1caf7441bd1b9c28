"""Give the network a value where nothing was seen."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

FloatFrame = NDArray[np.float32]


def fill_unseen(frame: NDArray[Any]) -> FloatFrame:
    """Fill unseen pixels with the nearest seen one.

    A constant (0, the mean) would put an edge into the frame that a convolution answers to far
    inside; the nearest pixel continues the frame as it ends.

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
    unseen = ~np.isfinite(values)
    if not unseen.any():
        return values
    if unseen.all():
        return np.zeros_like(values)
    nearest = distance_transform_edt(unseen, return_distances=False, return_indices=True)
    filled: FloatFrame = values[tuple(nearest)]
    return filled
