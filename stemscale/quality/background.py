"""Split the smooth background off an image."""

import numpy as np
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.common import FloatImage, Image

# Waves of 5.3 sigma keep half of their amplitude: with 20 px, dislocations (4-20 px wide) and the
# lag behind them (tails up to some 10 px) pass whole, and what varies over more than a fifth of
# a 512 px line, the scale on which rapid and slow backgrounds were seen to differ, goes.
DEFAULT_SIGMA_PX = 20.0


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
    weight = gaussian_filter(seen.astype(np.float64), sigma_px, mode="constant")
    smooth = gaussian_filter(filled, sigma_px, mode="constant")
    result = np.full(values.shape, np.nan)
    result[seen] = filled[seen] - smooth[seen] / weight[seen]
    return result
