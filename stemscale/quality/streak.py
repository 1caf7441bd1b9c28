"""How strong the vertical streak is that a lag draws into the Fourier transform of a frame."""

import numpy as np
import numpy.typing as npt
from scipy.fft import ifft2

from stemscale.errors import FrameShapeError
from stemscale.quality.common_pixels import FloatImage, Image
from stemscale.quality.transforms import frequencies, hann, transforms_alike

LONGEST_PX, SHORTEST_PX = 40.0, 8.0  # waves compared: shorter than the background, well above noise
_STEEPNESS = 2.0  # of the sectors: along y, |k_y| >= 2 |k_x|, and along x the other way round


def streak(image: Image, reference: Image) -> float:
    """Measure how much waves along the scan are weaker than waves across it.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        A rapid, averaged or filtered image on the grid of the reference [counts].
    reference : ndarray, shape (y, x)
        The same scene without lag: the slow scan or the noise-free truth, on any scale.

    Returns
    -------
    float
        Power of the vertical streak above the reference's own [dB]: 0 for the reference itself,
        positive for a smear along x, negative for one along y. NaN where the image does not show
        the reference's scene, or either has no structure.

    Raises
    ------
    FrameShapeError
        If the shapes differ, or a side has fewer than 40 pixels.

    Notes
    -----
    On each ring of waves, of 40 px down to 8 px, the share of the reference that the image shows
    is g = sum Re(F G*) / sum |G|² (F the transform of the image, G of the reference, background
    removed, Hann window), once over the sector along y (|k_y| >= 2 |k_x|, where the streak
    lies), and once over that along x. streak = 20 log10(mean g along y / mean g along x), the
    means over rings. With image = reference filtered by H it is the mean gain of H along y over
    that along x, so a gain or an isotropic filter changes nothing.

    The power that image and reference share is taken instead of the image's own: noise does not
    correlate with the reference, hence neither hides the streak (white noise, which raises the
    power in all directions, would) nor adds to it (noise that went through the lag would). It
    only makes the figure scatter: by about 0.3 dB for a rapid frame of the reference simulation,
    whose streak is 2.6 dB; DCFI of 20 frames has 2.9, the slow scan 0.1 dB or less.
    Source: the streak of Ihara 2022, Fig. 4c and 6c (row Q6), in numbers.

    Examples
    --------
    A blur along the scan draws a streak, one across the scan the opposite, one in both none:

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from stemscale.quality import streak
    >>> sharp = np.random.default_rng(0).normal(size=(128, 128))
    >>> along, across, both = (gaussian_filter(sharp, sigma) for sigma in [(0, 1), (1, 0), (1, 1)])
    >>> [round(streak(image, sharp)) for image in (along, across, both)]
    [1, -1, 0]
    """
    first, second = transforms_alike(image, reference)
    if min(first.shape) < LONGEST_PX:
        raise FrameShapeError(
            f"images have shape {first.shape}: a streak needs {LONGEST_PX:g} pixels a side or more"
        )
    weights = _weights(np.abs(second) ** 2)
    if weights is None:
        return float("nan")
    common = (first * second.conj()).real
    return float(streak_of_gains(np.sum(weights * common, axis=(1, 2))))


def streak_of_gains(gains: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tell the streak from the mean gains along y and along x.

    Parameters
    ----------
    gains : ndarray, shape (2, …)

    Returns
    -------
    ndarray, shape (…)
        [dB]; NaN where either is not positive.
    """
    across, along = np.where(gains > 0, gains, np.nan)
    found: npt.NDArray[np.float64] = 20.0 * np.log10(across / along)
    return found


def streak_templates(reference: Image, seen: npt.NDArray[np.bool_]) -> FloatImage | None:
    """Give images of which the products with any image tell its streak.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
    seen : ndarray of bool, shape (y, x)
        Pixels that are seen in reference and image.

    Returns
    -------
    ndarray of float64, shape (2, y, x), or None
        For an image without its background, 0 where it is not seen: the sums over y and x of its
        products with them are the gains that `streak_of_gains` takes. None where the reference has
        no structure, or a side is too short.
    """
    if min(seen.shape) < LONGEST_PX:
        return None
    shown = np.where(seen, reference, np.nan)
    _, transform = transforms_alike(shown, shown)
    weights = _weights(np.abs(transform) ** 2)
    if weights is None:
        return None
    # sum over waves of w Re(F G*) is, by Parseval, one over pixels of f with the image of w G
    images = ifft2(weights * transform).real * seen.size
    window = np.outer(*(hann(size) for size in seen.shape))
    templates = np.where(seen, images * window, 0.0)
    # as the mean of what is seen is taken off the image before it is transformed
    mean = templates.sum(axis=(1, 2), keepdims=True) / seen.sum()
    return np.where(seen, templates - mean, 0.0)


def _weights(power: FloatImage) -> FloatImage | None:
    """Weigh Re(F G*) so that its sum is the mean gain, along y and along x: (2, y, x).

    ``power`` is that of the reference, |G|²; None where it has none in either sector.
    """
    f_y, f_x = frequencies((power.shape[0], power.shape[1]))
    frequency = np.hypot(f_y, f_x)
    band = (frequency >= 1 / LONGEST_PX) & (frequency <= 1 / SHORTEST_PX)
    ring = np.rint(frequency * min(power.shape)).astype(np.int64)
    sectors = band & np.stack([f_y >= _STEEPNESS * f_x, f_x >= _STEEPNESS * f_y])
    n = int(ring.max()) + 1
    whole = np.stack([np.bincount(ring[s], power[s], minlength=n) for s in sectors])
    both = (whole > 0).all(axis=0)
    if not both.any():
        return None
    of_ring = np.divide(1.0, whole * both.sum(), out=np.zeros_like(whole), where=both)
    weights: FloatImage = of_ring[:, ring] * sectors
    return weights
