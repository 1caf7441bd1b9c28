"""All scores of many frames against one reference, by a handful of products with templates."""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.errors import FrameShapeError
from stemscale.quality.background import background_removed_from
from stemscale.quality.common_pixels import Image
from stemscale.quality.decibels import decibels
from stemscale.quality.flat_frames import FlatFrames, Frames, gather
from stemscale.quality.lag import tail_of_parts, tail_templates
from stemscale.quality.spectrum import cutoffs_of_profiles, horizontal_profile, profile_of_columns
from stemscale.quality.streak import streak_of_gains, streak_templates
from stemscale.quality.transforms import hann

FloatArray = npt.NDArray[np.float64]

_KEPT = 4  # sets of templates: frames of a series mostly see the same pixels
_STREAKS, _TAILS = 2, 6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Templates:
    """What hangs on the reference and on the pixels seen in it and in a block of frames."""

    seen: npt.NDArray[np.bool_]  # (y, x), in both
    n_seen: int
    mean: float  # of the reference over what is seen
    variance: float
    peak: float  # range of the reference
    of_pixels: npt.NDArray[np.float32]  # (template, y, x): reference, streak, tail
    has_streak: bool
    has_tail: bool
    profile: FloatArray  # (wave number,) of the reference
    columns_seen: FloatArray  # (x,) Hann-weighted count of pixels seen


class ReferenceScores:
    """Scores of block after block of frames against one reference.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
        Slow scan or truth, on the grid of the frames; NaN = not seen.
    pixel_size_nm : float or None
        For wave numbers in 1/µm; None: in 1/px.

    Notes
    -----
    Streak and tail are linear in the image (:func:`~stemscale.quality.streak`,
    :func:`~stemscale.quality.lag_tail`), a PSNR after a gain match is told by a correlation, the
    horizontal profile of the spectrum by sums of columns. So each frame costs some products with
    images that are made once, 0.5 ms at 512 x 512, where the functions of one image take 200 ms.
    They agree to the digits that float32 holds, where all frames of a block see the same pixels;
    else what counts is what all of them see. May be used from several threads.
    """

    NAMES = ("psnr_matched", "streak", "lag_tail", "lag_delay", "agreement_cutoff")

    def __init__(self, reference: Image, *, pixel_size_nm: float | None) -> None:
        self._reference = np.asarray(reference, dtype=np.float64)
        self._pixel_size_nm = pixel_size_nm
        self._kept: list[tuple[npt.NDArray[np.bool_], _Templates | None]] = []
        self._lock = threading.Lock()
        self._wave_number, _ = horizontal_profile(self._reference, pixel_size_nm=pixel_size_nm)

    @property
    def shape(self) -> tuple[int, ...]:
        """(y, x) of the frames that can be scored."""
        return self._reference.shape

    def __call__(self, frames: Frames) -> dict[str, FloatArray]:
        """Score a block.

        Parameters
        ----------
        frames : ndarray of float32, shape (frame, y, x)
            Intensities; NaN = not seen. A frame of which nothing is seen has no scores.

        Returns
        -------
        dict of str to ndarray of float64, shape (frame,)
            ``psnr_matched`` [dB], ``streak`` [dB], ``lag_tail``, ``lag_delay`` [px],
            ``agreement_cutoff`` [1/µm], as `psnr_matched`, `streak`, `lag_tail` and
            `agreement_cutoff` have them; NaN where they are not known.

        Raises
        ------
        FrameShapeError
            If frames and reference differ in shape.
        """
        sums = self.of(FlatFrames(frames))
        gather(sums)
        return sums.scores()

    def of(self, flat: FlatFrames) -> "ReferenceSums":
        """Say what is to be summed for the scores of a block, so that others sum in the same go.

        Raises
        ------
        FrameShapeError
            If frames and reference differ in shape.
        """
        if len(flat.shape) != 3 or flat.shape[1:] != self._reference.shape:
            raise FrameShapeError(
                f"frames have shape {flat.shape} but their reference has "
                f"{self._reference.shape}: bring both onto one grid first (calibrate)"
            )
        about = self._templates(flat.seen) if flat.known.any() else None
        return ReferenceSums(flat, about, self._wave_number)

    def _templates(self, seen: npt.NDArray[np.bool_]) -> _Templates | None:
        with self._lock:
            for of_frames, kept in self._kept:
                if np.array_equal(of_frames, seen):
                    return kept
            made = self._make(seen & ~np.isnan(self._reference))
            self._kept = [(seen, made), *self._kept][:_KEPT]
        return made

    def _make(self, seen: npt.NDArray[np.bool_]) -> _Templates | None:
        values = self._reference[seen]
        if not values.size or np.ptp(values) == 0:
            return None
        mean = float(values.mean())
        flat = np.where(seen, self._reference - mean, 0.0)
        streaks, tails = (
            streak_templates(self._reference, seen),
            tail_templates(self._reference, seen),
        )
        linear = [background_removed_from(t, seen) for t in (streaks, tails) if t is not None]
        templates = np.concatenate([flat[None], *linear])
        _, profile = horizontal_profile(
            np.where(seen, self._reference, np.nan), pixel_size_nm=self._pixel_size_nm
        )
        return _Templates(
            seen=seen,
            n_seen=values.size,
            mean=mean,
            variance=float(values.var()),
            peak=float(np.ptp(values)),
            of_pixels=templates.astype(np.float32),
            has_streak=streaks is not None,
            has_tail=tails is not None,
            profile=profile,
            columns_seen=hann(seen.shape[0]) @ seen,
        )


