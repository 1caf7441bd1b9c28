"""What the slow scan predicts for the rapid one, how far off that is, and what it counts."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter1d

from stemscale.acquisition import Image
from stemscale.distortion.arrays import Float32, FloatArray
from stemscale.distortion.contrast import HighPass, standardise, white_noise
from stemscale.distortion.forward import (
    LAG_PX,
    Sampled,
    SlowScan,
    delayed,
    fit_lag,
    inner_products,
)

EDGE_PX = 2.0  # next to the border of the slow view, where the spline has half of its taps
_SLOPE_PX = 1.5  # Gaussian against noise, and against a small misfit
_SLOPE_BACKGROUND_PX = 6.0  # slopes that vary more slowly are background
_SLOPE_COLUMNS = 15  # averaged over
_SIGNIFICANT = 3.0  # standard deviations by which slopes must correlate
_CORRELATED_PX = 10  # residuals further apart are taken as independent
_NOISE_SHARE = 0.85  # of the slow scan's noise that is taken off, see `View`


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """The rapid image against what one path predicts."""

    sampled: Sampled
    tails: list[Float32]  # the image delayed and high-passed, of each length that has a share
    lag: FloatArray
    residual: Float32
    cost: float  # sum of squared residuals, but for what the slow scan's noise adds


class View:
    """One pair of images, smoothed for one level of the fit, and the pixels that count.

    The pixels are chosen once, from the path at the start: were those that leave the slow view to
    drop out of the cost, a fit could lower it by pushing everything out. Columns weigh by how much
    of what changes along x both images share: in an empty stretch, the noise of the slow scan
    would hold the path where it happened to start.

    The slow scan has noise, too. It would pass for a lag, as what is smeared predicts better than
    what is noisy, and the path would make up for that lag by coming too early (errors in
    variables): by 0.3 px at the reference settings. So white noise of its strength is sampled as
    the slow scan is, and what it adds to the cost taken off. All of it would be too much, by
    0.1 px: directions in which the delays look alike are then too weak as often as too strong, and
    count by their inverse.
    """

    def __init__(
        self, rapid: Image, slow: Image, *, smooth_px: float, background_px: int, degree: int = 0
    ) -> None:
        self._filled, self._seen = standardise(rapid, smooth_px)
        filled, seen = standardise(slow, 0.0)
        self._slow = SlowScan(filled, smooth_px=smooth_px)
        noise = np.random.default_rng(0).normal(0, np.sqrt(white_noise(filled, seen)), slow.shape)
        self._slow_noise = SlowScan(noise.astype(np.float32), smooth_px=smooth_px)
        self._noise_gram = np.zeros((len(LAG_PX), len(LAG_PX)))
        n_y = rapid.shape[0]
        self.along_y = along_rows(np.arange(n_y, dtype=np.float64), n_y, degree)
        self._edge_px = EDGE_PX + 2 * smooth_px  # what smoothing carries in from beyond the border
        self._background_px = background_px
        self._choose(self._seen)
        self.precision = 1.0

    def count(self, path: FloatArray, offset_x: FloatArray, offset_y: FloatArray) -> None:
        """Choose the pixels that count: seen by the rapid scan and within the slow one.

        Parameters
        ----------
        path : ndarray of float64, shape (n_x,)
            Of all views.
        offset_x, offset_y : ndarray of float64, shape (degree + 1,)
            Of this one.
        """
        n_y, n_x = self._seen.shape
        columns, rows = self._places(path, offset_x, offset_y)
        across = (columns >= self._edge_px) & (columns <= n_x - 1 - self._edge_px)
        down = (rows >= self._edge_px) & (rows <= n_y - 1 - self._edge_px)
        self._choose(self._seen & across & down[:, None])
        sampled = self._slow.sample(columns, rows)
        share = shared_slopes(sampled.image, self._filled, self._counted > 0)
        self._root = np.sqrt(share).astype(np.float32)[None]
        self.weight = float((self._counted * self._root**2).sum())
        noise = self._delayed(self._slow_noise.sample(columns, rows).image)
        self._noise_gram = _NOISE_SHARE * inner_products(noise, noise)

    def _places(
        self, path: FloatArray, offset_x: FloatArray, offset_y: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the slow scan's column, (1, x) or (y, x), and row, (y,), at each rapid pixel."""
        by_row = self.along_y @ offset_x if offset_x.size > 1 else offset_x
        rows = np.arange(self._seen.shape[0]) - self.along_y @ offset_y
        return path[None] + by_row[:, None], rows

    def _delayed(self, image: Float32) -> list[Float32]:
        return [self.prepare(delayed(image, length)) for length in LAG_PX]

    def _choose(self, counted: NDArray[np.bool_]) -> None:
        self._high_pass = HighPass(counted, self._background_px)
        self._counted = counted.astype(np.float32)
        self.columns = counted.any(axis=0)
        self._root = np.ones((1, counted.shape[1]), dtype=np.float32)
        self.weight = float(self._counted.sum())

    def prepare(self, image: Float32) -> Float32:
        """Return an image of the rapid grid high-passed and weighted, for sums of squares."""
        return self._high_pass(image) * self._root

    def compare(self, path: FloatArray, offset_x: FloatArray, offset_y: FloatArray) -> Comparison:
        """Predict the rapid image and say how far off it is; parameters as for `count`."""
        sampled = self._slow.sample(*self._places(path, offset_x, offset_y))
        rapid = self.prepare(self._filled)
        parts = self._delayed(sampled.image)
        lag = fit_lag(parts, rapid, self._noise_gram)
        residual = rapid
        for part, weight in zip(parts, lag, strict=True):
            residual -= np.float32(weight) * part
        tails = [part for part, weight in zip(parts, lag, strict=True) if weight > 0]
        cost = float((residual**2).sum()) - float(lag @ self._noise_gram @ lag)
        return Comparison(sampled=sampled, tails=tails, lag=lag, residual=residual, cost=cost)

    def weigh(self, residual: Float32) -> None:
        """Set the precision of a pixel from the residuals: their power, and how they correlate."""
        power = float((residual**2).sum()) / max(self.weight, 1.0)
        extent = _correlation_length(residual, 0) * _correlation_length(residual, 1)
        self.precision = 1.0 / max(power * extent, 1e-12)


