"""Which pixels two images have in common: the start of every comparison."""

from typing import Any

import numpy as np
import numpy.typing as npt

from stemscale.errors import FrameShapeError

Image = npt.NDArray[Any]  # (y, x), any real dtype; NaN = not seen
FloatImage = npt.NDArray[np.float64]


def require_same_shape(frame: Image, reference: Image) -> None:
    """Stop unless both are images of one shape.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)

    Raises
    ------
    FrameShapeError
        If the shapes differ or are not (y, x).
    """
    if frame.shape != reference.shape:
        raise FrameShapeError(
            f"frame has shape {frame.shape} but its reference has {reference.shape}: "
            "bring both onto one grid first (calibrate, or crop with match_views())"
        )
    if frame.ndim != 2:
        raise FrameShapeError(
            f"images have shape {frame.shape}, needed is (y, x): score a series frame by frame"
        )


def seen_in_both(frame: Image, reference: Image) -> npt.NDArray[np.bool_]:
    """Mark the pixels that are seen (not NaN) in both images.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)

    Returns
    -------
    ndarray of bool, shape (y, x)

    Raises
    ------
    FrameShapeError
        If the shapes differ or are not (y, x).
    """
    require_same_shape(frame, reference)
    seen: npt.NDArray[np.bool_] = ~(np.isnan(frame) | np.isnan(reference))
    return seen


def common_pixels(
    frame: Image, reference: Image
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the intensities of the pixels seen in both images, as float64.

    Integers become floats before anything is subtracted: uint16 would wrap round.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)

    Returns
    -------
    tuple of ndarray, shape (n,)
        Values of frame and reference, pixel by pixel; empty where nothing is common.

    Raises
    ------
    FrameShapeError
        If the shapes differ or are not (y, x).
    """
    seen = seen_in_both(frame, reference)
    if seen.all():
        return (
            np.ravel(frame).astype(np.float64),
            np.ravel(reference).astype(np.float64),
        )
    return frame[seen].astype(np.float64), reference[seen].astype(np.float64)


def hann(size: int) -> npt.NDArray[np.float64]:
    """Give the Hann window of a line, as if it went on periodically.

    Parameters
    ----------
    size : int
        Pixels of the line.

    Returns
    -------
    ndarray of float64, shape (size,)
        That of scipy, without all of scipy.signal, whose import takes half a second.
    """
    return np.hanning(size + 1)[:-1] if size > 1 else np.ones(size)


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
