"""Sum aligned images on one grid, and know how often each pixel was seen."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from stemscale.acquisition import Image
from stemscale.distortion.shift import covered, neighbours, shift_image

Shift = tuple[float, float]

_WIDE = 8  # lobes of the kernel for what has been interpolated before


class Accumulator:
    """A weighted sum of images on one grid, with the weight that each pixel has got.

    Parameters
    ----------
    shape : tuple of int
        (y, x) of the images and of the grid.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape, dtype=np.float64)
        self._weight = np.zeros(shape, dtype=np.float64)

    def add(self, image: Image, shift: Shift, weight: float = 1.0) -> None:
        """Add an image whose scene lies at ``shift`` (dy, dx) [px]."""
        moved, rows, columns = shift_image(image, *shift)
        if weight != 1.0:
            moved *= np.float32(weight)
        self._sum[rows, columns] += moved
        self._weight[rows, columns] += weight

    def add_mean(self, mean: Image, weights: Image, shift: Shift) -> None:
        """Add a mean of images, each of its pixels with a weight of its own.

        Parameters
        ----------
        mean : ndarray, shape (y, x)
            NaN where nothing was seen.
        weights : ndarray, shape (y, x)
            0 where nothing was seen.
        shift : tuple of float
            Where its scene lies (dy, dx) [px].
        """
        moved, weight, rows, columns = move_mean(mean, weights, shift)
        self._sum[rows, columns] += np.where(weight > 0, moved, 0.0) * weight
        self._weight[rows, columns] += weight

    def mean(self) -> NDArray[np.float32]:
        """Return the mean, NaN where no image saw the place."""
        mean = np.full(self._sum.shape, np.nan, dtype=np.float32)
        seen = self._weight > 0
        np.divide(self._sum, self._weight, out=mean, where=seen, casting="same_kind")
        return mean


def weight_map(
    shape: tuple[int, ...], shifts: Iterable[Shift], weights: Iterable[float]
) -> NDArray[np.float32]:
    """Return the weight that each pixel gets from frames at those shifts."""
    found = np.zeros(shape, dtype=np.float32)
    for shift, weight in zip(shifts, weights, strict=True):
        rows, columns = covered(shape, *shift)
        found[rows, columns] += np.float32(weight)
    return found


def move_mean(
    mean: Image, weights: Image, shift: Shift
) -> tuple[NDArray[np.float32], NDArray[np.float32], slice, slice]:
    """Move a mean and its weights, by a kernel so wide that a second interpolation costs nothing.

    A pixel between a seen and an unseen one counts as unseen.
    """
    unseen = np.isnan(mean)
    if unseen.any():  # the nearest pixel that was seen, lest the kernel ring at a step
        nearest = distance_transform_edt(unseen, return_distances=False, return_indices=True)
        mean = mean[tuple(nearest)]
    moved, rows, columns = shift_image(mean, *shift, lobes=_WIDE)
    weight = np.full(moved.shape, np.inf, dtype=np.float32)
    for step_y in neighbours(shift[0]):
        for step_x in neighbours(shift[1]):
            ys = slice(rows.start + step_y, rows.stop + step_y)
            xs = slice(columns.start + step_x, columns.stop + step_x)
            np.minimum(weight, weights[ys, xs], out=weight)
    return moved, weight, rows, columns