class ReferenceSums:
    """Sums of a block over templates, of which its scores are made; see `ReferenceScores.of`."""

    def __init__(self, flat: FlatFrames, about: _Templates | None, wave_number: FloatArray) -> None:
        self.over = flat if about is None else flat.within(about.seen)
        self._about, self._wave_number = about, wave_number
        n_frames, n_y, n_x = flat.shape
        self._window = hann(n_y)
        self._float_window = self._window.astype(np.float32)
        self._products = np.zeros((0 if about is None else len(about.of_pixels), n_frames))
        self._columns = np.zeros((n_frames, n_x))

    def add(self, rows: slice, strip: Frames) -> None:
        """Add what these rows, (frame, row, x), have to give."""
        if self._about is not None:
            templates = self._about.of_pixels[:, rows]
            flat = templates.reshape(len(templates), -1)
            self._products += flat @ strip.reshape(len(strip), -1).T
            self._columns += np.matmul(self._float_window[rows], strip)

    def scores(self) -> dict[str, FloatArray]:
        """Make the scores of the sums, once all rows were added."""
        names, known = ReferenceScores.NAMES, self.over.known
        found: dict[str, FloatArray] = {n: np.full(len(known), np.nan) for n in names}
        if self._about is not None:
            for name, values in self._scores(self._about).items():
                found[name] = np.where(known, values, np.nan)
        return found

    def _scores(self, about: _Templates) -> dict[str, FloatArray]:
        mean = self.over.sums / about.n_seen  # over the level
        variance = np.maximum(self.over.squares / about.n_seen - mean**2, 0.0)
        covariance = self._products[0] / about.n_seen
        found = {"psnr_matched": _psnr_of_correlation(about, variance, covariance)}
        at = 1
        if about.has_streak:
            found["streak"] = streak_of_gains(self._products[at : at + _STREAKS])
            at += _STREAKS
        if about.has_tail:
            parts = self._products[at : at + _TAILS]
            found["lag_tail"], found["lag_delay"] = tail_of_parts(parts)
        over = self._columns - mean[:, None] * about.columns_seen
        found["agreement_cutoff"] = self._cutoffs(over, covariance, about)
        return found

    def _cutoffs(self, over: FloatArray, covariance: FloatArray, about: _Templates) -> FloatArray:
        """Compare sums of columns over their mean, (frame, x), with those of the reference."""
        # the gain that runs from the reference to the frame, whose noise would shrink the other
        gain = about.variance / np.where(covariance > 0, covariance, np.nan)
        profiles = profile_of_columns(over * gain[:, None] + about.mean * self._window.sum())
        found: FloatArray = np.full(len(gain), np.nan)
        found[np.isfinite(gain)] = cutoffs_of_profiles(
            profiles[np.isfinite(gain)], about.profile, self._wave_number
        )
        return found


def _psnr_of_correlation(
    about: _Templates, variance: FloatArray, covariance: FloatArray
) -> FloatArray:
    """PSNR after the best gain and offset: the error left is (1 - r²) of the variance."""
    explained = np.divide(covariance**2, variance, out=np.zeros_like(variance), where=variance > 0)
    return decibels(about.variance - explained, about.peak)
