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
