"""How fine the detail is that an image shares with the truth: Fourier ring correlation."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from stemscale.errors import SettingsError
from stemscale.quality.background import DEFAULT_SIGMA_PX
from stemscale.quality.common_pixels import Image
from stemscale.quality.transforms import frequencies, transforms_alike, waves_per_px

Profile = npt.NDArray[np.float64]

TRUTH_THRESHOLD = 7**-0.5
"""Correlation with the truth at which two such images, of independent noise, correlate by 1/7."""

HALVES_THRESHOLD = 1 / 7
"""The customary limit of the correlation of two halves of a series, as good as each other."""

_HALF_KEPT = 5.3  # waves of so many sigma keep half of their amplitude: `remove_background`
_SMOOTH_RINGS = 9  # of the running mean: single rings scatter


def ring_coherence(
    image: Image, reference: Image, *, pixel_size_nm: float | None
) -> tuple[Profile, Profile]:
    """Correlate two images wave number by wave number.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        Intensities, each on its own scale; NaN (not seen) in either counts as the mean in both.
    pixel_size_nm : float or None
        Pixel size [nm]; None where it is not known.

    Returns
    -------
    wave_number : ndarray of float64, shape (n,)
        Of the rings, from one wave per image (along its shorter side) up to the finest wave that
        pixels hold; n = (shorter side - 1) // 2 [1/µm], or [1/px] without a pixel size.
    coherence : ndarray of float64, shape (n,)
        -1 … 1; 0 where either image has no power at all.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SettingsError
        If the pixel size is not positive.

    Notes
    -----
    With F the transform of the image and G that of the reference, both after a Hann window:
    C(r) = sum F G* / sqrt(sum |F|² · sum |G|²), over the waves whose wave number is nearest to
    ring r. An image of reference + noise has C² = signal / (signal + noise). Neither a gain nor
    an isotropic filter changes C, but a shift does (by 1/6 of a period along its direction, to
    1/2), so the delay of a lag counts as lost detail, while noise that only fills in power, which
    :func:`~stemscale.quality.agreement_cutoff` takes for detail, does not help.
    Source: Saxton & Baumeister 1982, Fourier ring correlation.

    Examples
    --------
    Detail that is stronger in one image than in the other is coherent all the same:

    >>> import numpy as np
    >>> from stemscale.quality import ring_coherence
    >>> image = np.random.default_rng(0).normal(size=(64, 64))
    >>> wave_number, coherence = ring_coherence(image, 3 * image, pixel_size_nm=2.0)
    >>> float(wave_number[0])  # one wave on 64 px of 2 nm, which are 0.128 µm [1/µm]
    7.8125
    >>> np.allclose(coherence, 1.0)
    True
    """
    scale = waves_per_px(pixel_size_nm)
    first, second = transforms_alike(image, reference)
    shorter = min(first.shape)
    ring = np.rint(np.hypot(*frequencies(first.shape)) * shorter).astype(np.int64).ravel()

    def in_rings(values: npt.NDArray[np.float64]) -> Profile:
        whole = np.bincount(ring, values.ravel()).astype(np.float64)
        return whole[1 : (shorter + 1) // 2]

    common = in_rings((first * second.conj()).real)
    power = in_rings(np.abs(first) ** 2) * in_rings(np.abs(second) ** 2)
    coherence = np.divide(common, np.sqrt(power), out=np.zeros_like(common), where=power > 0)
    return np.arange(1, common.size + 1) / shorter * scale, coherence


def coherence_cutoff(
    image: Image,
    truth: Image,
    *,
    pixel_size_nm: float | None,
    threshold: float = TRUTH_THRESHOLD,
) -> float:
    """Find the wave number up to which an image shows the truth.

    Parameters
    ----------
    image, truth : ndarray, shape (y, x)
        A frame and the same scene without noise or lag, each on its own scale; or, with
        `HALVES_THRESHOLD`, the means of the even and of the odd frames of a still series.
    pixel_size_nm : float or None
        Pixel size [nm]; None where it is not known.
    threshold : float
        Coherence below which detail counts as lost, between 0 and 1.

    Returns
    -------
    float
        Where the smoothed coherence falls below the threshold for the first time, linearly
        between rings [1/µm], or [1/px] without a pixel size; 0 where it starts below, the last
        wave number where it never falls so low. NaN where the images are so small that there are
        fewer rings than are averaged.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.
    SettingsError
        If threshold or pixel size make no sense.

    Notes
    -----
    The search starts at waves of which the removal of the background keeps half and more.
    C² is the ring correlation of two images as good as this one with independent noise, and 1/7
    the customary limit of that: hence C = 1 / sqrt 7 = 0.378, where noise has six times the power
    of the scene. On the reference simulation without distortion, median of four samples, a rapid
    frame comes to 48 /µm, the mean of 20 frames to 71 /µm, the slow scan to 82 /µm.
    The correlation of two halves asks for no slow scan, and tells what comes out alike for every
    frame: that is detail of the specimen, smeared or not, but also what a filter makes of anything
    that does not change, so that a filter can only look better by it than it is.
    Source: the limit is that of Rosenthal & Henderson 2003; for the number of row Q5 where there
    is a truth.

    Examples
    --------
    Noise of a tenth of the scene's strength hides none of it, of ten times all:

    >>> import numpy as np
    >>> from stemscale.quality import coherence_cutoff
    >>> truth, noise = np.random.default_rng(0).normal(size=(2, 64, 64))
    >>> coherence_cutoff(truth + 0.1 * noise, truth, pixel_size_nm=2.0)  # 31 waves on 0.128 µm
    242.1875
    >>> coherence_cutoff(truth + 10 * noise, truth, pixel_size_nm=2.0)
    0.0
    """
    if not 0 < threshold < 1:
        raise SettingsError(f"threshold is {threshold:g}: needed is a number between 0 and 1")
    wave_number, coherence = ring_coherence(image, truth, pixel_size_nm=pixel_size_nm)
    structure = wave_number >= waves_per_px(pixel_size_nm) / (_HALF_KEPT * DEFAULT_SIGMA_PX)
    if structure.sum() < _SMOOTH_RINGS:
        return float("nan")
    wave_number = wave_number[structure]
    smooth = uniform_filter1d(coherence[structure], _SMOOTH_RINGS, mode="nearest")
    below = np.flatnonzero(smooth < threshold)
    if not below.size:
        return float(wave_number[-1])
    at = int(below[0])
    if at == 0:
        return 0.0
    share = (smooth[at - 1] - threshold) / (smooth[at - 1] - smooth[at])
    return float(wave_number[at - 1] + share * (wave_number[at] - wave_number[at - 1]))
