"""Split the smooth background off an image."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.common_pixels import FloatImage, Image

# Waves of 5.3 sigma keep half of their amplitude: with 20 px, dislocations (4-20 px wide) and the
# lag behind them (tails up to some 10 px) pass whole, and what varies over more than a fifth of
# a 512 px line, the scale on which rapid and slow backgrounds were seen to differ, goes.
DEFAULT_SIGMA_PX = 20.0
_LARGEST_PRODUCT_PX = 1024  # beyond, a filter along each line is quicker than products of matrices


def low_pass(image: FloatImage, sigma_px: float) -> FloatImage:
    """Smooth an image by a Gaussian; beyond its border it counts as 0.

    Parameters
    ----------
    image : ndarray of float64, shape (y, x)
    sigma_px : float
        Standard deviation of the Gaussian [px].

    Returns
    -------
    ndarray of float64, shape (y, x)
        scipy's `gaussian_filter` with ``mode="constant"``, at a quarter of its time for images of
        512 x 512 px. It is its own transpose: sum of a · low_pass(b) = sum of low_pass(a) · b.
    """
    if max(image.shape) > _LARGEST_PRODUCT_PX:
        filtered: FloatImage = gaussian_filter(image, sigma_px, mode="constant")
        return filtered
    along_y, along_x = (_low_pass_of_lines(size, sigma_px) for size in image.shape)
    smooth: FloatImage = along_y @ image @ along_x
    return smooth


@lru_cache(maxsize=8)
def _low_pass_of_lines(size: int, sigma_px: float) -> npt.NDArray[np.float64]:
    matrix: npt.NDArray[np.float64] = gaussian_filter1d(
        np.eye(size), sigma_px, axis=0, mode="constant"
    )
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=4)  # images of a series mostly show the same pixels
def _weight(shape: tuple[int, int], seen: bytes, sigma_px: float) -> FloatImage:
    """Low-pass of the mask of what is seen, which is given as packed bits."""
    bits = np.unpackbits(np.frombuffer(seen, dtype=np.uint8), count=shape[0] * shape[1])
    weight = low_pass(bits.reshape(shape).astype(np.float64), sigma_px)
    weight.flags.writeable = False
    return weight


def background_removed_from(images: FloatImage, seen: npt.NDArray[np.bool_]) -> FloatImage:
    """Move the removal of the background from an image to those that it is multiplied with.

    Parameters
    ----------
    images : ndarray of float64, shape (n, y, x)
        0 where nothing is seen.
    seen : ndarray of bool, shape (y, x)

    Returns
    -------
    ndarray of float64, shape (n, y, x)
        Templates T such that sum of T · f = sum of images · remove_background(f), for every f that
        is seen there: the transpose of that operator.
    """
    weight = _weight(seen.shape, np.packbits(seen).tobytes(), DEFAULT_SIGMA_PX)
    weight = np.where(seen, weight, 1.0)
    found = [g - low_pass(g / weight, DEFAULT_SIGMA_PX) for g in images]
    return np.where(seen, np.stack(found), 0.0)


def remove_background(image: Image, *, sigma_px: float = DEFAULT_SIGMA_PX) -> FloatImage:
    """Subtract an image's own Gaussian low-pass.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN = not seen.
    sigma_px : float
        Standard deviation of the Gaussian [px].

    Returns
    -------
    ndarray of float64, shape (y, x)
        NaN where the image is NaN.

    Raises
    ------
    FrameShapeError
        If the image is not (y, x).
    SettingsError
        If ``sigma_px`` is not positive.

    Notes
    -----
    The low-pass is normalised by the weight of the seen pixels under it, so neither the border of
    the frame nor a part that was not seen pulls it towards 0.

    Examples
    --------
    Of a bright level the background takes all, of a single pixel next to nothing:

    >>> import numpy as np
    >>> from stemscale.quality import remove_background
    >>> image = np.full((64, 64), 1000.0)
    >>> image[32, 32] += 50.0
    >>> flat = remove_background(image)
    >>> round(float(flat[32, 32])), bool(abs(flat[0, 0]) < 0.1)
    (50, True)
    """
    if image.ndim != 2:
        raise FrameShapeError(f"image has shape {image.shape}, needed is (y, x)")
    if not sigma_px > 0:
        raise SettingsError(f"sigma_px is {sigma_px:g}: needed is a width above 0 px")
    values = np.asarray(image, dtype=np.float64)
    seen = ~np.isnan(values)
    if not seen.any():
        return np.full(values.shape, np.nan)
    # a large constant would cost digits in the two sums below
    centre = float(values[seen].mean())
    filled = np.where(seen, values - centre, 0.0)
    weight = _weight(seen.shape, np.packbits(seen).tobytes(), sigma_px)
    smooth = low_pass(filled, sigma_px)
    result = np.full(values.shape, np.nan)
    result[seen] = filled[seen] - smooth[seen] / weight[seen]
    return result
