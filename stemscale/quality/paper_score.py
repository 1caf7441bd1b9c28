"""The paper's PSNR of many frames against one reference, in all and by band."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.quality.common_pixels import Image, require_same_shape
from stemscale.quality.decibels import decibels
from stemscale.quality.gain import PAPER_PEAK, min_max_scale
from stemscale.quality.psnr import PAPER_BANDS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Seen:
    """The reference over the pixels that a kind of frame shows, ordered by band."""

    missing: npt.NDArray[np.bool_]  # (y, x), of the frame
    order: npt.NDArray[np.intp]  # (n,) places of the pixels, band after band
    limits: tuple[int, ...]  # where a band ends
    scaled: npt.NDArray[np.float64]  # (n,) reference, 0 … 65535


class PaperScore:
    """`psnr_paper` and `psnr_by_band` of frame after frame, at a fifteenth of the time.

    What hangs on the reference and on which pixels are seen is worked out once, as frames of a
    series mostly see the same pixels. May be used from several threads.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
        Slow scan, on the grid of the frames; NaN = not seen.
    edges : sequence of float
        Ascending limits of the bands, see `psnr_by_band`.

    Notes
    -----
    Source: Ihara 2022, Method, "Definition of PSNR" (rows Q1, Q3).

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.quality import PaperScore
    >>> score = PaperScore(np.array([[0.0, 30000.0, 65535.0]]))
    >>> psnr, by_band = score(np.array([[0.0, 36553.5, 65535.0]]))
    >>> round(psnr, 2)  # of three pixels one is wrong by a tenth: 20 dB + 10 log10(3)
    24.77
    >>> [round(band, 2) for band in by_band]
    [inf, 20.0, inf]
    """

    def __init__(self, reference: Image, *, edges: Sequence[float] = PAPER_BANDS) -> None:
        self._reference, self._edges = reference, np.asarray(edges, dtype=np.float64)
        self._last: _Seen | None = None
        self._lock = threading.Lock()

    def __call__(self, frame: Image) -> tuple[float, tuple[float, ...]]:
        """Score a frame.

        Parameters
        ----------
        frame : ndarray, shape (y, x)
            Intensities; NaN = not seen.

        Returns
        -------
        psnr : float
            [dB]; NaN where frame or reference is constant over the pixels seen in both, or none is.
        by_band : tuple of float
            [dB]; NaN where the reference has no pixel in the band.

        Raises
        ------
        FrameShapeError
            If the frame has not the reference's shape.
        """
        require_same_shape(frame, self._reference)
        seen = self._seen(np.isnan(frame))
        unknown = float("nan"), (float("nan"),) * (self._edges.size - 1)
        if seen is None:
            return unknown
        found = np.take(frame, seen.order, mode="clip")  # none is out of bounds; it is quicker
        low = float(found.min())
        range_ = float(found.max()) - low
        if range_ == 0:
            return unknown
        pixels = np.subtract(found, low, dtype=np.float64)
        pixels *= PAPER_PEAK / range_
        pixels -= seen.scaled
        starts = (0, *seen.limits[:-1])
        parts = [pixels[a:b] for a, b in zip(starts, seen.limits, strict=True)]
        errors = [float(part @ part) for part in parts]
        # the edges need not take in all pixels: the rest lies behind the last one
        rest = pixels[seen.limits[-1] :]
        total = sum(errors) + float(rest @ rest)
        by_band = [_db(e, part.size) for e, part in zip(errors, parts, strict=True)]
        return _db(total, pixels.size), tuple(by_band)

    def _seen(self, missing: npt.NDArray[np.bool_]) -> _Seen | None:
        last = self._last
        if last is not None and np.array_equal(last.missing, missing):
            return last
        with self._lock:
            found = self._look(missing)
            self._last = found or self._last
        return found

    def _look(self, missing: npt.NDArray[np.bool_]) -> _Seen | None:
        places = np.flatnonzero(~(missing | np.isnan(self._reference)))
        values = np.asarray(self._reference.ravel()[places], dtype=np.float64)
        if not values.size or np.ptp(values) == 0:
            return None
        scaled = min_max_scale(values)
        inner = self._edges.copy()
        inner[-1] = np.nextafter(inner[-1], np.inf)  # the brightest pixel belongs to the last band
        band = np.digitize(scaled, inner) - 1
        n_bands = inner.size - 1
        band[(band < 0) | (band >= n_bands)] = n_bands
        order = np.argsort(band, kind="stable")
        ends = np.searchsorted(band[order], np.arange(n_bands), side="right")
        return _Seen(
            missing=missing,
            order=places[order],
            limits=tuple(int(end) for end in ends),
            scaled=scaled[order],
        )


def _db(squares: float, n: int) -> float:
    return float(decibels(squares / n, PAPER_PEAK)) if n else float("nan")
