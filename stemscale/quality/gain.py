"""Bring one image onto the intensity scale of another."""

import numpy as np
import numpy.typing as npt

from stemscale.errors import SeriesError
from stemscale.quality.common_pixels import FloatImage, Image, common_pixels

PAPER_PEAK = 65535.0  # largest value of the paper's 16-bit detector [counts]


def min_max_scale(image: Image, *, peak: float = PAPER_PEAK) -> npt.NDArray[np.float64]:
    """Stretch an image so that its darkest seen pixel is 0 and its brightest ``peak``.

    Parameters
    ----------
    image : ndarray, any shape
        Intensities [counts]; NaN (not seen) stays NaN.
    peak : float
        Value of the brightest pixel afterwards [counts].

    Returns
    -------
    ndarray of float64, shape of ``image``

    Raises
    ------
    SeriesError
        If all seen pixels are equal, or none is seen.

    Notes
    -----
    Source: Ihara 2022, Method, "Definition of PSNR" (row Q1).

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.quality import min_max_scale
    >>> min_max_scale(np.array([200, 300, 400])).tolist()
    [0.0, 32767.5, 65535.0]
    """
    values = np.asarray(image, dtype=np.float64)
    seen = values[~np.isnan(values)]
    if seen.size == 0:
        raise SeriesError("image shows no pixel at all (all NaN): it cannot be min-max scaled")
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        raise SeriesError(
            f"image is constant (every pixel {low:g}): it cannot be min-max scaled; leave it out"
        )
    scaled: npt.NDArray[np.float64] = (values - low) * (peak / (high - low))
    return scaled


def match_gain(frame: Image, reference: Image) -> FloatImage:
    """Bring a frame onto the reference's scale by the gain and offset of least squares.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale.

    Returns
    -------
    ndarray of float64, shape (y, x)
        gain · frame + offset; where the frame is NaN, NaN. A constant frame comes back as the
        mean of the reference, a frame that shares no pixel with it as NaN.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.

    Notes
    -----
    Detectors answer differently at 100 ns and at 5 µs a pixel (Ihara 2022, Fig. 4b), so gain and
    offset say nothing about a filter. Least squares shrinks a noisy frame towards the mean: what
    is left is the smallest error that any gain and offset can reach.
    """
    gain, offset = gain_and_offset(frame, reference)
    matched: FloatImage = gain * np.asarray(frame, dtype=np.float64) + offset
    return matched


def gain_and_offset(frame: Image, reference: Image) -> tuple[float, float]:
    """Fit reference = gain · frame + offset by least squares.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale.

    Returns
    -------
    gain, offset : float
        0 and the mean of the reference for a constant frame; both NaN where no pixel is seen in
        both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.quality import gain_and_offset
    >>> frame = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> gain_and_offset(frame, 10 * frame - 5)
    (10.0, -5.0)
    """
    a, b = common_pixels(frame, reference)
    if a.size == 0:
        return float("nan"), float("nan")
    mean_a, mean_b = float(a.mean()), float(b.mean())
    if np.ptp(a) == 0:  # rounding would leave it a variance, and a wild gain
        return 0.0, mean_b
    deviation = a - mean_a
    gain = float(deviation @ (b - mean_b)) / float(deviation @ deviation)
    return gain, mean_b - gain * mean_a
