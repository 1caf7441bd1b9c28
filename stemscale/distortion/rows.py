"""Let the fitted path of the beam move a little from the top of a frame to its bottom."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from stemscale.distortion.beam import BeamPath
from stemscale.distortion.gauss_newton import Fit, Offsets, State, View

Image = NDArray[Any]
FloatArray = NDArray[np.float64]

_BANDS = 5  # of rows that are fitted apart
_DEGREE = 2  # of the polynomial through their offsets
_STD_PX = 2.0  # of a band's offset before the fit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RowOffsets:
    """The path of the beam in one view, and its offsets at each row of the rapid frame.

    Attributes
    ----------
    path : ndarray of float64, shape (knots,)
        Spline coefficients: a path fitted to whole frames is that of no row.
    x : ndarray of float64, shape (n_y,)
        Added to the path [slow px].
    y : ndarray of float64, shape (n_y,)
        Rapid row less slow row [px].
    std_x : float
        Root mean square uncertainty of ``x``, but for its mean [px].
    """

    path: FloatArray
    x: FloatArray
    y: FloatArray
    std_x: float


def fit_rows(
    dcfi: Image,
    slow: Image,
    beam: BeamPath,
    state: State,
    number: int,
    *,
    smooth_px: float,
    background_px: int,
    steps: int,
) -> RowOffsets:
    """Find how the offsets of one view change along y: a parabola through five bands of rows.

    Parameters
    ----------
    dcfi, slow : ndarray, shape (y, x)
        On one pixel count; NaN in the DCFI = not seen.
    beam : BeamPath
    state : State
        Of the fit to whole frames.
    number : int
        Of the view in that state.
    smooth_px, background_px, steps
        As for the last level of that fit, see `SplineFit`.

    Returns
    -------
    RowOffsets

    Notes
    -----
    A band with little contrast has an uncertain offset and hardly counts. Slow drift of the
    specimen within a frame and a scan that is not quite rectangular look like this.
    """
    n_y = dcfi.shape[0]
    borders = np.linspace(0, n_y, _BANDS + 1).round().astype(int)
    views = []
    for top, bottom in pairwise(borders):
        band = np.full(dcfi.shape, np.nan)
        band[top:bottom] = dcfi[top:bottom]
        views.append(View(band, slow, smooth_px=smooth_px, background_px=background_px))
    row = np.full(_BANDS, state.offset_y[number])
    start = State(
        path=state.path + state.offset_x[number],  # B-splines add up to 1 everywhere
        offset_x=np.zeros(_BANDS),
        offset_y=row,
    )
    fit = Fit(views, beam, Offsets(std_x=_STD_PX, mean_y=row, std_y=_STD_PX))
    found = fit.run(start, steps=steps)
    knots = found.path.size
    covariance = fit.covariance(found)[knots:, knots:]
    centres = _unit((borders[:-1] + borders[1:] - 1) / 2, n_y)
    rows = _unit(np.arange(n_y), n_y)
    on_x, on_y = np.split(np.arange(2 * _BANDS), 2)
    x, std_x = _parabola(found.offset_x, covariance[np.ix_(on_x, on_x)], centres, rows)
    y, _ = _parabola(found.offset_y, covariance[np.ix_(on_y, on_y)], centres, rows)
    return RowOffsets(path=found.path, x=x, y=y, std_x=std_x)


def _unit(rows: NDArray[Any], n_y: int) -> FloatArray:
    result: FloatArray = 2 * np.asarray(rows, dtype=np.float64) / max(n_y - 1, 1) - 1
    return result


def _parabola(
    values: FloatArray, covariance: FloatArray, at: FloatArray, where: FloatArray
) -> tuple[FloatArray, float]:
    """Return the parabola through uncertain values, and its root mean square uncertainty.

    That of its mean is left out: it is that of the path, which all bands share.
    """
    table = legendre.legvander(at, _DEGREE)
    weighted = np.linalg.solve(covariance, table)
    normal = table.T @ weighted
    coefficients = np.linalg.solve(normal, weighted.T @ values)
    fine = legendre.legvander(where, _DEGREE)
    about = fine - fine.mean(axis=0)
    variance = np.einsum("ij,jk,ik->i", about, np.linalg.inv(normal), about)
    return fine @ coefficients, float(np.sqrt(variance.mean()))
