"""Images of one scene come onto one grey scale, for the eye."""

import numpy as np
import numpy.typing as npt

from stemscale.quality import gain_and_offset, zncc

FloatImage = npt.NDArray[np.float64]

_LEAST_LIKENESS = 0.1  # ZNCC below which a gain match would follow chance


def on_scale_of(image: FloatImage, reference: FloatImage) -> FloatImage:
    """Match gain and offset of a noisy image to a clean reference, keeping its contrast.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        See `gain_to`.

    Returns
    -------
    ndarray, shape (y, x)
    """
    gain, offset = gain_to(image, reference)
    return image * gain + offset


def gain_to(image: FloatImage, reference: FloatImage) -> tuple[float, float]:
    """Find gain and offset that bring a noisy image onto the scale of a clean reference.

    Parameters
    ----------
    image, reference : ndarray, any shape
        Of one scene; another scene or another shape is matched by median and spread. Or pixels of
        several frames, for one gain of them all.

    Returns
    -------
    gain, offset : float
        For ``gain * image + offset``. The fit runs from the reference to the image and is then
        inverted: the other way round, noise would pull the gain, and with it the contrast shown,
        towards 0.
    """
    if image.shape == reference.shape and zncc(image, reference) > _LEAST_LIKENESS:
        gain, offset = gain_and_offset(reference, image)
        if gain > 0:
            return 1 / gain, -offset / gain
    spread, wanted = _spread(image), _spread(reference)
    gain = wanted / spread if spread > 0 and wanted > 0 else 1.0
    return gain, float(np.nanmedian(reference)) - gain * float(np.nanmedian(image))


def grey_window(image: FloatImage) -> tuple[float, float]:
    """Choose black and white for an image; a constant one gets a window of 1 around it."""
    low, high = np.nanquantile(image, [0.005, 0.995])
    margin = (high - low) / 6
    if not margin > 0:
        return float(low) - 0.5, float(low) + 0.5
    return float(low - margin), float(high + margin)


def _spread(image: FloatImage) -> float:
    low, high = np.nanquantile(image, [0.16, 0.84])
    return float(high - low) / 2
