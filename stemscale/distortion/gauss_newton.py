"""Fit the beam's path by Gauss-Newton steps on what the slow scan predicts for the rapid one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter1d

from stemscale.acquisition import Image
from stemscale.distortion.arrays import Float32, FloatArray
from stemscale.distortion.beam import BeamPath
from stemscale.distortion.contrast import HighPass, fill_unseen, white_noise
from stemscale.distortion.forward import (
    LAG_PX,
    Sampled,
    SlowScan,
    delayed,
    fit_lag,
    inner_products,
    lagged,
)

EDGE_PX = 2.0  # next to the border of the slow view, where the spline has half of its taps
_SLOPE_PX = 1.5  # Gaussian against noise, and against a small misfit
_SLOPE_BACKGROUND_PX = 6.0  # slopes that vary more slowly are background
_SLOPE_COLUMNS = 15  # averaged over
_SIGNIFICANT = 3.0  # standard deviations by which slopes must correlate
_CORRELATED_PX = 10  # residuals further apart are taken as independent
_NOISE_SHARE = 0.85  # of the slow scan's noise that is taken off, see `View`
_MOST_DAMPING = 1e2
_LEAST_GAIN = 1e-4  # of the cost: a step that gains less is the last one
_MIN_RATE = 0.2  # slow columns per rapid column: below, the path is about to fold


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class State:
    """What is fitted: one path, and each view's own offsets.

    Offsets are Legendre polynomials of the rapid row, from -1 at the first to 1 at the last; of
    degree 0, they are one number for the whole frame.
    """

    path: FloatArray  # (knots,) spline coefficients
    offset_x: FloatArray  # (view, degree + 1) added to the path [slow px]
    offset_y: FloatArray  # (view, degree + 1) rapid row less slow row [px]

    def of_degree(self, degree: int) -> Self:
        """Return this state with offsets of another degree; what is new in them starts at 0."""
        grown = np.zeros((2, self.offset_x.shape[0], degree + 1))
        kept = min(degree + 1, self.offset_x.shape[1])
        for new, old in zip(grown, (self.offset_x, self.offset_y), strict=True):
            new[:, :kept] = old[:, :kept]
        return replace(self, offset_x=grown[0], offset_y=grown[1])


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Offsets:
    """What is known of the views' offsets before the fit: mean and standard deviation [px]."""

    std_x: float
    mean_y: FloatArray  # (view,)
    std_y: float
    std_along_y: float  # of each polynomial by which offsets change from row to row

    def precision(self, std: float, degree: int) -> FloatArray:
        """Return the inverse variance of one view's offsets, shape (degree + 1,) [1/px²]."""
        return np.array([std, *[self.std_along_y] * degree]) ** -2.0


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
        self._filled, self._seen = fill_unseen(rapid, smooth_px)
        filled, seen = fill_unseen(slow, 0.0)
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """The rapid image against what one path predicts."""

    sampled: Sampled
    tails: list[Float32]  # the image delayed and high-passed, of each length that has a share
    lag: FloatArray
    residual: Float32
    cost: float  # sum of squared residuals, but for what the slow scan's noise adds


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


