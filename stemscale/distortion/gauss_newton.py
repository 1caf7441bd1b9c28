"""Fit the beam's path by Gauss-Newton steps on what the slow scan predicts for the rapid one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion.arrays import Float32, FloatArray
from stemscale.distortion.beam import BeamPath
from stemscale.distortion.forward import inner_products, lagged
from stemscale.distortion.prediction import Comparison, View

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
