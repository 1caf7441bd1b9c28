"""Slow and rapid scans of one view on different numbers of pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from stemscale.acquisition import Image
from stemscale.distortion.arrays import FloatArray


def onto_pixel_count(image: Image, shape: tuple[int, ...]) -> Image:
    """Resample an image of the same view onto another number of pixels.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen, spreads to its neighbours.
    shape : tuple of int
        (n_y, n_x) wanted.

    Returns
    -------
    ndarray, shape ``shape``
        The image itself where nothing changes; else float64, low-passed against aliasing.
    """
    if image.shape == shape:
        return image
    ratios = [have / want for have, want in zip(image.shape, shape, strict=True)]
    # what half a pixel of the coarser grid hides, less what one of the finer grid hides already
    sigma = [0.5 * float(np.sqrt(max(ratio**2 - 1, 0.0))) for ratio in ratios]
    values = gaussian_filter(np.asarray(image, dtype=np.float64), sigma, mode="nearest")
    at = [
        on_other_count(np.arange(want), want, have)
        for have, want in zip(image.shape, shape, strict=True)
    ]
    resampled: Image = map_coordinates(
        values, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest"
    )
    return resampled


def on_other_count(at: NDArray[Any], count: int, other: int) -> FloatArray:
    """Return where positions on ``count`` pixels lie on ``other`` pixels of the same view.

    Pixel centres are at integers, so borders are at -0.5 and n - 0.5 on both grids.
    """
    return (np.asarray(at, dtype=np.float64) + 0.5) * (other / count) - 0.5
