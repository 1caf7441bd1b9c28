"""Where a line profile tells most, and where its dips are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from stemscale.quality import find_dips
from stemscale.reports.shots import FloatImage

FloatArray = npt.NDArray[np.float64]

_PROFILE_ROWS = 5
_SMOOTH_PX = 1.5  # against noise
_MOST_DIPS = 8
_WIDEST = 0.04  # of the profile


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dips:
    """Dips of a line profile, or its peaks where lines are bright, from left to right.

    Attributes
    ----------
    columns : ndarray of int
        Where they are deepest [px].
    left, right : ndarray of float
        Where they are half as deep [px].
    """

    columns: npt.NDArray[np.int64]
    left: FloatArray
    right: FloatArray


def telling_rows(flat: FloatImage, *, seen: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Choose the rows of a line profile: where most changes along the scan line.

    Parameters
    ----------
    flat : ndarray, shape (y, x)
        The sharpest image, background removed.
    seen : ndarray of bool, shape (y, x)
        Where all images of the profile show something.

    Returns
    -------
    tuple of int
        First row, and the one after the last: five rows, fewer of a smaller image.
    """
    n_y = flat.shape[0]
    rows = min(_PROFILE_ROWS, n_y)
    usable = np.where(seen & np.isfinite(flat), flat, 0.0)
    # the same line in all rows of the profile: a slanted one would be blurred by their mean
    mean = uniform_filter1d(usable, rows, axis=0, mode="constant")
    first = rows // 2
    inside = slice(first, first + n_y - rows + 1)
    # ups and downs: a square would let one deep line win over many
    change = np.abs(np.diff(gaussian_filter1d(mean, _SMOOTH_PX, axis=1), axis=1)).sum(axis=1)
    top = int(np.argmax(change[inside]))
    return top, top + rows


def dips(profile: FloatArray, *, dark_lines: bool) -> Dips:
    """Find the strongest dips of a profile, or peaks where lines are bright.

    Parameters
    ----------
    profile : ndarray, shape (x,)
        NaN = not seen.
    dark_lines : bool
        Whether lines are dips.

    Returns
    -------
    Dips
        At most eight.
    """
    found = find_dips(profile, bright=not dark_lines, most=_MOST_DIPS)
    places = np.array([d.position_px for d in found], dtype=np.float64)
    widest = _WIDEST * profile.size / 2  # a dip on a slope has no end
    return Dips(
        columns=np.rint(places).astype(np.int64),
        left=np.maximum(np.array([d.left_px for d in found]), places - widest),
        right=np.minimum(np.array([d.right_px for d in found]), places + widest),
    )


def has_dark_lines(flat: FloatImage) -> bool:
    """Tell whether structure is darker than its surroundings, as in bright field.

    Parameters
    ----------
    flat : ndarray, shape (y, x)
        Background removed; NaN = not seen.

    Returns
    -------
    bool
    """
    return bool(np.nanmean(flat**3) < 0)
