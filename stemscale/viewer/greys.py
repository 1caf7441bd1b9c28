"""Images become 8-bit greys of the size they are seen at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from stemscale.views.grey_scale import gain_to, grey_window

FloatImage = npt.NDArray[np.float32]
Greys = npt.NDArray[np.uint8]

PALETTE = [
    "#00000000",
    *(f"#{g:02x}{g:02x}{g:02x}" for g in np.linspace(0, 255, 255).round().astype(int)),
]
"""Colours of the 256 greys: 0 is "not seen", and lets the hatching through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Gain and offset that bring an image onto the common scale, for display only."""

    gain: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Intensities of black and white, on the common scale [counts]."""

    black: float
    white: float


def auto_window(image: FloatImage, scale: Scale) -> Window:
    """Choose black and white from an image of the common scale's reference.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen.
    scale : Scale
        Of that image.

    Returns
    -------
    Window
        As in the report: the 0.5 % to the 99.5 % quantile, and a sixth of that on either side.
    """
    black, white = grey_window(image.astype(np.float64) * scale.gain + scale.offset)
    return Window(black=black, white=white)


def match(image: FloatImage, reference: FloatImage) -> Scale:
    """Find the scale that brings an image onto a reference's; see `gain_to`."""
    pair = (np.asarray(i, dtype=np.float64) for i in (image, reference))
    gain, offset = gain_to(*pair)
    return Scale(gain=gain, offset=offset)


def to_greys(
    image: FloatImage, window: Window, scale: Scale | None = None, *, zoom: float = 1.0
) -> Greys:
    """Render an image for the palette.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen.
    window : Window
        Black and white.
    scale : Scale, optional
        Gain and offset before that.
    zoom : float
        Pixels of the screen for each of the image: below 1 the image is averaged over areas
        down to the size at which it is seen, since a browser would leave pixels out.

    Returns
    -------
    ndarray of uint8, shape (y', x')
        1 (black) to 255 (white); 0 = not seen.
    """
    scale = scale or Scale()
    small = shrink(image, zoom)
    span = window.white - window.black
    gain = 254 * scale.gain / span if span > 0 else 0.0
    with np.errstate(invalid="ignore"):
        grey = small * np.float32(gain) + np.float32(
            254 * (scale.offset - window.black) / span + 1.5 if span > 0 else 128
        )
        np.clip(grey, 1, 255, out=grey)
    np.nan_to_num(grey, copy=False, nan=0.0)
    return grey.astype(np.uint8)


def shrink(image: FloatImage, zoom: float) -> FloatImage:
    """Average an image over areas down to a part of its size; a larger one is not made.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        NaN = not seen; an area is seen if half of it is.
    zoom : float
        The part; 1 and more leave the image as it is.

    Returns
    -------
    ndarray of float32, shape (y', x')
    """
    n_y, n_x = image.shape
    size = max(1, round(n_x * zoom)), max(1, round(n_y * zoom))
    if zoom >= 1 or size == (n_x, n_y):
        return np.asarray(image, dtype=np.float32)
    seen = np.isfinite(image)
    if seen.all():
        return _resized(image, size)
    weight = _resized(seen.astype(np.float32), size)
    small = _resized(np.where(seen, image, np.float32(0)), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= 0.5, small / weight, np.float32("nan"))


def _resized(image: FloatImage, size: tuple[int, int]) -> FloatImage:
    picture = Picture.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    return np.asarray(picture.resize(size, Picture.Resampling.BOX), dtype=np.float32)
