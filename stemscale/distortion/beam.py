"""The beam's path along a line: a smooth curve, what is known of it beforehand, and its inverse."""

import numpy as np
from scipy.interpolate import BSpline

from stemscale.distortion.arrays import FloatArray

DECAYS_PX = (12.0, 25.0, 50.0, 100.0)
"""Lengths over which the coils forget the flyback: a line starts as a mixture of them [px]."""

INDEPENDENT_PX = 25.0
"""Stretches of the path this long bend independently of each other, for the prior [rapid px]."""

_BEYOND_PX = 3


class BeamPath:
    """Cubic B-splines for the slow-grid column that the beam sees at each rapid column.

    The prior says how a path bends: exponentially while the scan coils recover from the flyback,
    and little besides. It carries the path through stretches without contrast, where a fit would
    otherwise follow noise, and it hardly matters where there is contrast.

    Parameters
    ----------
    n_x : int
        Columns of a rapid frame.
    knot_px : float
        Distance of the knots [px].
    bend : float
        Standard deviation of the path's second derivative, but for the line start [1/px].
    start_stretch : float
        Standard deviation of the rate at the line start, for each exponential of `DECAYS_PX`.
    """

    def __init__(self, n_x: int, *, knot_px: float, bend: float, start_stretch: float) -> None:
        pieces = max(4, round((n_x - 1) / knot_px))
        width = (n_x - 1) / pieces
        self._knots = np.arange(-3, pieces + 4) * width
        columns = np.arange(n_x, dtype=np.float64)
        self.n_x = n_x
        self.basis = self.design(columns)
        count = self.basis.shape[1]
        second = BSpline(self._knots, np.eye(count), 3).derivative(2)(columns)
        smooth = second.T @ second / (bend**2 * INDEPENDENT_PX)
        decays = np.array(DECAYS_PX)
        starts = decays * np.exp(-columns[:, None] / decays)  # paths of rate -1 at the line start
        along = np.linalg.lstsq(self.basis, starts, rcond=None)[0]
        # The exponentials cost what their size says, and not what they bend (Woodbury's identity).
        stiff = smooth @ along
        gained = np.eye(decays.size) / start_stretch**2 + along.T @ stiff
        prior = smooth - stiff @ np.linalg.solve(gained, stiff.T)
        self.prior: FloatArray = (prior + prior.T) / 2

    def design(self, columns: FloatArray) -> FloatArray:
        """Return the value of each B-spline at rapid columns, shape (n, knots)."""
        if columns.size == 0:
            return np.zeros((0, self._knots.size - 4))
        # the last knot belongs to no piece of its own
        inside = np.clip(columns, 0, (self.n_x - 1) * (1 - 1e-12))
        dense: FloatArray = BSpline.design_matrix(inside, self._knots, 3).toarray()
        return dense

    def path(self, coefficients: FloatArray) -> FloatArray:
        """Return the slow-grid column at each rapid column, shape (n_x,) [px]."""
        return self.basis @ coefficients

    def source_x(
        self, coefficients: FloatArray, at: FloatArray, seen: tuple[int, int]
    ) -> FloatArray:
        """Return the rapid column at which the beam passes slow-grid columns.

        Parameters
        ----------
        coefficients : ndarray of float64, shape (knots,)
            Of a path that increases over the columns seen.
        at : ndarray of float64, shape (n,)
            Slow-grid columns [px].
        seen : tuple of int
            First and last rapid column that the path was fitted to; a few px beyond, it goes on
            straight, as nothing is known of it there.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        start, stop = max(0, seen[0] - _BEYOND_PX), min(self.n_x - 1, seen[1] + _BEYOND_PX)
        fine = np.linspace(start, stop, 8 * (stop - start) + 1)
        path = self.design(fine) @ coefficients
        reach = 2 * self.n_x
        first, last = (path[1] - path[0]) * 8, (path[-1] - path[-2]) * 8
        fine = np.concatenate([[start - reach], fine, [stop + reach]])
        path = np.concatenate([[path[0] - reach * first], path, [path[-1] + reach * last]])
        return np.interp(at, path, fine)


def through_points(
    beam: BeamPath, source_x: FloatArray, weight: FloatArray, offset_std: float
) -> tuple[FloatArray, FloatArray]:
    """Return the smooth path nearest to rough matches of columns, of several views at once.

    Parameters
    ----------
    beam : BeamPath
    source_x : ndarray of float64, shape (view, n_x)
        Rapid column per slow column [px]; outside ``[0, n_x - 1]`` it is left out.
    weight : ndarray of float64, shape (view, n_x)
        Inverse variance of each [1/px²].
    offset_std : float
        Prior standard deviation of each view's own offset along x [px].

    Returns
    -------
    coefficients : ndarray of float64, shape (knots,)
    offsets : ndarray of float64, shape (view,)
        What to add to the path in each view [px].
    """
    views, n_x = source_x.shape
    knots = beam.basis.shape[1]
    normal = np.zeros((knots + views, knots + views))
    right = np.zeros(knots + views)
    normal[:knots, :knots] = beam.prior
    columns = np.arange(n_x, dtype=np.float64)
    for view in range(views):
        normal[knots + view, knots + view] += 1 / offset_std**2
        used = (source_x[view] >= 0) & (source_x[view] <= beam.n_x - 1)
        rows = np.zeros((int(used.sum()), knots + views))
        rows[:, :knots] = beam.design(source_x[view, used])
        rows[:, knots + view] = 1
        weighted = rows * weight[view, used, None]
        normal += weighted.T @ rows
        right += weighted.T @ columns[used]
    solution = np.asarray(
        np.linalg.solve(normal + 1e-9 * np.eye(knots + views), right), dtype=np.float64
    )
    return solution[:knots], solution[knots:]
