"""Match columns of the rapid scan to columns of the slow scan: a robust, rough distortion."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize

from stemscale.acquisition import Image
from stemscale.distortion.arrays import Float32, FloatArray
from stemscale.distortion.beam import DECAYS_PX
from stemscale.distortion.contrast import HighPass, local_spread, standardise

_STRIP_PX = 13  # agreement is averaged over strips this wide
_FURTHEST = 0.15  # offset of the views, as a share of the frame
_RATES = np.linspace(0.78, 1.1, 14)  # rapid columns per slow column, far from the line start
_STRETCHES = np.linspace(-0.6, 0.6, 13)  # what is added to the rate at the line start


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColumnMatch:
    """A first distortion: for each slow column the rapid column that looks most like it."""

    source_x: FloatArray  # (n_x,) rapid column per slow column [px], increasing
    variance: FloatArray  # (n_x,) of source_x [px²], large where nothing changes along x
    row_offset: int  # rapid row minus slow row [px]
    zncc: float  # of the matched columns, high-passed


def normalised(image: Image, *, background_px: int, smooth_px: float) -> Float32:
    """Return the image high-passed and divided by its local spread.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Intensities; NaN = not seen (becomes 0).
    background_px : int
        Width of the box means that make the background [px].
    smooth_px : float
        Gaussian against noise [px].

    Returns
    -------
    ndarray of float32, shape (y, x)
    """
    filled, seen = standardise(image, smooth_px)
    contrast = HighPass(seen, background_px)(filled)
    contrast = contrast / local_spread(contrast, 2 * background_px + 1)
    return np.where(seen, contrast, np.float32(0))


def match_columns(rapid: Float32, slow: Float32, *, max_row_offset: int) -> ColumnMatch:
    """Find the simplest path through all pairs of columns that agrees: an exponential start.

    Rows never enter one by one: distortion along x moves whole columns, so the table of inner
    products of all columns of one image with all of the other holds everything there is to know,
    and one matrix product makes it.

    Parameters
    ----------
    rapid, slow : ndarray of float32, shape (y, x)
        On one pixel count, from `normalised`.
    max_row_offset : int
        Row offsets up to this are tried [px].

    Returns
    -------
    ColumnMatch
    """
    offset = _row_offset(rapid, slow, max_row_offset)
    moved, kept = _common_rows(rapid, slow, offset)
    source = _best_path(_agreement(moved, kept, _STRIP_PX))
    inside = (source >= 0) & (source <= rapid.shape[1] - 1)
    matched = moved[:, np.clip(np.rint(source).astype(np.int64), 0, rapid.shape[1] - 1)]
    power = float((matched[:, inside] ** 2).sum()) * float((kept[:, inside] ** 2).sum())
    zncc = float((matched[:, inside] * kept[:, inside]).sum()) / np.sqrt(power + 1e-12)
    return ColumnMatch(
        source_x=source,
        variance=np.where(inside, _variance(matched, kept), np.inf),
        row_offset=offset,
        zncc=zncc,
    )


def _variance(matched: Float32, slow: Float32) -> FloatArray:
    """Return how well each column is placed, from the slopes along x that both images share."""
    shared = (np.gradient(matched, axis=1) * np.gradient(slow, axis=1)).sum(axis=0)
    shared = np.maximum(uniform_filter1d(shared, _STRIP_PX), 1e-6)
    mismatch = uniform_filter1d(((matched - slow) ** 2).sum(axis=0) / slow.shape[0], _STRIP_PX)
    # whole pixels, and neighbours that share noise and model errors: never better than this
    result: FloatArray = 0.8**2 + _STRIP_PX * mismatch.astype(np.float64) / shared
    return result


def _common_rows(rapid: Float32, slow: Float32, offset: int) -> tuple[Float32, Float32]:
    """Return the rows that both see when slow row y is rapid row y + offset."""
    n = rapid.shape[0]
    return rapid[max(0, offset) : n + min(0, offset)], slow[max(0, -offset) : n - max(0, offset)]


def _agreement(rapid: Float32, slow: Float32, strip_px: int) -> Float32:
    """Return minus half the squared difference per pixel of every (slow, rapid) column pair."""
    rows = rapid.shape[0]
    energy_slow = (slow**2).sum(axis=0)
    energy_rapid = (rapid**2).sum(axis=0)
    table = (slow.T @ rapid - 0.5 * energy_slow[:, None] - 0.5 * energy_rapid[None]) / rows
    return _along_diagonals(table, strip_px)


def _along_diagonals(table: Float32, strip_px: int) -> Float32:
    """Average over neighbouring pairs (x + k, j + k), |k| <= strip_px // 2."""
    n_slow, n_rapid = table.shape
    sheared = np.zeros((n_slow, n_rapid + n_slow), dtype=np.float32)
    rows = np.arange(n_slow)[:, None]
    columns = np.arange(n_rapid)[None] + (n_slow - rows)
    sheared[rows, columns] = table
    counted = np.zeros_like(sheared)
    counted[rows, columns] = 1
    total = uniform_filter1d(sheared, strip_px, axis=0, mode="constant")
    weight = uniform_filter1d(counted, strip_px, axis=0, mode="constant")
    return np.asarray(total[rows, columns] / weight[rows, columns], dtype=np.float32)


