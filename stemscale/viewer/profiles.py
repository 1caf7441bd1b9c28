"""Intensity along a line through an image."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from stemscale.viewer.series import Grid

FloatArray = npt.NDArray[np.float64]
_MOST_POINTS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line on the page's common axes, from where it was begun to where it was let go."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def length(self) -> float:
        """In the units of the axes."""
        return float(np.hypot(self.x1 - self.x0, self.y1 - self.y0))


def profile(
    image: npt.NDArray[np.float32], grid: Grid, line: Line, *, width_px: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Read an image along a line.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen.
    grid : Grid
        Where its pixels lie; the edge of the first one is at 0.
    line : Line
        On the same axes.
    width_px : int
        Pixels across the line that are averaged.

    Returns
    -------
    distance : ndarray, shape (n,)
        From the beginning of the line, about a pixel apart, in the units of the axes.
    intensity : ndarray, shape (n,)
        Interpolated linearly; NaN outside the image and beside what was not seen.
    """
    count = int(np.clip(np.ceil(line.length / grid.pixel) + 1, 2, _MOST_POINTS))
    along = np.linspace(0, 1, count)
    x = (line.x0 + along * (line.x1 - line.x0)) / grid.pixel - 0.5
    y = (line.y0 + along * (line.y1 - line.y0)) / grid.pixel - 0.5
    length = line.length or 1.0
    across_x, across_y = -(line.y1 - line.y0) / length, (line.x1 - line.x0) / length
    offsets = np.arange(width_px)[:, None] - (width_px - 1) / 2
    places = [y + offsets * across_y, x + offsets * across_x]
    read = map_coordinates(image, places, order=1, mode="constant", cval=np.nan, output=np.float64)
    seen = np.isfinite(read)
    total = np.where(seen, read, 0).sum(axis=0)
    mean = np.divide(total, seen.sum(axis=0), out=np.full(count, np.nan), where=seen.any(axis=0))
    return along * line.length, mean
