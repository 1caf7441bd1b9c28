"""PSNR of a filtered frame without a slow scan: against its neighbours in the series."""

import numpy as np
import numpy.typing as npt

from stemscale.errors import SettingsError
from stemscale.quality.common_pixels import Image, require_same_shape
from stemscale.quality.decibels import decibels
from stemscale.quality.flat_frames import FlatFrames, Frames, gather
from stemscale.quality.gain import gain_and_offset

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


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

    Examples
    --------
    The noise of neighbours and filtered frame are three patterns that have nothing in common. The
    estimate finds the error of 0.2 that the best gain leaves, without the scene:

    >>> import numpy as np
    >>> from scipy.linalg import hadamard
    >>> from stemscale.quality import unsupervised_mse
    >>> scene, first, second, third = hadamard(8)[1:5, None]
    >>> filtered = scene + 0.5 * third
    >>> round(unsupervised_mse(filtered, before=scene + first, after=scene + second), 6)
    0.2
    >>> gained = 0.8 * filtered
    >>> round(float(np.mean((gained - scene) ** 2)), 6)
    0.2
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

    Examples
    --------
    An error of 0.2 counts² in a scene with a range of 2 counts, see :func:`unsupervised_mse`:

    >>> from scipy.linalg import hadamard
    >>> from stemscale.quality import upsnr
    >>> scene, first, second, third = hadamard(8)[1:5, None]
    >>> frame = scene + 0.5 * third
    >>> round(upsnr(frame, before=scene + first, after=scene + second, peak=2.0), 2)
    13.01
    """
    if not peak > 0:
        raise SettingsError(f"peak is {peak:g}: needed is the range of the scene, above 0")
    return float(decibels(unsupervised_mse(filtered, before, after), peak))


class NeighbourScores:
    """`unsupervised_mse` of block after block of filtered frames, against the same rapid frames.

    Parameters
    ----------
    rapid : FlatFrames
        Corrected rapid frames [counts].
    before, after : ndarray of int, shape (n,)
        Which of them stand beside each frame to be scored; -1 where there is none.

    Attributes
    ----------
    over : FlatFrames
        The rapid frames: with other sums over them, what is needed of them can be summed in one
        go (:func:`~stemscale.quality.gather`); else that is done when it is needed.

    Notes
    -----
    With a and b the neighbours, the error is told by products of f, a and b alone.
    """

    def __init__(self, rapid: FlatFrames, before: Places, after: Places) -> None:
        self.over = rapid
        self.before, self.after = before, after
        self.there = (before >= 0) & (after >= 0) & rapid.known[before] & rapid.known[after]
        self.products: FloatArray | None = None  # of both neighbours (n,)

    def add(self, rows: slice, strip: Frames) -> None:
        """Add what these rows, (frame, row, x), have to give."""
        if self.products is None:
            self.products = np.zeros(len(self.before))
        one, other = (_of(strip, places) for places in (self.before, self.after))
        self.products += np.vecdot(one, other)

    def __call__(self, filtered: FlatFrames, *, first: int = 0) -> FloatArray:
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
        sums = self.of(filtered, first=first)
        gather(sums)
        return sums.errors()

    def of(self, filtered: FlatFrames, *, first: int = 0) -> "NeighbourSums":
        """Say what is to be summed for these frames, so that others sum in the same go."""
        common = self.over.within(filtered.seen)
        if common is not self.over:
            return NeighbourScores(common, self.before, self.after).of(filtered, first=first)
        if self.products is None:
            gather(self)
        return NeighbourSums(self, filtered.within(common.seen), first)


class NeighbourSums:
    """Products of filtered frames with their neighbours; see `NeighbourScores.of`."""

    def __init__(self, beside: NeighbourScores, filtered: FlatFrames, first: int) -> None:
        self.over, self._beside = filtered, beside
        self._here = slice(first, first + filtered.shape[0])
        self._a, self._b = beside.before[self._here], beside.after[self._here]
        self._strips = beside.over.strips()
        self._shared = np.zeros(filtered.shape[0])  # with the mean of both

    def add(self, rows: slice, strip: Frames) -> None:
        """Add what these rows, (frame, row, x), have to give."""
        same, rapid = next(self._strips)
        assert same == rows
        frames = strip.reshape(len(strip), -1)
        for places in (self._a, self._b):
            self._shared += np.vecdot(frames, _of(rapid, places)) / 2

    def errors(self) -> FloatArray:
        """Make the errors of the sums, once all rows were added: [counts²], shape (frame,)."""
        n, rapid, filtered = self.over.n_seen, self._beside.over, self.over
        if n == 0 or self._beside.products is None:
            return np.full(len(self._shared), np.nan)
        both = self._beside.products[self._here]
        squares = (rapid.squares[self._a] + rapid.squares[self._b]) / 4
        sums = (rapid.sums[self._a] + rapid.sums[self._b]) / 2  # of m, the mean of both
        left = squares + both / 2 - sums**2 / n
        noise = squares - both / 2
        variance = filtered.squares - filtered.sums**2 / n
        covariance = self._shared - filtered.sums * sums / n
        explained = np.divide(
            covariance**2, variance, out=np.zeros_like(variance), where=variance > 0
        )
        there = self._beside.there[self._here] & filtered.known
        errors: FloatArray = np.where(there, (left - explained - noise) / n, np.nan)
        return errors


def _of(strip: Frames, places: Places) -> Frames:
    """Take frames out of a strip, (frame, pixel); those that follow each other without a copy."""
    if places.size and places[0] >= 0 and np.all(np.diff(places) == 1):
        found = strip[int(places[0]) : int(places[-1]) + 1]
    else:
        found = strip[places]
    return found.reshape(len(places), -1)
