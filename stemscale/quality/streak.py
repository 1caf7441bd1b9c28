"""How strong the vertical streak is that a lag draws into the Fourier transform of a frame."""

import numpy as np
import numpy.typing as npt

from stemscale.errors import FrameShapeError
from stemscale.quality.background import DEFAULT_SIGMA_PX
from stemscale.quality.common import FloatImage, Image
from stemscale.quality.transforms import frequencies, transforms_alike

LONGEST_PX, SHORTEST_PX = 40.0, 8.0  # waves compared: shorter than the background, well above noise
_STEEPNESS = 2.0  # of the sectors: along y, |k_y| >= 2 |k_x|, and along x the other way round


def streak(image: Image, reference: Image, *, sigma_px: float = DEFAULT_SIGMA_PX) -> float:
    """Measure how much waves along the scan are weaker than waves across it.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        A rapid, averaged or filtered image on the grid of the reference [counts].
    reference : ndarray, shape (y, x)
        The same scene without lag: the slow scan or the noise-free truth, on any scale.
    sigma_px : float
        Width of the smooth background taken out of both images before [px].

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
    """
    first, second = transforms_alike(image, reference, sigma_px=sigma_px)
    if min(first.shape) < LONGEST_PX:
        raise FrameShapeError(
            f"images have shape {first.shape}: a streak needs {LONGEST_PX:g} pixels a side or more"
        )
    f_y, f_x = frequencies(first.shape)
    frequency = np.hypot(f_y, f_x)
    band = (frequency >= 1 / LONGEST_PX) & (frequency <= 1 / SHORTEST_PX)
    ring = np.rint(frequency * min(first.shape)).astype(np.int64)
    common, power = (first * second.conj()).real, np.abs(second) ** 2
    along_y = _shares(common, power, ring, band & (f_y >= _STEEPNESS * f_x))
    along_x = _shares(common, power, ring, band & (f_x >= _STEEPNESS * f_y))
    both = np.isfinite(along_y) & np.isfinite(along_x)
    if not both.any():
        return float("nan")
    across, along = float(along_y[both].mean()), float(along_x[both].mean())
    if not (across > 0 and along > 0):
        return float("nan")
    return 20.0 * float(np.log10(across / along))


def _shares(
    common: FloatImage,
    power: FloatImage,
    ring: npt.NDArray[np.int64],
    sector: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Share g of the reference that the image shows, for each ring; NaN where it shows none."""
    n = int(ring.max()) + 1
    shared, whole = (np.bincount(ring[sector], v[sector], minlength=n) for v in (common, power))
    shares: npt.NDArray[np.float64] = np.full(n, np.nan)
    np.divide(shared, whole, out=shares, where=whole > 0)
    return shares
