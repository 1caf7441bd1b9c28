"""The noise of frames of one still scene: how strong, and how alike in neighbouring pixels."""

from dataclasses import dataclass

import numpy as np

from stemscale.errors import FrameShapeError
from stemscale.quality.common_pixels import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameNoise:
    """What two frames of one scene differ by.

    Attributes
    ----------
    sigma : float
        Standard deviation in one frame [counts].
    along, across : float
        Correlation of the noise in pixels 1 px apart along x, the scan line, and along y: 0 where
        pixels are independent. A detector that lags behind the beam raises ``along`` alone, a
        filter that blurs alike in all directions both.
    """

    sigma: float
    along: float
    across: float


def frame_noise(one: Image, other: Image) -> FrameNoise:
    """Measure the noise of frames, raw or filtered, whatever they show.

    Parameters
    ----------
    one, other : ndarray, shape (frame, y, x)
        Frames of the same still scene, paired; none may be made of its partner. NaN = not seen
        [counts].

    Returns
    -------
    FrameNoise
        NaN where no pixel is seen in both, or the frames are equal.

    Raises
    ------
    FrameShapeError
        If the shapes differ, or are not (frame, y, x).

    Notes
    -----
    In the difference of two frames the scene cancels, and the noise has twice its variance. The
    mean of each difference is taken out, so that a brightness that changes from frame to frame does
    not count. What moves does: its difference is structure.
    """
    if one.shape != other.shape or one.ndim != 3:
        raise FrameShapeError(
            f"frames have shapes {one.shape} and {other.shape}: needed are two series "
            f"(frame, y, x) of as many frames on one grid"
        )
    sums = np.zeros(3)  # of squares, and of products along x and along y
    counts = np.zeros(3)
    for a, b in zip(one, other, strict=True):
        noise = a.astype(np.float64) - b
        seen = np.isfinite(noise)
        if not seen.any():
            continue
        noise -= noise[seen].mean()
        pairs = (noise * noise, noise[:, 1:] * noise[:, :-1], noise[1:] * noise[:-1])
        for i, products in enumerate(pairs):
            known = products[np.isfinite(products)]
            sums[i] += known.sum()
            counts[i] += known.size
    if not counts.all() or not sums[0] > 0:
        return FrameNoise(sigma=float("nan"), along=float("nan"), across=float("nan"))
    variance, along, across = (float(v) for v in sums / counts)
    return FrameNoise(sigma=(variance / 2) ** 0.5, along=along / variance, across=across / variance)
