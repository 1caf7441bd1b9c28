"""The two halves of a series, and the mean of frames: noise of one is not in the other."""

import numpy as np
import numpy.typing as npt

from stemscale.quality.common_pixels import FloatImage, Image


def mean_image(frames: Image) -> FloatImage:
    """Average frames, in double precision.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)

    Returns
    -------
    ndarray of float64, shape (y, x)
        NaN where any of them is.
    """
    total = np.zeros(frames.shape[1:], dtype=np.float64)
    for frame in frames:  # one after the other: ten times as fast as numpy's mean over an axis
        total += frame
    return total / len(frames)


def independent_halves(
    count: int, halo: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Share out the frames of a series to two halves whose noise has nothing in common.

    Parameters
    ----------
    count : int
        Frames.
    halo : int
        Neighbours on either side that each frame was made of.

    Returns
    -------
    tuple of ndarray of int
        Even and odd frames; with a halo, as many from the start and from the end as leave
        2 halo + 1 steps between them. Both are empty where there are too few.

    Examples
    --------
    Filtered with one neighbour on either side, frames share none where they lie three apart:

    >>> from stemscale.quality import independent_halves
    >>> [half.tolist() for half in independent_halves(6)]
    [[0, 2, 4], [1, 3, 5]]
    >>> [half.tolist() for half in independent_halves(6, halo=1)]
    [[0, 1], [4, 5]]
    """
    numbers = np.arange(count, dtype=np.int64)
    if halo == 0:
        return numbers[: count // 2 * 2 : 2], numbers[1::2]
    half = max(0, (count - 2 * halo) // 2)
    return numbers[:half], numbers[count - half :]
