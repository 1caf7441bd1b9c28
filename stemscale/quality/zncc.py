"""Zero-mean normalised cross-correlation."""

import numpy as np

from stemscale.quality.common_pixels import Image, common_pixels


def zncc(frame: Image, reference: Image) -> float:
    """Score how alike two images are, whatever their gain and offset.

    Parameters
    ----------
    frame, reference : ndarray, shape (y, x)
        Intensities, each on its own scale; NaN (not seen) in either leaves that pixel out.

    Returns
    -------
    float
        1 for equal images up to a positive gain and an offset, -1 for a negative, about 0 for
        unrelated ones; NaN where either is constant or no pixel is seen in both.

    Raises
    ------
    FrameShapeError
        If the two images differ in shape.

    Notes
    -----
    Source: Ihara 2022, Method, "Distortion correction" (row C1).

    Examples
    --------
    A wave of 8 px: gain and offset do not count, but a shift by 1 px is an eighth of a turn, and
    one by 4 px turns bright into dark:

    >>> import numpy as np
    >>> from stemscale.quality import zncc
    >>> image = np.tile(np.cos(2 * np.pi * np.arange(32) / 8), (4, 1))
    >>> round(zncc(3 * image + 5, image), 3)
    1.0
    >>> [round(zncc(np.roll(image, px, axis=1), image), 3) for px in (1, 4)]
    [0.707, -1.0]
    """
    a, b = common_pixels(frame, reference)
    # by range, not by variance: rounding leaves a constant image a variance a little above 0
    if a.size == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(np.clip(float(a @ b) / scale, -1.0, 1.0))
