"""The paper's method: match the views, then stretch strip after strip from left to right."""

import logging
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from stemscale.acquisition import Image
from stemscale.distortion.arrays import FloatArray
from stemscale.distortion.columns import normalised
from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.grids import on_other_count, onto_pixel_count
from stemscale.distortion.views import ViewMatch, ViewSearch, match_views
from stemscale.distortion.warp import Warp
from stemscale.errors import DistortionError, SettingsError

logger = logging.getLogger(__name__)

StripScore = Literal["zncc", "psnr"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StripSearch:
    """Which stretches along x to try, and on strips of which widths.

    Defaults are those of Ihara 2022, Method, "Distortion correction".

    Attributes
    ----------
    min_stretch, max_stretch : float
        Change of a strip's width, as a fraction of it (row C4).
    min_strip_px, max_strip_px : int
        Initial widths, all whole numbers between them (row C5) [px].
    strip_step_px : int
        Step between these widths; 1 tries every one [px].
    score : {"psnr", "zncc"}
        What makes one stretch better than another: as in the paper, or as is usually closer
        (``tests/benchmarks/bench_distortion.py``).
    views : ViewSearch
        How the views are matched before (rows C1, C2).
    """

    min_stretch: float = -0.5
    max_stretch: float = 1.0
    min_strip_px: int = 10
    max_strip_px: int = 100
    strip_step_px: int = 1
    score: StripScore = "psnr"
    views: ViewSearch = field(default_factory=ViewSearch)

    def __post_init__(self) -> None:
        if not -1 < self.min_stretch <= 0 <= self.max_stretch:
            raise SettingsError(
                f"stretches from {self.min_stretch:g} to {self.max_stretch:g} make no sense: "
                "needed are fractions with -1 < min_stretch <= 0 <= max_stretch"
            )
        if not 4 <= self.min_strip_px <= self.max_strip_px or self.strip_step_px < 1:
            raise SettingsError(
                f"strips from {self.min_strip_px} to {self.max_strip_px} px in steps of "
                f"{self.strip_step_px}: needed are at least 4 px, in ascending order"
            )
        if self.score not in ("zncc", "psnr"):
            raise SettingsError(f"score {self.score!r} is unknown: there are zncc and psnr")


def fit_strips(
    dcfi: Image,
    slow: Image,
    *,
    search: StripSearch = StripSearch(),
) -> DistortionMap:
    """Estimate the distortion as in the paper: greedily, strip by strip.

    Parameters
    ----------
    dcfi : ndarray, shape (y, x)
        Average of rapid frames [counts]; NaN = not seen.
    slow : ndarray, shape (y, x)
        Slow scan of the same area [counts].
    search : StripSearch

    Returns
    -------
    DistortionMap
        Without ``source_x_std``: the method gives none.

    Raises
    ------
    DistortionError
        As `match_views`; or if the image is narrower than two strips of every width.

    Notes
    -----
    Source: rows C1 to C6. A strip of the view-matched DCFI, of a given width, is stretched to
    every whole width from -50 to +100 %; the best match to as many columns of the slow scan is
    kept, both are cut off, and so on to the right edge. Every initial width is gone through, and
    the one whose finished image scores highest wins. Where the paper is silent:

    - Score: the paper says PSNR for the strips, and cross-correlation in another place
      (``score="zncc"``). Both are of high-passed images of one spread, as the different background
      of the two scans misleads a bare PSNR.
    - The stretch of -50 to +100 % is that of a strip after the views were matched.
    - The right edge: both scans end there once their views are matched. A stretch is tried only
      if what it leaves of both can still be matched within the same limits, and the last strip is
      all that is left, once that is narrower than one and a half strips.
    - Interpolation: a monotone cubic spline (PCHIP) runs through the *positions* of the cuts; one
      through the stretches would add up its errors, an unconstrained one overshoots and folds.
    - Whole columns are moved, so all scores come from inner products of pairs of columns, made
      once: every width is tried in about a second.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from stemscale.distortion import StripSearch, fit_strips
    >>> slow = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 2)
    >>> search = StripSearch(min_strip_px=30, max_strip_px=30)  # of one width only, to be quick
    >>> found = fit_strips(slow, slow, search=search)  # nothing is distorted
    >>> found.source_x[0, ::32].round(1).tolist()
    [0.0, 32.0, 64.0, 96.0]
    """
    view = match_views(dcfi, slow, search=search.views)
    same = onto_pixel_count(slow, dcfi.shape)
    straight = view_on_rapid_count(view, slow.shape[1], dcfi.shape)
    products = ColumnProducts.of(dcfi, same, straight, search.views.background_px)
    n_x = dcfi.shape[1]
    widths = range(search.min_strip_px, search.max_strip_px + 1, search.strip_step_px)
    fits = [_cut_strips(products, width, search) for width in widths if 2 * width <= n_x]
    if not fits:
        raise DistortionError(
            f"the rapid frames are {n_x} px wide, too narrow for two strips of "
            f"{search.min_strip_px} px: take smaller strips"
        )
    finished = [(products.score(_positions(*cuts, n_x), search.score), cuts) for cuts in fits]
    score, (slow_cuts, rapid_cuts) = max(finished, key=lambda one: one[0])
    logger.info("strips: %d cuts, %s %.3f", len(slow_cuts) - 1, search.score, score)
    at = on_other_count(np.arange(slow.shape[1]), slow.shape[1], n_x)
    stretched = _curve(slow_cuts, rapid_cuts, at)
    left, right = straight.source_x[0, 0], straight.source_x[0, -1]
    rows = on_other_count(np.arange(slow.shape[0]), slow.shape[0], dcfi.shape[0])
    return DistortionMap(
        source_x=(left + stretched * (right - left) / (n_x - 1))[None],
        source_y=(rows + view.row_offset)[:, None],
        rapid_shape=(dcfi.shape[0], n_x),
    )


def view_on_rapid_count(
    view: ViewMatch, slow_count: int, rapid_shape: tuple[int, ...]
) -> DistortionMap:
    """Return a view match's linear map for a slow scan resampled onto the rapid frames' count."""
    n_y, n_x = rapid_shape
    ends = on_other_count(np.array([0, n_x - 1]), n_x, slow_count)
    left, right = view.left + ends * (view.right - view.left) / (slow_count - 1)
    return DistortionMap(
        source_x=np.linspace(left, right, n_x)[None],
        source_y=(np.arange(n_y, dtype=np.float64) + view.row_offset)[:, None],
        rapid_shape=(n_y, n_x),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColumnProducts:
    """Sums over rows: all that a score of images with moved columns depends on."""

    n_y: int
    mixed: FloatArray  # (rapid x, slow x): column times column
    rapid_sum: FloatArray  # (x,)
    slow_sum: FloatArray
    rapid_power: FloatArray  # (x,): column times itself
    rapid_next: FloatArray  # (x,): column times its right neighbour
    slow_power: FloatArray

    @classmethod
    def of(cls, dcfi: Image, slow: Image, straight: DistortionMap, background_px: int) -> Self:
        """Take the sums over the view-matched DCFI and the slow scan."""
        cut = Warp(straight)(np.asarray(dcfi)[None])[0]
        rapid, fixed = (
            normalised(image, background_px=background_px, smooth_px=1.0).astype(np.float64)
            for image in (cut, slow)
        )
        fixed = np.where(np.isnan(cut), 0.0, fixed)
        rapid, fixed = rapid / rapid.std(), fixed / fixed.std()
        following = np.concatenate([rapid[:, 1:], rapid[:, -1:]], axis=1)
        return cls(
            n_y=rapid.shape[0],
            mixed=rapid.T @ fixed,
            rapid_sum=rapid.sum(axis=0),
            slow_sum=fixed.sum(axis=0),
            rapid_power=(rapid**2).sum(axis=0),
            rapid_next=(rapid * following).sum(axis=0),
            slow_power=(fixed**2).sum(axis=0),
        )

    def score(self, source: FloatArray, score: StripScore) -> float:
        """Score the whole image with the rapid column ``source`` (x,) at each slow column."""
        every = np.arange(source.size)
        return float(self.score_strips(source[None], every[None], np.ones((1, 1), bool), score)[0])

    def score_strips(
        self, source: FloatArray, target: NDArray[Any], used: NDArray[Any], score: StripScore
    ) -> FloatArray:
        """Score several stretched strips, each against its columns of the slow scan.

        Parameters
        ----------
        source : ndarray of float64, shape (strip, column)
            Rapid column, with a fraction.
        target : ndarray of int, shape (strip, column)
            Slow column.
        used : ndarray of bool, shape (strip, column)
            Strips differ in width.
        score : {"zncc", "psnr"}

        Returns
        -------
        ndarray of float64, shape (strip,)
        """
        last = self.rapid_sum.size - 1
        base = np.clip(np.floor(source), 0, last - 1).astype(np.int64)
        f = np.clip(source - base, 0, 1)
        g = 1 - f
        target = np.minimum(target, last)
        product = g * self.mixed[base, target] + f * self.mixed[base + 1, target]
        total = g * self.rapid_sum[base] + f * self.rapid_sum[base + 1]
        power = g**2 * self.rapid_power[base] + f**2 * self.rapid_power[base + 1]
        power += 2 * f * g * self.rapid_next[base]
        columns = (product, total, power, self.slow_sum[target], self.slow_power[target])
        p, r, rr, s, ss = (np.where(used, column, 0.0).sum(axis=1) for column in columns)
        count = self.n_y * np.broadcast_to(used, source.shape).sum(axis=1)
        if score == "psnr":
            error: FloatArray = (rr - 2 * p + ss) / count
            return np.asarray(-10 * np.log10(np.maximum(error, 1e-12)))
        scale = np.sqrt(np.maximum((rr - r**2 / count) * (ss - s**2 / count), 1e-12))
        return np.asarray((p - r * s / count) / scale)


Cuts = tuple[list[float], list[float]]


def _cut_strips(products: ColumnProducts, width: int, search: StripSearch) -> Cuts:
    """Return where slow scan and DCFI are cut, border to border [px from the left border]."""
    n_x = products.rapid_sum.size
    least, most = 1 + search.min_stretch, 1 + search.max_stretch
    widths = np.arange(int(np.ceil(width * least)), int(np.floor(width * most)) + 1)
    columns = np.arange(int(widths[-1]))
    within = (columns[None] + 0.5) * width / widths[:, None] - 0.5
    used = columns[None] < widths[:, None]
    slow_cuts, rapid_cuts = [0.0], [0.0]
    while n_x - rapid_cuts[-1] >= 1.5 * width:
        rest_rapid, rest_slow = n_x - rapid_cuts[-1] - width, n_x - slow_cuts[-1] - widths
        possible = (rest_slow >= least * rest_rapid) & (rest_slow <= most * rest_rapid)
        if not possible.any():
            break
        scores = products.score_strips(
            rapid_cuts[-1] + within,
            np.broadcast_to(int(slow_cuts[-1]) + columns, within.shape),
            used,
            search.score,
        )
        best = int(np.argmax(np.where(possible, scores, -np.inf)))
        slow_cuts.append(slow_cuts[-1] + int(widths[best]))
        rapid_cuts.append(rapid_cuts[-1] + width)
    return [*slow_cuts, float(n_x)], [*rapid_cuts, float(n_x)]


def _curve(slow_cuts: list[float], rapid_cuts: list[float], at: FloatArray) -> FloatArray:
    """Return the position in the view-matched DCFI for positions on the slow scan (row C6)."""
    # cuts lie on the borders between pixels, half a pixel before the centre of the next
    spline = PchipInterpolator(np.array(slow_cuts) - 0.5, np.array(rapid_cuts) - 0.5)
    position: FloatArray = spline(np.clip(at, slow_cuts[0] - 0.5, slow_cuts[-1] - 0.5))
    return position


def _positions(slow_cuts: list[float], rapid_cuts: list[float], n_x: int) -> FloatArray:
    return _curve(slow_cuts, rapid_cuts, np.arange(n_x, dtype=np.float64))
