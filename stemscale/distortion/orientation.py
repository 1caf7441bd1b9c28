"""Whether the rapid frames lie as the slow scan does, or are flipped or transposed."""

from collections.abc import Callable

import numpy as np

from stemscale.acquisition import Image
from stemscale.distortion.columns import match_columns, normalised
from stemscale.distortion.grids import onto_pixel_count

_BETTER = 0.1  # by which the ZNCC must be higher to be believed
_COARSE_PX = 256  # on which images are compared

_TURNS: dict[str, Callable[[Image], Image]] = {
    "flipped along x (the scan direction)": lambda image: image[:, ::-1],
    "flipped along y": lambda image: image[::-1],
    "turned by 180°": lambda image: image[::-1, ::-1],
    "transposed (x and y exchanged)": lambda image: image.T,
    "turned by 90° counter-clockwise": lambda image: np.rot90(image, -1),
    "turned by 90° clockwise": lambda image: np.rot90(image),
    "transposed and turned by 180°": lambda image: image[::-1, ::-1].T,
}
"""How frames may lie, and what turns them back."""


def find_turn(
    dcfi: Image, slow: Image, score: float, *, background_px: int, max_row_offset: float
) -> tuple[str, float] | None:
    """Look whether the rapid frames agree better with the slow scan once they are turned back.

    Parameters
    ----------
    dcfi : ndarray, shape (y, x)
        Average of rapid frames; NaN = not seen.
    slow : ndarray, shape (y, x)
        Slow scan that should show the same area.
    score : float
        ZNCC of the two as they lie.
    background_px : int
        Width of the windows whose mean counts as background [px].
    max_row_offset : float
        Row offsets up to this share of the rows are looked for.

    Returns
    -------
    tuple of (str, float) or None
        How the rapid frames lie, in words, and the ZNCC once that is undone; None where no turn
        agrees better, by 0.1.
    """
    n = min(_COARSE_PX, *dcfi.shape)
    best: tuple[str, float] | None = None
    fixed = normalised(onto_pixel_count(slow, (n, n)), background_px=background_px, smooth_px=1.0)
    small = onto_pixel_count(dcfi, (n, n))
    for words, turn in _TURNS.items():
        if turn(dcfi).shape != dcfi.shape:
            continue  # frames of another shape would have been noticed
        turned = normalised(turn(small), background_px=background_px, smooth_px=1.0)
        limit = max(1, round(max_row_offset * n))
        found = match_columns(turned, fixed, max_row_offset=limit).zncc
        if found > max(score + _BETTER, best[1] if best else 0.0):
            best = (words, found)
    return best
