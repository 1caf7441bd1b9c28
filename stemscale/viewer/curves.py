"""PSNR, temperature and marks of a series, frame by frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.store import DAMAGED, DONE, FAILED, PENDING
from stemscale.viewer.series import Series
from stemscale.views.store_view import FilterView

FloatArray = npt.NDArray[np.float64]
Runs = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curves:
    """What the trace shows of a series.

    Attributes
    ----------
    x : ndarray, shape (frame,)
        Time [s] where it is known, else the number of the frame.
    in_time : bool
        Which of the two.
    rapid, filtered, temperature : ndarray, shape (frame,)
        [dB, dB, degC]; NaN = not known.
    outside : ndarray
        Places on x of frames outside what the filter was trained on.
    lost : ndarray
        Places on x of frames that failed or are damaged.
    missing : list of (float, float)
        Stretches of x that are not filtered yet.
    """

    x: FloatArray
    in_time: bool
    rapid: FloatArray
    filtered: FloatArray
    temperature: FloatArray
    outside: FloatArray
    lost: FloatArray
    missing: Runs

    def nearest(self, x: float) -> int:
        """Find the frame that lies closest to a place on x."""
        return int(np.argmin(np.abs(self.x - x))) if self.x.size else 0


def read_curves(series: Series, name: str | None) -> Curves:
    """Gather the curves of a series.

    Parameters
    ----------
    series : Series
    name : str or None
        Of the filter.

    Returns
    -------
    Curves
    """
    n = series.n_frames
    times = series.times()
    x = np.arange(n, dtype=np.float64) if times is None else times
    rapid = np.full(n, np.nan)
    for found in series.fov.filters:
        if not series.is_average(found) and not np.isfinite(rapid).any():
            rapid = _along(series, found, "psnr_rapid")
    view = None if name is None else series.filter_view(name)
    filtered = np.full(n, np.nan) if view is None else _along(series, view, "psnr")
    status = np.full(n, DONE)
    outside = np.zeros(n, dtype=bool)
    if view is not None and not series.is_average(view):
        status = np.full(n, PENDING)
        numbers, inside = _numbers(view, n)
        status[numbers] = view.status[: inside.size][inside]
        flags = series.flags.get(view.name)
        if flags is not None:
            outside[numbers] = flags[: inside.size][inside]
    temperature = np.full(n, np.nan)
    if series.fov.temperature is not None:
        known = series.fov.temperature[:n]
        temperature[: known.size] = known
    return Curves(
        x=x,
        in_time=times is not None,
        rapid=rapid,
        filtered=filtered,
        temperature=temperature,
        outside=x[outside],
        lost=x[(status == FAILED) | (status == DAMAGED)],
        missing=_runs(x, status == PENDING),
    )


def _numbers(view: FilterView, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    inside = (view.frame_numbers >= 0) & (view.frame_numbers < n)
    return view.frame_numbers[inside], inside


def _along(series: Series, view: FilterView, score: str) -> FloatArray:
    found = np.full(series.n_frames, np.nan)
    values = view.scores.get(score)
    if values is None:
        return found
    if series.is_average(view):
        found[:] = values[0]  # one score of the whole series
        return found
    _, inside = _numbers(view, series.n_frames)
    count = min(values.size, inside.size)
    good = inside[:count] & (view.status[:count] == DONE)
    found[view.frame_numbers[:count][good]] = values[:count][good]
    return found


def _runs(x: FloatArray, where: npt.NDArray[np.bool_]) -> Runs:
    """Stretches of x, from half a frame before to half a frame behind."""
    if not where.any():
        return []
    step = float(np.median(np.diff(x))) if x.size > 1 else 1.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    return [
        (float(x[a]) - step / 2, float(x[b - 1]) + step / 2)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
