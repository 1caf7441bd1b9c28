"""PSNR of a filtered frame without a slow scan: against its neighbours in the series."""

import numpy as np
import numpy.typing as npt

from stemscale.errors import SettingsError
from stemscale.quality.common import Image, require_same_shape
from stemscale.quality.flat_frames import FlatFrames
from stemscale.quality.gain import gain_and_offset


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
    rapid : FlatFrames
        Corrected rapid frames [counts].
    before, after : ndarray of int, shape (n,)
        Which of them stand beside each frame to be scored; -1 where there is none.

    Notes
    -----
    With a and b the neighbours, the error is told by products of f, a and b alone.
    """

    def __init__(
        self, rapid: FlatFrames, before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]
    ) -> None:
        self._rapid, self._before, self._after = rapid, before, after
        self._there = (before >= 0) & (after >= 0)
        self._there &= rapid.known[before] & rapid.known[after]
        self._both = np.array(
            [rapid.pixels[a] @ rapid.pixels[b] for a, b in zip(before, after, strict=True)],
            dtype=np.float64,
        )

    def __call__(self, filtered: FlatFrames, *, first: int = 0) -> npt.NDArray[np.float64]:
        """Score frames that stand between those neighbours.

        Parameters
        ----------
        filtered : FlatFrames
            In the order of the neighbours.
        first : int
            Which pair of neighbours is that of the first frame.

        Returns
        -------
        ndarray of float64, shape (frame,)
            [counts²]; NaN where a frame or a neighbour shows nothing.
        """
        common = self._rapid.within(filtered.seen)
        if common is not self._rapid:
            there = NeighbourScores(common, self._before, self._after)
            return there(filtered, first=first)
        return self._errors(filtered.within(common.seen), first)

    def _errors(self, filtered: FlatFrames, first: int) -> npt.NDArray[np.float64]:
        n, rapid, frames = filtered.n_seen, self._rapid.pixels, filtered.pixels
        if n == 0:
            return np.full(len(frames), np.nan)
        pairs_here = slice(first, first + len(frames))
        a, b, both = self._before[pairs_here], self._after[pairs_here], self._both[pairs_here]
        squares = (self._rapid.squares[a] + self._rapid.squares[b]) / 4
        sums = (self._rapid.sums[a] + self._rapid.sums[b]) / 2  # of m, the mean of both
        left = squares + both / 2 - sums**2 / n
        noise = squares - both / 2
        variance = filtered.squares - filtered.sums**2 / n
        pairs = zip(frames, a, b, strict=True)
        shared = np.array([f @ rapid[i] + f @ rapid[j] for f, i, j in pairs], dtype=np.float64) / 2
        covariance = shared - filtered.sums * sums / n
        explained = np.divide(
            covariance**2, variance, out=np.zeros_like(variance), where=variance > 0
        )
        errors: npt.NDArray[np.float64] = (left - explained - noise) / n
        return np.where(self._there[pairs_here] & filtered.known, errors, np.nan)
