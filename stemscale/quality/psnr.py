"""Peak signal-to-noise ratio, bare and as in the paper."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stemscale.errors import SeriesError, SettingsError
from stemscale.quality.background import remove_background
from stemscale.quality.common_pixels import Image, common_pixels, seen_in_both
from stemscale.quality.decibels import decibels
from stemscale.quality.gain import PAPER_PEAK, match_gain, min_max_scale

PAPER_BANDS = (0.0, 20000.0, 40000.0, 65535.0)  # row Q3 [counts after min-max scaling]


def psnr(frame: Image, reference: Image, *, peak: float) -> float:
    """Score how close a frame comes to its slow-scan reference.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities on one common scale, 0 to ``peak`` [counts]; NaN (not seen) in either image
        leaves that pixel out.
    peak : float
        Largest value a pixel can take [counts]; 65535 for a 16-bit detector.

    Returns
    -------
    float
        10 log10(peak² / MSE) [dB]; ``inf`` when the images are equal, NaN when no pixel is seen
        in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SettingsError
        If ``peak`` is not positive.

    Notes
    -----
    Source: Ihara 2022, Method, "Definition of PSNR"; row Q1 scales both images first:
    :func:`psnr_paper`.

    Examples
    --------
    An error of a tenth of the peak at every pixel; half of it is 6 dB better:

    >>> import numpy as np
    >>> from stemscale.quality import psnr
    >>> reference = np.full((8, 8), 0.5)
    >>> round(psnr(reference + 0.1, reference, peak=1.0), 2)
    20.0
    >>> round(psnr(reference + 0.05, reference, peak=1.0), 2)
    26.02
    """
    return _psnr_of_pixels(*common_pixels(frame, reference), peak=peak)


def psnr_paper(frame: Image, reference: Image) -> float:
    """Score a frame as the paper does: both images min-max scaled to 0 … 65535 before.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale [counts].

    Returns
    -------
    float
        PSNR [dB]; NaN when no pixel is seen in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SeriesError
        If either image is constant over the pixels seen in both.

    Notes
    -----
    Source: Ihara 2022, Method, "Definition of PSNR" (row Q1). Minimum and maximum are those of
    the pixels seen in both images, as both are cut to one view (rows C1, C2). A single hot pixel
    moves the scale of the whole image: never judge by this score alone.

    Examples
    --------
    Gain and offset do not count, but a single hot pixel makes all others half as bright:

    >>> import numpy as np
    >>> from stemscale.quality import psnr_paper
    >>> reference = np.tile([0.0, 1.0], (4, 2))
    >>> psnr_paper(2 * reference + 100, reference)
    inf
    >>> frame = reference.copy()
    >>> frame[0, 1] = 2.0
    >>> round(psnr_paper(frame, reference), 2)  # 7 of 16 pixels are wrong by a half
    9.61
    """
    a, b = common_pixels(frame, reference)
    if a.size == 0:
        return float("nan")
    return _psnr_of_pixels(min_max_scale(a), min_max_scale(b), peak=PAPER_PEAK)


def psnr_by_band(
    frame: Image, reference: Image, *, edges: Sequence[float] = PAPER_BANDS
) -> tuple[float, ...]:
    """Score a frame as :func:`psnr_paper`, apart for dark, middle and bright pixels.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale [counts].
    edges : sequence of float, length n + 1
        Ascending limits of the bands on the REFERENCE after min-max scaling [counts]; a band
        holds its lower limit, the last one its upper limit too.

    Returns
    -------
    tuple of float, length n
        PSNR of each band [dB]; NaN where the reference has no pixel in the band.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SeriesError
        If either image is constant over the pixels seen in both.
    SettingsError
        If the edges do not ascend.

    Notes
    -----
    Source: Ihara 2022, Results (row Q3).

    Examples
    --------
    The middle band alone is wrong, by a tenth of the range:

    >>> import numpy as np
    >>> from stemscale.quality import psnr_by_band
    >>> reference = np.array([[0.0, 30000.0, 65535.0]])
    >>> frame = np.array([[0.0, 36553.5, 65535.0]])
    >>> [round(score, 2) for score in psnr_by_band(frame, reference)]
    [inf, 20.0, inf]
    """
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or limits.size < 2 or not np.all(np.diff(limits) > 0):
        raise SettingsError(f"band edges are {tuple(edges)}: needed are two or more that ascend")
    a, b = common_pixels(frame, reference)
    if a.size == 0:
        return (float("nan"),) * (limits.size - 1)
    a, b = min_max_scale(a), min_max_scale(b)
    inner = limits.copy()
    inner[-1] = np.nextafter(limits[-1], np.inf)  # the brightest pixel belongs to the last band
    band = np.digitize(b, inner) - 1
    return tuple(
        _psnr_of_pixels(a[band == i], b[band == i], peak=PAPER_PEAK) for i in range(limits.size - 1)
    )


def psnr_matched(frame: Image, reference: Image) -> float:
    """Score a frame after its gain and offset are matched to the reference.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale.

    Returns
    -------
    float
        PSNR [dB] with the range (max - min) of the reference as peak; NaN when no pixel is seen
        in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SeriesError
        If the reference is constant over the pixels seen in both.

    Notes
    -----
    Unlike :func:`psnr_paper` it does not hang on the darkest and the brightest pixel of a noisy
    frame, so it is the fairer score where a noise-free truth is at hand.

    Examples
    --------
    An error of a tenth of the range costs 20 dB, whatever gain and offset; least squares finds a
    little more, as it makes the noise smaller together with the frame:

    >>> import numpy as np
    >>> from stemscale.quality import psnr_matched
    >>> reference = np.array([[0.0, 0.0, 1.0, 1.0]])
    >>> frame = reference + np.array([[0.1, -0.1, 0.1, -0.1]])
    >>> round(psnr_matched(frame, reference), 2)
    20.17
    >>> round(psnr_matched(30 * frame + 7, reference), 2)
    20.17
    """
    a, b = common_pixels(match_gain(frame, reference), reference)
    if a.size == 0:
        return float("nan")
    peak = float(b.max() - b.min())
    if peak == 0:
        raise SeriesError(
            f"reference is constant (every pixel {b[0]:g}): it has no range to score against"
        )
    return _psnr_of_pixels(a, b, peak=peak)


def psnr_without_background(frame: Image, reference: Image) -> float:
    """Score a frame after the smooth background is taken out of both images.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale.

    Returns
    -------
    float
        PSNR [dB] after a gain match; peak = range of the background-free reference; NaN when no
        pixel is seen in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SeriesError
        If the reference is constant over the pixels seen in both.

    Notes
    -----
    The background of rapid and slow scans differs for reasons of the detector (Ihara 2022,
    discussion of Fig. 4b) and hides in :func:`psnr_paper` what a filter does to the structure.

    Examples
    --------
    A background that rises along x hides what the frame shows, until it is removed:

    >>> import numpy as np
    >>> from stemscale.quality import psnr_matched, psnr_without_background
    >>> x = np.arange(128)
    >>> reference = np.tile(np.cos(2 * np.pi * x / 8), (128, 1))
    >>> frame = reference + x / 50
    >>> psnr_matched(frame, reference) < 12 < 24 < psnr_without_background(frame, reference)
    True
    """
    seen = seen_in_both(frame, reference)
    # both backgrounds are estimated from the same pixels, else they differ at the edge of the view
    a = remove_background(np.where(seen, frame, np.nan))
    b = remove_background(np.where(seen, reference, np.nan))
    return psnr_matched(a, b)


def _psnr_of_pixels(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], *, peak: float
) -> float:
    if not peak > 0:
        raise SettingsError(f"peak is {peak:g}: needed is the largest possible intensity, above 0")
    if a.size == 0:
        return float("nan")
    error = a - b
    mse = float(error @ error) / error.size
    return float(decibels(mse, peak))
