"""Fourier transforms of two images, made alike so that they can be compared wave by wave."""

import numpy as np
import numpy.typing as npt
from scipy.fft import fft2, fftfreq

from stemscale.errors import SettingsError
from stemscale.quality.background import remove_background
from stemscale.quality.common_pixels import FloatImage, Image, seen_in_both

_NM_PER_UM = 1000.0
Transform = npt.NDArray[np.complex128]


def transforms_alike(image: Image, reference: Image) -> tuple[Transform, Transform]:
    """Transform two images after the same treatment.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        Intensities, each on its own scale; what is NaN (not seen) in one is left out of both.

    Returns
    -------
    tuple of ndarray of complex128, shape (y, x)
        Of image and reference: background taken out, unseen pixels at the mean, Hann window.
        Zero frequency at (0, 0).

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    """
    seen = seen_in_both(image, reference)
    window = np.outer(*(hann(size) for size in seen.shape))
    found = []
    for one in (image, reference):
        flat = remove_background(np.where(seen, one, np.nan))
        mean = flat[seen].mean() if seen.any() else 0.0
        found.append(fft2(np.where(seen, flat - mean, 0.0) * window))
    return found[0], found[1]


def frequencies(shape: tuple[int, int]) -> tuple[FloatImage, FloatImage]:
    """Give |f_y| and |f_x| of each pixel of a transform [cycles/px].

    Parameters
    ----------
    shape : tuple of int
        (y, x)

    Returns
    -------
    tuple of ndarray of float64, shape (y, 1) and (1, x)
    """
    return np.abs(fftfreq(shape[0]))[:, None], np.abs(fftfreq(shape[1]))[None, :]


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


def waves_per_px(pixel_size_nm: float | None) -> float:
    """Give the wave number that one wave a pixel is.

    Parameters
    ----------
    pixel_size_nm : float or None
        Pixel size [nm]; None where it is not known.

    Returns
    -------
    float
        [1/µm], or 1 [1/px] without a pixel size.

    Raises
    ------
    SettingsError
        If the pixel size is not positive.
    """
    if pixel_size_nm is None:
        return 1.0
    if not pixel_size_nm > 0:
        raise SettingsError(f"pixel_size_nm is {pixel_size_nm:g}: needed is a size above 0 nm")
    return _NM_PER_UM / pixel_size_nm
