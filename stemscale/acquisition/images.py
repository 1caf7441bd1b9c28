"""What may be the pixels of a frame or a slow scan."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SeriesError

_PIXEL_TYPES = (np.integer, np.floating)

Image = NDArray[Any]
"""One image, shape (y, x); x is the fast axis."""

Frames = NDArray[Any]
"""A series of frames, shape (frame, y, x)."""


def check_dtype(dtype: np.dtype[Any], *, source: str) -> None:
    """Refuse pixels that are not plain intensities.

    Parameters
    ----------
    dtype : dtype
        Of one pixel.
    source : str
        Named in the error.

    Raises
    ------
    SeriesError
        If a pixel is not an integer or a real number of at most 64 bit.
    """
    if not issubclass(dtype.type, _PIXEL_TYPES) or dtype.itemsize > 8:
        raise SeriesError(
            f"{source} has pixels of type {dtype}, but an intensity is an integer or a real "
            f"number: pick another signal of the file with --detector, or export it as such"
        )


def check_pixels(frames: Frames, *, source: str, first_frame: int = 0) -> None:
    """Refuse pixels that are no intensity (NaN, infinity).

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Any real dtype.
    source : str
        Named in the error.
    first_frame : int
        Number of the first of these frames in its series.

    Raises
    ------
    SeriesError
        If any pixel is NaN or infinite; names the first frame that has one.

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.acquisition import check_pixels
    >>> frames = np.zeros((4, 8, 8), dtype=np.float32)
    >>> frames[2, 0, :3] = np.nan
    >>> check_pixels(frames, source="run.h5", first_frame=100)
    Traceback (most recent call last):
    stemscale.errors.SeriesError: run.h5: frame 102 has 3 pixels that are NaN or infinite; ...
    """
    if frames.dtype.kind != "f":
        return
    bad = ~np.isfinite(frames).all(axis=(1, 2))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        count = int((~np.isfinite(frames[at])).sum())
        raise SeriesError(
            f"{source}: frame {first_frame + at} has {count} pixels that are NaN or infinite; "
            f"replace them in the file (or leave the frame out) and ingest it again"
        )
