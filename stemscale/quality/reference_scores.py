"""All scores of many frames against one reference, by a handful of products with templates."""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal.windows import hann

from stemscale.errors import FrameShapeError
from stemscale.quality.background import background_removed_from
from stemscale.quality.common import Image
from stemscale.quality.flat_frames import FlatFrames, Frames
from stemscale.quality.lag import tail_of_parts, tail_templates
from stemscale.quality.spectrum import cutoffs_of_profiles, horizontal_profile, profile_of_columns
from stemscale.quality.streak import streak_of_gains, streak_templates

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
    of_pixels: npt.NDArray[np.float32]  # (template, pixel): reference, streak, tail
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

    def __call__(self, frames: Frames | FlatFrames) -> dict[str, FloatArray]:
        """Score a block.

        Parameters
        ----------
        frames : ndarray of float32, shape (frame, y, x), or FlatFrames
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
        if len(frames.shape) != 3 or frames.shape[1:] != self._reference.shape:
            raise FrameShapeError(
                f"frames have shape {frames.shape} but their reference has "
                f"{self._reference.shape}: bring both onto one grid first (calibrate)"
            )
        flat = frames if isinstance(frames, FlatFrames) else FlatFrames.of(frames)
        found: dict[str, FloatArray] = {n: np.full(flat.shape[0], np.nan) for n in self.NAMES}
        about = self._templates(flat.seen) if flat.known.any() else None
        if about is not None:
            for name, values in self._scores(flat.within(about.seen), about).items():
                found[name] = np.where(flat.known, values, np.nan)
        return found

    def _scores(self, flat: FlatFrames, about: _Templates) -> dict[str, FloatArray]:
        products = (about.of_pixels @ flat.pixels.T).astype(np.float64)
        mean = flat.sums / about.n_seen  # over the level
        variance = np.maximum(flat.squares / about.n_seen - mean**2, 0.0)
        covariance = products[0] / about.n_seen
        found = {"psnr_matched": _psnr_of_correlation(about, variance, covariance)}
        at = 1
        if about.has_streak:
            found["streak"] = streak_of_gains(products[at : at + _STREAKS])
            at += _STREAKS
        if about.has_tail:
            found["lag_tail"], found["lag_delay"] = tail_of_parts(products[at : at + _TAILS])
        found["agreement_cutoff"] = self._cutoffs(flat, mean, covariance, about)
        return found

    def _cutoffs(
        self, flat: FlatFrames, mean: FloatArray, covariance: FloatArray, about: _Templates
    ) -> FloatArray:
        window = hann(flat.shape[1], sym=False)
        columns = np.matmul(window.astype(np.float32), flat.pixels.reshape(flat.shape))
        # the gain that runs from the reference to the frame, whose noise would shrink the other
        gain = about.variance / np.where(covariance > 0, covariance, np.nan)
        over = columns.astype(np.float64) - mean[:, None] * about.columns_seen
        profiles = profile_of_columns(over * gain[:, None] + about.mean * window.sum())
        found: FloatArray = np.full(len(gain), np.nan)
        found[np.isfinite(gain)] = cutoffs_of_profiles(
            profiles[np.isfinite(gain)], about.profile, self._wave_number
        )
        return found

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
            of_pixels=templates.reshape(len(templates), -1).astype(np.float32),
            has_streak=streaks is not None,
            has_tail=tails is not None,
            profile=profile,
            columns_seen=hann(seen.shape[0], sym=False) @ seen,
        )


def _psnr_of_correlation(
    about: _Templates, variance: FloatArray, covariance: FloatArray
) -> FloatArray:
    """PSNR after the best gain and offset: the error left is (1 - r²) of the variance."""
    explained = np.divide(covariance**2, variance, out=np.zeros_like(variance), where=variance > 0)
    error = about.variance - explained
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = np.where(
            error > 0, 10.0 * np.log10(about.peak**2 / np.abs(error)), np.inf
        )
    return found