def _row_offset(rapid: Float32, slow: Float32, limit: int) -> int:
    """Return the row offset under which each slow column finds its best partner."""
    bins = max(1, slow.shape[1] // 200)
    narrow_rapid, narrow_slow = _binned(rapid, bins), _binned(slow, bins)
    offsets = range(-limit, limit + 1)
    scores = []
    for offset in offsets:
        pair = _common_rows(narrow_rapid, narrow_slow, offset)
        scores.append(float(_agreement(*pair, max(1, _STRIP_PX // bins)).max(axis=1).mean()))
    return offsets[int(np.argmax(scores))]


def _binned(image: Float32, bins: int) -> Float32:
    """Average neighbouring columns; what is left over at the right is dropped."""
    n_y, n_x = image.shape
    used = n_x // bins * bins
    result: Float32 = image[:, :used].reshape(n_y, used // bins, bins).mean(axis=2)
    return result


def _best_path(gain: Float32) -> FloatArray:
    """Return the path of greatest mean gain: rapid column per slow column.

    All straight paths with an exponential at the line start are tried, coarsely, and the best one
    for each decay is refined. Four numbers cannot follow noise through a stretch without contrast,
    as a path that is free to bend there does. Rapid columns outside the frame count as unrelated,
    so that a slow scan that sticks out fits too.
    """
    n_slow, n_rapid = gain.shape
    pad = n_rapid // 4
    padded = np.full((n_slow, n_rapid + 2 * pad), np.quantile(gain, 0.5), dtype=np.float32)
    padded[:, pad : pad + n_rapid] = gain
    middle = (n_slow - 1) / 2

    def curve(columns: NDArray[Any], rate: Any, stretch: Any, decay: Any) -> FloatArray:
        path: FloatArray = rate * (columns - middle) - stretch * decay * np.exp(-columns / decay)
        return path

    every = np.arange(n_slow)
    some = every[::4]
    centre = (n_rapid - 1) / 2
    offsets = centre + np.arange(-_FURTHEST * n_rapid, _FURTHEST * n_rapid + 1, 3.0)
    stretches, rates = (grid.ravel()[:, None] for grid in np.meshgrid(_STRETCHES, _RATES))

    def missed(at: FloatArray) -> float:  # what a refined path does not gain
        offset, rate, stretch, decay = at
        place = np.clip(offset + curve(every, rate, stretch, decay) + pad, 0, padded.shape[1] - 1.1)
        base = place.astype(np.int64)
        f = place - base
        return -float(((1 - f) * padded[every, base] + f * padded[every, base + 1]).mean())

    best: tuple[float, FloatArray] | None = None
    for decay in DECAYS_PX:
        shapes = curve(some[None], rates, stretches, decay)  # (shape, column)
        scores = np.empty((offsets.size, shapes.shape[0]))
        for number, offset in enumerate(offsets):
            place = np.clip(np.rint(shapes + (offset + pad)), 0, padded.shape[1] - 1)
            scores[number] = padded[some[None], place.astype(np.int64)].mean(axis=1)
        first, shape = np.unravel_index(int(np.argmax(scores)), scores.shape)
        start = np.array([offsets[first], rates[shape, 0], stretches[shape, 0], decay])
        simplex = start + np.vstack([np.zeros(4), np.diag([3.0, 0.02, 0.1, 0.3 * decay])])
        found = minimize(
            missed,
            start,
            method="Nelder-Mead",
            bounds=[(None, None), (0.4, 2.2), (-0.7, 1.2), (8.0, 150.0)],
            options={"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-6},
        )
        if best is None or found.fun < best[0]:
            best = (float(found.fun), found.x)
    assert best is not None
    offset, rate, stretch, decay = best[1]
    return np.maximum.accumulate(offset + curve(every, rate, stretch, decay))
