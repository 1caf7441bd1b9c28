"""All scores of many frames against one reference, by a handful of products with templates."""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal.windows import hann

from stemscale.errors import FrameShapeError
from stemscale.quality.background import background_removed_from
from stemscale.quality.common import Image
from stemscale.quality.lag import tail_of_parts, tail_templates
from stemscale.quality.paper_score import PaperScore
from stemscale.quality.spectrum import agreement_cutoff, horizontal_profile, profile_of_columns
from stemscale.quality.streak import streak_of_gains, streak_templates

FloatArray = npt.NDArray[np.float64]
Frames = npt.NDArray[np.float32]  # (frame, y, x); NaN = not seen

_KEPT = 4  # sets of templates: frames of a series mostly see the same pixels
_STREAKS, _TAILS = 2, 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Templates:
    """What hangs on the reference and on the pixels seen in it and in a block of frames."""

    missing: npt.NDArray[np.bool_]  # (y, x), of the frames
    seen: npt.NDArray[np.bool_]  # (y, x), in both
    n_seen: int
    mean: float  # of the reference over what is seen
    variance: float
    peak: float  # range of the reference
    of_pixels: npt.NDArray[np.float32]  # (template, pixel): ones, reference, streak, tail
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
    paper : bool
        Whether to work out the paper's PSNR, and that by band, too: half of the time.

    Notes
    -----
    Streak and tail are linear in the image (:mod:`~stemscale.quality.streak`,
    :mod:`~stemscale.quality.lag`), a PSNR after a gain match is told by a correlation, and the
    horizontal profile of the spectrum by sums of columns. So each frame costs some products with
    images that are made once, 0.5 ms at 512 x 512, where the functions of one image take 200 ms.
    They agree to the digits that float32 holds, where all frames of a block see the same pixels;
    else what counts is what all of them see. May be used from several threads.
    """

    NAMES = ("psnr_matched", "streak", "lag_tail", "lag_delay", "agreement_cutoff")

    def __init__(
        self, reference: Image, *, pixel_size_nm: float | None, paper: bool = True
    ) -> None:
        self._reference = np.asarray(reference, dtype=np.float64)
        self._pixel_size_nm = pixel_size_nm
        self._paper = PaperScore(self._reference) if paper else None
        self._kept: list[_Templates | None] = []
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
            `agreement_cutoff` have them; NaN where they are not known. And, if asked for, ``psnr``
            [dB] and ``psnr_band`` (frame, band), see `PaperScore`.

        Raises
        ------
        FrameShapeError
            If frames and reference differ in shape.
        """
        if frames.ndim != 3 or frames.shape[1:] != self._reference.shape:
            raise FrameShapeError(
                f"frames have shape {frames.shape} but their reference has "
                f"{self._reference.shape}: bring both onto one grid first (calibrate)"
            )
        missing = np.isnan(frames)
        known = ~missing.all(axis=(1, 2))
        found: dict[str, FloatArray] = {n: np.full(len(frames), np.nan) for n in self.NAMES}
        if self._paper is not None:
            scored = [self._paper(frame) for frame in frames]
            found["psnr"] = np.array([whole for whole, _ in scored])
            found["psnr_band"] = np.array([bands for _, bands in scored]).reshape(len(frames), -1)
        if not known.any():
            return found
        templates = self._templates(np.asarray(missing[known].any(axis=0)))
        if templates is not None:
            for name, values in self._scores(frames[known], templates).items():
                found[name][known] = values
        return found

    def _scores(self, frames: Frames, about: _Templates) -> dict[str, FloatArray]:
        # float32 holds differences from a level of the frames, not the level and them
        level = np.float32(np.mean(frames[0], where=about.seen))
        flat = frames - level
        np.copyto(flat, np.float32(0), where=~about.seen)
        pixels = flat.reshape(len(flat), -1)
        products = (about.of_pixels @ pixels.T).astype(np.float64)
        squares = np.array([frame @ frame for frame in pixels], dtype=np.float64)
        mean = products[0] / about.n_seen  # over the level
        variance = np.maximum(squares / about.n_seen - mean**2, 0.0)
        covariance = products[1] / about.n_seen
        found = {"psnr_matched": _psnr_of_correlation(about, variance, covariance)}
        at = 2
        if about.has_streak:
            found["streak"] = streak_of_gains(products[at : at + _STREAKS])
            at += _STREAKS
        if about.has_tail:
            found["lag_tail"], found["lag_delay"] = tail_of_parts(products[at : at + _TAILS])
        found["agreement_cutoff"] = self._cutoffs(flat, mean, covariance, about)
        return found

    def _cutoffs(
        self, flat: Frames, mean: FloatArray, covariance: FloatArray, about: _Templates
    ) -> FloatArray:
        window = hann(flat.shape[1], sym=False)
        columns = np.matmul(window.astype(np.float32), flat).astype(np.float64)
        columns -= mean[:, None] * about.columns_seen
        # the gain that runs from the reference to the frame, whose noise would shrink the other
        gain = about.variance / np.where(covariance > 0, covariance, np.nan)
        columns = columns * gain[:, None] + about.mean * window.sum()
        known = np.isfinite(gain)
        found = np.full(len(flat), np.nan)
        found[known] = [
            agreement_cutoff(profile, about.profile, self._wave_number)
            for profile in profile_of_columns(columns[known])
        ]
        return found

    def _templates(self, missing: npt.NDArray[np.bool_]) -> _Templates | None:
        with self._lock:
            for kept in self._kept:
                if kept is not None and np.array_equal(kept.missing, missing):
                    return kept
            made = self._make(missing)
            self._kept = [made, *self._kept][:_KEPT]
        return made

    def _make(self, missing: npt.NDArray[np.bool_]) -> _Templates | None:
        seen = ~(missing | np.isnan(self._reference))
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
        templates = np.concatenate([seen[None], flat[None], *linear])
        _, profile = horizontal_profile(
            np.where(seen, self._reference, np.nan), pixel_size_nm=self._pixel_size_nm
        )
        return _Templates(
            missing=missing,
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
