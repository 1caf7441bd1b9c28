"""Where and by what score the parameters of a classical filter are chosen."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SeriesError
from stemscale.quality import psnr_without_background, remove_background

FloatFrames = NDArray[np.float32]
Reference = NDArray[np.float64]


def crop(
    frames: FloatFrames, reference: Reference | None, *, size: int, n: int
) -> tuple[FloatFrames, Reference | None]:
    """Take a part that shows much, small enough to filter it again and again.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
    reference : ndarray, shape (y, x), optional
    size : int
        Largest height and width [px].
    n : int
        Largest number of frames.

    Returns
    -------
    frames : ndarray of float32, shape (n, y', x')
    reference : ndarray, shape (y', x'), or None

    Notes
    -----
    Of windows half overlapping, the one of highest variance without background, in the reference
    or else in the mean of the frames; what is not seen counts as no variance.
    """
    frames = frames[:n]
    height, width = frames.shape[1:]
    if height <= size and width <= size:
        return frames, reference
    image = frames.astype(np.float64).mean(axis=0) if reference is None else reference
    power = np.nan_to_num(remove_background(image)) ** 2
    power[~np.isfinite(frames[0])] = 0
    windows = [
        np.s_[top : top + size, left : left + size]
        for top in _starts(height, size)
        for left in _starts(width, size)
    ]
    best = max(windows, key=lambda window: float(power[window].sum()))
    return frames[(slice(None), *best)], None if reference is None else reference[best]


def _starts(length: int, size: int) -> list[int]:
    if length <= size:
        return [0]
    return sorted({*range(0, length - size + 1, max(1, size // 2)), length - size})


def mean_psnr(filtered: NDArray[np.float32], reference: Reference) -> float:
    """Score frames against the slow scan, background removed [dB]; -inf where nothing shows."""
    try:
        found = float(np.mean([psnr_without_background(f, reference) for f in filtered]))
    except SeriesError:  # a constant reference
        return float("-inf")
    return found if np.isfinite(found) else float("-inf")


def highest(
    score: Callable[[float], float], start: float, *, ratio: float, lowest: float, largest: float
) -> tuple[float, float]:
    """Climb to the value of the highest score, in steps by a ratio, then by its square root.

    Parameters
    ----------
    score : callable
        Of one value; with a single maximum, or nearly so.
    start : float
    ratio : float
        Of one value tried to the next, above 1.
    lowest, largest : float
        Nothing beyond is tried.

    Returns
    -------
    value, score : float
    """
    scores = {start: score(start)}

    def at(value: float) -> float:
        if not lowest <= value <= largest:
            return float("-inf")
        if value not in scores:
            scores[value] = score(value)
        return scores[value]

    best = start
    for step in (ratio, ratio**0.5):
        for direction in (step, 1 / step):
            while at(best * direction) > at(best):
                best *= direction
    return best, scores[best]
