"""Fit the beam's path by Gauss-Newton steps on what the slow scan predicts for the rapid one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter1d

from stemscale.distortion.beam import BeamPath
from stemscale.distortion.contrast import HighPass, fill_unseen
from stemscale.distortion.forward import (
    LAG_PX,
    Sampled,
    SlowScan,
    delayed,
    fit_lag,
    inner_products,
    lagged,
)

Image = NDArray[Any]
Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]

EDGE_PX = 2.0  # next to the border of the slow view, where the spline has half of its taps
_SLOPE_PX = 1.5  # Gaussian against noise, and against a small misfit
_SLOPE_BACKGROUND_PX = 6.0  # slopes that vary more slowly are background
_SLOPE_COLUMNS = 15  # averaged over
_SIGNIFICANT = 3.0  # standard deviations by which slopes must correlate
_CORRELATED_PX = 10  # residuals further apart are taken as independent
_MOST_DAMPING = 1e2
_LEAST_GAIN = 1e-4  # of the cost: a step that gains less is the last one
_MIN_RATE = 0.2  # slow columns per rapid column: below, the path is about to fold


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class State:
    """What is fitted: one path, and each view's own offsets."""

    path: FloatArray  # (knots,) spline coefficients
    offset_x: FloatArray  # (view,) added to the path [slow px]
    offset_y: FloatArray  # (view,) rapid row less slow row [px]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Offsets:
    """What is known of the views' offsets before the fit: mean and standard deviation [px]."""

    std_x: float
    mean_y: FloatArray
    std_y: float


