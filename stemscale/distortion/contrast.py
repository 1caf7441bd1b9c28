"""What is left of an image once background and gain are taken off: the part two scans share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, convolve, gaussian_filter, uniform_filter

from stemscale.acquisition import Image
from stemscale.distortion.arrays import Float32
from stemscale.errors import DistortionError

SATURATED_SHARE = 0.5  # of the pixels at one and the same value


def require_contrast(image: Image, name: str) -> None:
    """Stop when an image shows nothing that could be matched.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN = not seen.
    name : str
        Named in the error.

    Raises
    ------
    DistortionError
        If the image is not (y, x), is smaller than 32 x 32, holds infinity, is constant, or has
        more than half of its pixels at one extreme value (saturated or cut off).
    """
    if image.ndim != 2 or min(image.shape) < 32:
        raise DistortionError(
            f"{name} has shape {image.shape}, needed is (y, x) of at least 32 x 32 pixels"
        )
    values = image[~np.isnan(image)] if image.dtype.kind == "f" else image.ravel()
    if not values.size or not np.isfinite(values).all():
        raise DistortionError(f"{name} holds infinite values or was not seen at all (only NaN)")
    low, high = values.min(), values.max()
    if low == high:
        raise DistortionError(
            f"{name} is constant ({low:g}): nothing can be matched; use a FOV with dislocations "
            "in all directions"
        )
    for extreme, word in ((high, "saturated"), (low, "cut off")):
        _require_few_at(values, float(extreme), f"{name} is {word}")


def require_unsaturated(frame: Image, name: str) -> None:
    """Stop when most of a raw frame is at its largest value: an average does not show it.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        As recorded. Most of it may be 0, as where electrons are counted.
    name : str
        Named in the error.

    Raises
    ------
    DistortionError
        If more than half of the pixels have the largest value, and others do not.

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.distortion import require_unsaturated
    >>> frame = np.array([[65535, 65535, 65535, 1200]])
    >>> require_unsaturated(frame, "frame 0")
    Traceback (most recent call last):
    stemscale.errors.DistortionError: frame 0 is saturated: 75% of its pixels are 65535; ...
    """
    values = frame[np.isfinite(frame)]
    if values.size and values.min() < values.max():
        _require_few_at(values, float(values.max()), f"{name} is saturated")


def _require_few_at(values: NDArray[Any], extreme: float, what: str) -> None:
    share = float(np.mean(values == extreme))
    if share > SATURATED_SHARE:
        raise DistortionError(
            f"{what}: {share:.0%} of its pixels are {extreme:g}; "
            "record it again with another brightness, or use another FOV"
        )


class HighPass:
    """Takes off what varies slowly over the pixels that count.

    First a polynomial of degree 5 along both axes: next to a border, where a window is one-sided,
    a mean alone would let the slope of the background through. Then the mean over a
    triangle-weighted window (two box means in a row cost the same at any width, and this runs at
    every step of a fit). What an image shows beyond the pixels that count does not leak in.

    Parameters
    ----------
    counted : ndarray of bool, shape (y, x)
    width_px : int
        Width of each box [px]; the window's standard deviation is 0.41 times that.
    """

    def __init__(self, counted: NDArray[np.bool_], width_px: int) -> None:
        self._counted = counted.astype(np.float32)
        self._width_px = width_px
        self._weight = np.maximum(self._box(self._counted), np.float32(1e-3))
        self._along_y = _polynomials(np.asarray(counted.any(axis=1)))
        self._along_x = _polynomials(np.asarray(counted.any(axis=0)))

    def __call__(self, image: Float32) -> Float32:
        """Return the high-passed image (y, x), 0 where nothing counts; without NaN."""
        shares = self._along_y.T @ (image * self._counted) @ self._along_x
        smooth = self._along_y @ shares @ self._along_x.T
        level = np.asarray(self._counted * (image - smooth), dtype=np.float32)
        around = self._counted * (self._box(level) / self._weight)
        return np.asarray(level - around, dtype=np.float32)

    def _box(self, image: Float32) -> Float32:
        once = uniform_filter(image, self._width_px, mode="constant")
        twice: Float32 = uniform_filter(once, self._width_px, mode="constant")
        return twice


def _polynomials(used: NDArray[np.bool_], degree: int = 5) -> Float32:
    """Return orthonormal polynomials over the places used, 0 elsewhere, shape (n, degree + 1)."""
    at = np.linspace(-1, 1, used.size)
    table = np.where(used[:, None], np.polynomial.legendre.legvander(at, degree), 0.0)
    return np.linalg.qr(table)[0].astype(np.float32)


def standardise(image: Image, smooth_px: float) -> tuple[Float32, NDArray[np.bool_]]:
    """Return the image smoothed a little, scaled to unit spread, with NaN replaced by its mean.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN = not seen.
    smooth_px : float
        Standard deviation of the Gaussian [px]; 0 leaves the image as it is.

    Returns
    -------
    image : ndarray of float32, shape (y, x)
    seen : ndarray of bool, shape (y, x)
    """
    values = np.asarray(image, dtype=np.float64)
    seen = ~np.isnan(values)
    centre, spread = values[seen].mean(), values[seen].std()
    filled = (np.where(seen, values - centre, 0.0) / spread).astype(np.float32)
    if smooth_px > 0:
        filled = gaussian_filter(filled, smooth_px, mode="nearest")
    return filled, seen


def local_spread(high_passed: Float32, width_px: int) -> Float32:
    """Return the local standard deviation of a high-passed image, never below a floor.

    The floor (half of the image's root mean square) keeps stretches without contrast from being
    blown up into noise.

    Parameters
    ----------
    high_passed : ndarray of float32, shape (y, x)
    width_px : int
        Width of the window [px].

    Returns
    -------
    ndarray of float32, shape (y, x)
    """
    power = uniform_filter(high_passed**2, width_px, mode="nearest")
    floor = 0.25 * float(np.mean(high_passed**2))
    result: Float32 = np.sqrt(np.maximum(power, 0) + np.float32(floor))
    return result


def structure_to_noise(image: Image) -> float:
    """Return how far an image's structure stands above its noise.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities, with white noise.

    Returns
    -------
    float
        Variance of the high-passed image after smoothing by 1 px, over what the noise alone would
        leave of its own: about 1 for an empty image.
    """
    filled, seen = standardise(image, 0.0)
    noise = white_noise(filled, seen)
    left = HighPass(seen, 39)(gaussian_filter(filled, 1.0, mode="nearest"))
    return float(np.var(left[seen])) / max(noise / (4 * np.pi), 1e-12)


def white_noise(image: Float32, seen: NDArray[np.bool_]) -> float:
    """Return the variance of an image's white noise.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
    seen : ndarray of bool, shape (y, x)
        Pixels that count.

    Returns
    -------
    float
        [counts²]; 0 where no 3 x 3 pixels are seen.

    Notes
    -----
    From second differences along both axes, which slopes and lines hardly show; their median
    passes by the few places where structure ends. Source: Immerkaer, Computer Vision and Image
    Understanding 64, 300 (1996).
    """
    around = binary_erosion(seen, np.ones((3, 3)))
    left = convolve(image, np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32))[around]
    if not left.size:
        return 0.0
    return (float(np.median(np.abs(left))) / 0.6745 / 6) ** 2  # 0.6745: of a Gaussian
