"""Structural similarity: does an image look like the reference, window by window."""

import numpy as np
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality.background import DEFAULT_SIGMA_PX, remove_background
from stemscale.quality.common_pixels import FloatImage, Image, seen_in_both
from stemscale.quality.gain import match_gain

WINDOW_SIGMA_PX = 1.5
_RADIUS_PX = 5  # windows of 11 x 11 px
_K1, _K2 = 0.01, 0.03


def ssim(image: Image, reference: Image, *, sigma_px: float = DEFAULT_SIGMA_PX) -> float:
    """Score how alike two images look, after background, gain and offset are matched.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        Intensities, each on its own scale; NaN (not seen) in either image leaves that pixel out,
        also from the windows around it.
    sigma_px : float
        Width of the smooth background taken out of both images before [px].

    Returns
    -------
    float
        -1 … 1, 1 for equal images; NaN where no window has its centre seen in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape, or are smaller than a window of 11 x 11 px.
    SeriesError
        If the reference is constant over the pixels seen in both.

    Notes
    -----
    The images are prepared as for :func:`~stemscale.quality.psnr_without_background`: background
    out of both, then the gain and offset of least squares. Then, with means, variances and
    covariance under a Gaussian window (sigma 1.5 px, 11 x 11 px, normalised by the seen pixels),
    SSIM = (2 m_a m_b + c1)(2 s_ab + c2) / ((m_a² + m_b² + c1)(s_a² + s_b² + c2)), averaged over
    the windows that lie in the frame and whose centre is seen. c1 = (0.01 L)², c2 = (0.03 L)²,
    with L the range of the background-free reference, which is put at 0 … L: the formula is made
    for intensities. Around 0, the last trace of a background would count as much as the scene.
    Between structures an even image is similar to an even reference, so an image without any
    structure has some 0.7 on the reference simulation. Noise finer than the window costs most: a
    rapid frame has 0.55 to 0.71 there, the mean of 20 frames 0.66 to 0.73, and 0.91 after a
    Gaussian filter of 1 px. Compare filters by it, not frames of unlike noise.
    Source: Wang 2004. Where all pixels are seen it is scikit-image's `structural_similarity` with
    ``gaussian_weights=True, use_sample_covariance=False``, which knows no unseen pixels.

    Examples
    --------
    Gain and offset do not count; noise does:

    >>> import numpy as np
    >>> from stemscale.quality import ssim
    >>> image, noise = np.random.default_rng(0).normal(size=(2, 64, 64))
    >>> round(ssim(2 * image + 100, image), 6)
    1.0
    >>> ssim(image + noise, image) < 0.9
    True
    """
    seen = seen_in_both(image, reference)
    if min(seen.shape) < 2 * _RADIUS_PX + 1:
        raise FrameShapeError(
            f"images have shape {seen.shape}: needed are windows of 11 x 11 pixels or more"
        )
    if not seen.any():
        return float("nan")
    b = remove_background(np.where(seen, reference, np.nan), sigma_px=sigma_px)
    a = match_gain(remove_background(np.where(seen, image, np.nan), sigma_px=sigma_px), b)
    low, high = float(b[seen].min()), float(b[seen].max())
    if low == high:
        raise SeriesError(
            f"reference is constant (every pixel {low:g}): it has no structure to be similar to"
        )
    similar = _similarity(a - low, b - low, seen, peak=high - low)
    inner = np.zeros(seen.shape, dtype=bool)
    inner[_RADIUS_PX:-_RADIUS_PX, _RADIUS_PX:-_RADIUS_PX] = True
    counted = inner & seen
    return float(similar[counted].mean()) if counted.any() else float("nan")


def _similarity(a: FloatImage, b: FloatImage, seen: Image, *, peak: float) -> FloatImage:
    """SSIM of the window around each pixel; what it is where the centre is unseen is nobody's."""
    truncate = _RADIUS_PX / WINDOW_SIGMA_PX
    weight = gaussian_filter(seen.astype(np.float64), WINDOW_SIGMA_PX, truncate=truncate)
    weight = np.maximum(weight, np.finfo(np.float64).tiny)

    def mean(values: FloatImage) -> FloatImage:
        filled = np.where(seen, values, 0.0)
        smooth: FloatImage = gaussian_filter(filled, WINDOW_SIGMA_PX, truncate=truncate) / weight
        return smooth

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return above / below
