"""A frame as a small grey picture, to be looked at and no more."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE_PX = 192


def thumbnail(frame: npt.NDArray[np.generic]) -> str:
    """Make a small picture of a frame.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        NaN (not seen) becomes transparent.

    Returns
    -------
    str
        PNG of 8 bit in base64, at most 192 px on the longer side, each an average over an area;
        black and white are the 0.5 % and the 99.5 % quantile.
    """
    image = np.asarray(frame, dtype=np.float32)
    seen = np.isfinite(image)
    small = _shrunk(np.where(seen, image, 0))
    weight = np.ones_like(small)
    if not seen.all():
        weight = _shrunk(seen.astype(np.float32))
        np.divide(small, weight, out=small, where=weight > 0)
    there = weight > 0
    black, white = np.quantile(small[there], [0.005, 0.995]) if there.any() else (0.0, 1.0)
    scale = 255 / (white - black) if white > black else 0.0
    grey = Image.fromarray(np.rint(np.clip((small - black) * scale, 0, 255)).astype(np.uint8))
    if not there.all():
        grey.putalpha(Image.fromarray(there.astype(np.uint8) * 255))
    stream = io.BytesIO()
    grey.save(stream, format="PNG", compress_level=6)  # noise is slower at lower levels
    return base64.b64encode(stream.getvalue()).decode()


def _shrunk(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    n_y, n_x = image.shape
    share = min(1.0, _SIDE_PX / max(n_y, n_x))
    size = (max(1, round(n_x * share)), max(1, round(n_y * share)))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BOX))
