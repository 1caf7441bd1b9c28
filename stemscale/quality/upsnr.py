"""PSNR of a filtered frame without a slow scan: against its neighbours in the series."""

import numpy as np
import numpy.typing as npt

from stemscale.errors import SettingsError
from stemscale.quality.common import Image, require_same_shape
from stemscale.quality.gain import gain_and_offset

Frames = npt.NDArray[np.float32]  # (frame, y, x); NaN = not seen


def unsupervised_mse(filtered: Image, before: Image, after: Image) -> float:
    """Estimate how far a filtered frame lies from the noise-free rapid frame.

    Parameters
    ----------
    filtered : ndarray, shape (y, x)
        A filtered frame, on any scale; NaN (not seen) in any of the three leaves a pixel out.
    before, after : ndarray, shape (y, x)
        Rapid frames of the same scene that the filter did not see for this frame, as the ones
        before and after it, corrected but not filtered [counts].

    Returns
    -------
    float
        Mean squared error [counts²] on the scale of the rapid frames, after the best gain and
        offset. Of an excellent frame it may come out below 0, since it is a difference of two
        estimates. NaN where no pixel is seen in all three, or no gain fits.

    Raises
    ------
    FrameShapeError
        If the shapes differ.

    Notes
    -----
    With m the mean of the neighbours a and b, whose noise is independent:
    mean (g f + o - m)² - mean (a - b)² / 4, for the second term is the noise of m. So what is
    estimated is the error against the rapid scan's own expectation, *smear and all*: a filter
    that undoes the lag is charged for it. Compare such filters by a residual test instead
    (:func:`~stemscale.quality.residual_test`). What moves from frame to frame counts as error.
    Source: Marcos Morales et al. 2023, uMSE, for two noisy references.
    """
    for image in (before, after):
        require_same_shape(filtered, image)
    a, b = (np.asarray(i, dtype=np.float64) for i in (before, after))
    mean = (a + b) / 2
    frame = np.where(np.isnan(mean), np.nan, np.asarray(filtered, dtype=np.float64))
    seen = ~np.isnan(frame)
    if not seen.any():
        return float("nan")
    gain, offset = gain_and_offset(frame, mean)
    error = gain * frame[seen] + offset - mean[seen]
    noise = a[seen] - b[seen]
    return float(error @ error - noise @ noise / 4) / error.size


def upsnr(filtered: Image, before: Image, after: Image, *, peak: float) -> float:
    """Score a filtered frame without a slow scan, against the noise-free rapid frame.

    Parameters
    ----------
    filtered, before, after : ndarray, shape (y, x)
        As for :func:`unsupervised_mse`.
    peak : float
        Range of the scene on the scale of the rapid frames [counts]; one for a whole series.

    Returns
    -------
    float
        10 log10(peak² / uMSE) [dB]; ``inf`` where the error is too small to be told from 0, NaN
        where it is not known.

    Raises
    ------
    FrameShapeError
        If the shapes differ.
    SettingsError
        If ``peak`` is not positive.

    Notes
    -----
    Source: Marcos Morales et al. 2023, uPSNR; see :func:`unsupervised_mse` for what it does not
    say.
    """
    if not peak > 0:
        raise SettingsError(f"peak is {peak:g}: needed is the range of the scene, above 0")
    mse = unsupervised_mse(filtered, before, after)
    if np.isnan(mse):
        return float("nan")
    return float("inf") if mse <= 0 else 10.0 * float(np.log10(peak**2 / mse))


class NeighbourScores:
    """`unsupervised_mse` of block after block of filtered frames, against the same rapid frames.

    Parameters
    ----------
    rapid : ndarray of float32, shape (frame, y, x)
        Corrected rapid frames; NaN = not seen [counts].
    before, after : ndarray of int, shape (n,)
        Which of them stand beside each frame to be scored; -1 where there is none.
    seen : ndarray of bool, shape (y, x), optional
        Pixels that count; by default those that all frames see.

    Notes
    -----
    What hangs on the rapid frames alone is worked out once, for the filters of a series.
    """

    def __init__(
        self,
        rapid: Frames,
        before: npt.NDArray[np.int64],
        after: npt.NDArray[np.int64],
        *,
        seen: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._rapid, self._before, self._after = rapid, before, after
        empty = np.asarray(np.isnan(rapid).all(axis=(1, 2)))
        if seen is None:
            seen = np.asarray(~np.isnan(rapid[~empty]).any(axis=0))
        self._seen, self._n_seen = seen, int(seen.sum())
        flat = _flat(rapid, seen)
        pairs = [
            None if a < 0 or b < 0 or empty[a] or empty[b] else (flat[a], flat[b])
            for a, b in zip(before, after, strict=True)
        ]
        self._means = [None if p is None else (p[0] + p[1]) / 2 for p in pairs]
        self._noise = [0.0 if p is None else _squares(p[0] - p[1]) / 4 for p in pairs]

    def __call__(self, filtered: Frames) -> npt.NDArray[np.float64]:
        """Score the frames that stand between those neighbours.

        Parameters
        ----------
        filtered : ndarray of float32, shape (n, y, x)

        Returns
        -------
        ndarray of float64, shape (n,)
            [counts²]; NaN where a frame or a neighbour shows nothing.
        """
        missing = np.isnan(filtered)
        known = np.asarray(~missing.all(axis=(1, 2)))
        unseen_here = np.asarray(missing[known].any(axis=0))
        if (unseen_here & self._seen).any():  # fewer pixels are common: all sums are others
            seen = self._seen & ~unseen_here
            there = NeighbourScores(self._rapid, self._before, self._after, seen=seen)
            return there._scores(filtered, known)
        return self._scores(filtered, known)

    def _scores(self, filtered: Frames, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        found = np.full(len(filtered), np.nan)
        n = self._n_seen
        if n == 0:
            return found
        flat = _flat(filtered, self._seen)
        for i, (frame, mean) in enumerate(zip(flat, self._means, strict=True)):
            if mean is None or not known[i]:
                continue
            sum_f, sum_m = float(frame.sum()), float(mean.sum())
            variance = _squares(frame) - sum_f**2 / n
            covariance = float(frame @ mean) - sum_f * sum_m / n
            left = _squares(mean) - sum_m**2 / n
            if variance > 0:
                left -= covariance**2 / variance
            found[i] = (left - self._noise[i]) / n
        return found


def _flat(frames: Frames, seen: npt.NDArray[np.bool_]) -> Frames:
    """Take a level off, so that float32 holds the differences, and flatten; unseen pixels are 0."""
    first = next((f for f in frames if np.isfinite(f).any()), None)
    level = 0.0 if first is None else float(np.nanmean(first))
    flat = frames - np.float32(level)
    np.copyto(flat, np.float32(0), where=~seen)
    pixels: Frames = flat.reshape(len(flat), -1)
    return pixels


def _squares(values: Frames) -> float:
    return float(values @ values)