class Fit:
    """Views of one scan setting and the path through them."""

    def __init__(self, views: Sequence[View], beam: BeamPath, offsets: Offsets) -> None:
        self._views = views
        self._beam = beam
        self._offsets = offsets

    def run(self, state: State, *, steps: int, close_px: float = 0.01) -> State:
        """Improve a state until the steps become small (Levenberg-Marquardt).

        Only steps that lower the cost and keep the path rising are taken.

        Parameters
        ----------
        state : State
            Within a few px of the answer.
        steps : int
            At most.
        close_px : float
            A step that moves no column in view further than this is the last one [px].

        Returns
        -------
        State
        """
        path = self._beam.path(state.path)
        for number, view in enumerate(self._views):
            view.count(path, state.offset_x[number], state.offset_y[number])
        compared = self._compare(state)
        damping = 1e-3
        for _ in range(steps):
            for view, comparison in zip(self._views, compared, strict=True):
                view.weigh(comparison.residual)
            normal, right = self._normal_equations(state, compared)
            cost = self._cost(state, compared)
            while True:
                scale = damping * np.diag(np.diag(normal))
                step = np.asarray(np.linalg.solve(normal + scale, right), dtype=np.float64)
                tried = self._moved(state, step)
                if self._rises(tried):
                    outcome = self._compare(tried)
                    lowered = self._cost(tried, outcome)
                    if lowered < cost:
                        break
                damping *= 10
                if damping > _MOST_DAMPING:
                    return state
            state, compared, damping = tried, outcome, max(damping / 10, 1e-6)
            if self._largest_move(step) < close_px or cost - lowered < _LEAST_GAIN * abs(cost):
                break
        return state

    def covariance(self, state: State) -> FloatArray:
        """Return the covariance of what is fitted, from the curvature of the cost.

        Parameters
        ----------
        state : State

        Returns
        -------
        ndarray of float64
            In the order path, offset_x view by view, offset_y view by view.
        """
        compared = self._compare(state)
        for view, comparison in zip(self._views, compared, strict=True):
            view.weigh(comparison.residual)
        normal, _ = self._normal_equations(state, compared)
        return np.asarray(np.linalg.inv(normal), dtype=np.float64)

    def seen(self) -> tuple[int, int]:
        """Return the first and the last rapid column that counts in any view."""
        columns = np.flatnonzero(np.any([view.columns for view in self._views], axis=0))
        return int(columns[0]), int(columns[-1])

    def _rises(self, state: State) -> bool:
        first, last = self.seen()
        path = self._beam.path(state.path)[max(0, first - 3) : last + 4]
        return bool(np.diff(path).min() > _MIN_RATE)

    def _largest_move(self, step: FloatArray) -> float:
        knots = self._beam.basis.shape[1]
        first, last = self.seen()
        move = np.abs(self._beam.path(step[:knots]))[first : last + 1]
        return float(max(move.max(initial=0.0), np.abs(step[knots:]).max()))

    def _compare(self, state: State) -> list[Comparison]:
        path = self._beam.path(state.path)
        return [
            view.compare(path, state.offset_x[number], state.offset_y[number])
            for number, view in enumerate(self._views)
        ]

    def _cost(self, state: State, compared: Sequence[Comparison]) -> float:
        data = sum(v.precision * c.cost for v, c in zip(self._views, compared, strict=True))
        bend = float(state.path @ self._beam.prior @ state.path)
        away = [(a**2 * p).sum() for a, p in self._away(state)]
        return float(data + bend + sum(away))

    def _away(self, state: State) -> list[tuple[FloatArray, FloatArray]]:
        """Return how far offset_x and offset_y are from what was expected, and the precision."""
        degree = state.offset_x.shape[1] - 1
        y = state.offset_y.copy()
        y[:, 0] -= self._offsets.mean_y
        stds = (self._offsets.std_x, self._offsets.std_y)
        pairs = zip((state.offset_x, y), stds, strict=True)
        return [(away, self._offsets.precision(std, degree)) for away, std in pairs]

    def _moved(self, state: State, step: FloatArray) -> State:
        knots = state.path.size
        path, x, y = np.split(step, [knots, knots + state.offset_x.size])
        return State(
            path=state.path + path,
            offset_x=state.offset_x + x.reshape(state.offset_x.shape),
            offset_y=state.offset_y + y.reshape(state.offset_y.shape),
        )

    def _normal_equations(
        self, state: State, compared: Sequence[Comparison]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the curvature matrix and minus the gradient (both halved), prior included.

        A column moves as a whole, but for polynomials of the row, so the images enter by sums.
        """
        knots, of_views = state.path.size, state.offset_x.size
        size = knots + 2 * of_views
        normal = np.zeros((size, size))
        right = np.zeros(size)
        normal[:knots, :knots] = self._beam.prior
        right[:knots] = -self._beam.prior @ state.path
        for number, (view, comparison) in enumerate(zip(self._views, compared, strict=True)):
            own = place_of(state, number)
            at = np.concatenate([np.arange(knots), own, own + of_views])
            block, gradient = _sums(view, comparison, self._beam.basis)
            normal[np.ix_(at, at)] += view.precision * block
            right[at] += view.precision * gradient
        for start, (away, precision) in zip(
            (knots, knots + of_views), self._away(state), strict=True
        ):
            at = np.arange(start, start + of_views)
            normal[at, at] += np.broadcast_to(precision, away.shape).ravel()
            right[at] -= (away * precision).ravel()
        return normal, right


def place_of(state: State, number: int) -> NDArray[np.int64]:
    """Return where the offsets along x of one view stand among what is fitted."""
    per_view = state.offset_x.shape[1]
    start = state.path.size + number * per_view
    return np.arange(start, start + per_view, dtype=np.int64)


def _sums(view: View, comparison: Comparison, basis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return one view's part of the normal equations for (path, offset_x, offset_y).

    What the lag could make good of a step is taken off the curvature (variable projection): a
    shift of all columns and a longer lag look much alike, and steps that ignore this creep.
    """
    slope_x = view.prepare(lagged(comparison.sampled.slope_x, comparison.lag))
    slope_y = view.prepare(lagged(comparison.sampled.slope_y, comparison.lag))
    along = view.along_y
    degrees = along.shape[1]
    products = (along[:, :, None] * along[:, None, :]).reshape(along.shape[0], -1)

    def moments(image: Float32) -> FloatArray:
        """Return the sums over y with each pair of polynomials, (degrees, degrees, x)."""
        return (products.T @ image.astype(np.float64)).reshape(degrees, degrees, -1)

    def onto(image: Float32) -> FloatArray:
        across, down = slope_x * image, slope_y * image
        on_path = basis.T @ across.sum(axis=0, dtype=np.float64)
        rows = (along.T @ part.sum(axis=1, dtype=np.float64) for part in (across, down))
        return np.concatenate([on_path, *rows])

    x_x, x_y, y_y = (
        moments(a * b) for a, b in ((slope_x,) * 2, (slope_x, slope_y), (slope_y,) * 2)
    )
    path_path = basis.T @ (x_x[0, 0][:, None] * basis)
    path_x, path_y = basis.T @ x_x[0].T, basis.T @ x_y[0].T
    on_x, on_xy, on_y = (part.sum(axis=2) for part in (x_x, x_y, y_y))
    block = np.block(
        [
            [path_path, path_x, path_y],
            [path_x.T, on_x, on_xy],
            [path_y.T, on_xy.T, on_y],
        ]
    )
    if comparison.tails:
        gram = inner_products(comparison.tails, comparison.tails)
        shared = np.stack([onto(tail) for tail in comparison.tails], axis=1)
        block -= shared @ np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ shared.T
    return block, onto(comparison.residual)