def along_rows(rows: FloatArray, n_y: int, degree: int) -> FloatArray:
    """Return the polynomials that offsets are made of, at rows of a frame of ``n_y`` rows.

    Parameters
    ----------
    rows : ndarray of float64, shape (n,)
        Rapid rows; beyond the frame, those of its border count [px].
    n_y, degree : int

    Returns
    -------
    ndarray of float64, shape (n, degree + 1)
    """
    unit = np.clip(2 * rows / max(n_y - 1, 1) - 1, -1, 1)
    return np.asarray(legendre.legvander(unit, degree), dtype=np.float64)


def shared_slopes(left: Float32, right: Float32, counted: NDArray[np.bool_]) -> FloatArray:
    """Return, per column, the share of one image's slopes along x that the other has as well.

    Parameters
    ----------
    left, right : ndarray of float32, shape (y, x)
        Of independent noise, and not cut off where they do not count: next to such a cut, two
        empty images would be alike.
    counted : ndarray of bool, shape (y, x)
        Pixels that count.

    Returns
    -------
    ndarray of float64, shape (x,)
        1e-4 where there is nothing but noise, to 1.
    """
    slopes = []
    for image in (left, right):
        slope = gaussian_filter(image, _SLOPE_PX, order=(0, 1), mode="nearest")
        slope -= gaussian_filter(slope, _SLOPE_BACKGROUND_PX, mode="nearest")
        slopes.append(np.where(counted, slope, 0))
    both, one, other = (
        uniform_filter1d((a * b).sum(axis=0, dtype=np.float64), _SLOPE_COLUMNS)
        for a, b in (slopes, (slopes[0], slopes[0]), (slopes[1], slopes[1]))
    )
    # running sums leave rounding errors where nothing counts
    one, other = (np.maximum(power, 1e-12 * max(power.max(), 1e-30)) for power in (one, other))
    share = both / np.sqrt(one * other)
    # slopes of noise correlate by chance: by one over the root of how many are independent
    independent = counted.any(axis=1).sum() * _SLOPE_COLUMNS / (4 * np.pi * _SLOPE_PX**2)
    least = _SIGNIFICANT / np.sqrt(max(independent, 1.0))
    usual = max(float(np.quantile(share, 0.9)), 2 * least)
    return np.asarray(np.clip((share - least) / (usual - least), 1e-4, 1.0), dtype=np.float64)


def _correlation_length(residual: Float32, axis: int) -> float:
    """Return how many pixels along an axis carry the information of one."""
    moved = np.moveaxis(residual, axis, -1)
    power = float((moved**2).mean()) + 1e-12
    total = 1.0
    for lag in range(1, _CORRELATED_PX + 1):
        share = float((moved[..., lag:] * moved[..., :-lag]).mean()) / power
        if share < 0.02:
            break
        total += 2 * share
    return total