class View:
    """One pair of images, smoothed for one level of the fit, and the pixels that count.

    The pixels are chosen once, from the path at the start: were those that leave the slow view to
    drop out of the cost, a fit could lower it by pushing everything out. Columns weigh by how much
    of what changes along x both images share: in an empty stretch, the noise of the slow scan
    would hold the path where it happened to start.
    """

    def __init__(self, rapid: Image, slow: Image, *, smooth_px: float, background_px: int) -> None:
        self._filled, self._seen = fill_unseen(rapid, smooth_px)
        self._slow = SlowScan(fill_unseen(slow, 0.0)[0], smooth_px=smooth_px)
        self._edge_px = EDGE_PX + 2 * smooth_px  # what smoothing carries in from beyond the border
        self._background_px = background_px
        self._choose(self._seen)
        self.precision = 1.0

    def count(self, path: FloatArray, row_offset: float) -> None:
        """Choose the pixels that count: seen by the rapid scan and within the slow one."""
        n_y, n_x = self._seen.shape
        row = np.arange(n_y) - row_offset
        columns = (path >= self._edge_px) & (path <= n_x - 1 - self._edge_px)
        rows = (row >= self._edge_px) & (row <= n_y - 1 - self._edge_px)
        self._choose(self._seen & columns[None] & rows[:, None])
        sampled = self._slow.sample(path, row_offset)
        share = shared_slopes(sampled.image, self._filled, self._counted > 0)
        self._root = np.sqrt(share).astype(np.float32)[None]
        self.weight = float((self._counted * self._root**2).sum())

    def _choose(self, counted: NDArray[np.bool_]) -> None:
        self._high_pass = HighPass(counted, self._background_px)
        self._counted = counted.astype(np.float32)
        self.columns = counted.any(axis=0)
        self._root = np.ones((1, counted.shape[1]), dtype=np.float32)
        self.weight = float(self._counted.sum())

    def prepare(self, image: Float32) -> Float32:
        """Return an image of the rapid grid high-passed and weighted, for sums of squares."""
        return self._high_pass(image) * self._root

    def compare(self, path: FloatArray, row_offset: float) -> Comparison:
        """Predict the rapid image and say how far off it is."""
        sampled = self._slow.sample(path, row_offset)
        rapid = self.prepare(self._filled)
        parts = [self.prepare(delayed(sampled.image, length)) for length in LAG_PX]
        lag = fit_lag(parts, rapid)
        residual = rapid
        for part, weight in zip(parts, lag, strict=True):
            residual -= np.float32(weight) * part
        tails = [part for part, weight in zip(parts, lag, strict=True) if weight > 0]
        return Comparison(sampled=sampled, tails=tails, lag=lag, residual=residual)

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

    @property
    def cost(self) -> float:
        """Sum of squared residuals."""
        return float((self.residual**2).sum())


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
            view.count(path + state.offset_x[number], state.offset_y[number])
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
            if self._largest_move(step) < close_px or lowered > (1 - _LEAST_GAIN) * cost:
                break
        return state

    def covariance(self, state: State) -> FloatArray:
        """Return the covariance of (path, offset_x, offset_y) from the curvature of the cost."""
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
            view.compare(path + state.offset_x[number], state.offset_y[number])
            for number, view in enumerate(self._views)
        ]

    def _cost(self, state: State, compared: Sequence[Comparison]) -> float:
        data = sum(v.precision * c.cost for v, c in zip(self._views, compared, strict=True))
        bend = float(state.path @ self._beam.prior @ state.path)
        away = ((state.offset_x / self._offsets.std_x) ** 2).sum()
        away += (((state.offset_y - self._offsets.mean_y) / self._offsets.std_y) ** 2).sum()
        return float(data + bend + away)

    def _moved(self, state: State, step: FloatArray) -> State:
        knots, views = state.path.size, state.offset_x.size
        return replace(
            state,
            path=state.path + step[:knots],
            offset_x=state.offset_x + step[knots : knots + views],
            offset_y=state.offset_y + step[knots + views :],
        )

    def _normal_equations(
        self, state: State, compared: Sequence[Comparison]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the curvature matrix and minus the gradient (both halved), prior included.

        A whole column moves with the path, so the images enter by their column sums only.
        """
        knots, views = state.path.size, state.offset_x.size
        size = knots + 2 * views
        normal = np.zeros((size, size))
        right = np.zeros(size)
        normal[:knots, :knots] = self._beam.prior
        right[:knots] = -self._beam.prior @ state.path
        for number, (view, comparison) in enumerate(zip(self._views, compared, strict=True)):
            at = np.array([*range(knots), knots + number, knots + views + number])
            block, gradient = _column_sums(view, comparison, self._beam.basis)
            normal[np.ix_(at, at)] += view.precision * block
            right[at] += view.precision * gradient
        on_x, on_y = slice(knots, knots + views), slice(knots + views, size)
        ones = np.ones(views)
        normal[on_x, on_x] += np.diag(ones / self._offsets.std_x**2)
        normal[on_y, on_y] += np.diag(ones / self._offsets.std_y**2)
        right[on_x] -= state.offset_x / self._offsets.std_x**2
        right[on_y] -= (state.offset_y - self._offsets.mean_y) / self._offsets.std_y**2
        return normal, right


def _column_sums(
    view: View, comparison: Comparison, basis: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return one view's part of the normal equations for (path, offset_x, offset_y).

    What the lag could make good of a step is taken off the curvature (variable projection): a
    shift of all columns and a longer lag look much alike, and steps that ignore this creep.
    """
    slope_x = view.prepare(lagged(comparison.sampled.slope_x, comparison.lag))
    slope_y = view.prepare(lagged(comparison.sampled.slope_y, comparison.lag))
    both = np.concatenate([basis, np.ones((basis.shape[0], 1))], axis=1)  # path, then offset_x

    def onto(image: Float32) -> FloatArray:
        on_path = both.T @ (slope_x * image).sum(axis=0, dtype=np.float64)
        return np.append(on_path, (slope_y * image).sum(dtype=np.float64))

    x_x = (slope_x * slope_x).sum(axis=0, dtype=np.float64)
    cross = onto(slope_y)
    path_path = both.T @ (x_x[:, None] * both)
    block = np.block([[path_path, cross[:-1, None]], [cross[None, :-1], cross[-1]]])
    if comparison.tails:
        gram = inner_products(comparison.tails, comparison.tails)
        shared = np.stack([onto(tail) for tail in comparison.tails], axis=1)
        block -= shared @ np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ shared.T
    return block, onto(comparison.residual)
