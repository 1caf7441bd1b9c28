"""Match columns of the rapid scan to columns of the slow scan: a robust, rough distortion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from stemscale.distortion.contrast import HighPass, fill_unseen, local_spread

Image = NDArray[Any]
Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColumnMatch:
    """A first distortion: for each slow column the rapid column that looks most like it."""

    source_x: FloatArray  # (n_x,) rapid column per slow column [px], non-decreasing
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
    filled, seen = fill_unseen(image, smooth_px)
    contrast = HighPass(seen, background_px)(filled)
    contrast = contrast / local_spread(contrast, 2 * background_px + 1)
    return np.where(seen, contrast, np.float32(0))


def match_columns(
    rapid: Float32,
    slow: Float32,
    *,
    max_row_offset: int,
    slopes: tuple[float, float] = (0.4, 2.2),
    strip_px: int = 13,
) -> ColumnMatch:
    """Find the monotone path through all pairs of columns that agrees best (dynamic programming).

    Rows never enter one by one: distortion along x moves whole columns, so the table of inner
    products of all columns of one image with all of the other holds everything there is to know,
    and one matrix product makes it.

    Parameters
    ----------
    rapid, slow : ndarray of float32, shape (y, x)
        On one pixel count, from `normalised`.
    max_row_offset : int
        Row offsets up to this are tried [px].
    slopes : tuple of float
        Least and greatest number of rapid columns per slow column.
    strip_px : int
        Agreement is averaged over strips this wide [px].

    Returns
    -------
    ColumnMatch
    """
    offset = _row_offset(rapid, slow, max_row_offset, strip_px)
    moved, kept = _common_rows(rapid, slow, offset)
    source = _best_path(_agreement(moved, kept, strip_px), slopes)
    inside = (source >= 0) & (source <= rapid.shape[1] - 1)
    matched = moved[:, np.clip(source, 0, rapid.shape[1] - 1)]
    power = float((matched[:, inside] ** 2).sum()) * float((kept[:, inside] ** 2).sum())
    zncc = float((matched[:, inside] * kept[:, inside]).sum()) / np.sqrt(power + 1e-12)
    return ColumnMatch(
        source_x=source.astype(np.float64),
        variance=np.where(inside, _variance(matched, kept, strip_px), np.inf),
        row_offset=offset,
        zncc=zncc,
    )


def _variance(matched: Float32, slow: Float32, strip_px: int) -> FloatArray:
    """Return how well each column is placed, from the slopes along x that both images share."""
    shared = (np.gradient(matched, axis=1) * np.gradient(slow, axis=1)).sum(axis=0)
    shared = np.maximum(uniform_filter1d(shared, strip_px), 1e-6)
    mismatch = uniform_filter1d(((matched - slow) ** 2).sum(axis=0) / slow.shape[0], strip_px)
    # whole pixels, and neighbours that share noise and model errors: never better than this
    result: FloatArray = 0.8**2 + strip_px * mismatch.astype(np.float64) / shared
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


def _row_offset(rapid: Float32, slow: Float32, limit: int, strip_px: int) -> int:
    """Return the row offset under which each slow column finds its best partner."""
    bins = max(1, slow.shape[1] // 200)
    narrow_rapid, narrow_slow = _binned(rapid, bins), _binned(slow, bins)
    offsets = range(-limit, limit + 1)
    scores = []
    for offset in offsets:
        pair = _common_rows(narrow_rapid, narrow_slow, offset)
        scores.append(float(_agreement(*pair, max(1, strip_px // bins)).max(axis=1).mean()))
    return offsets[int(np.argmax(scores))]


def _binned(image: Float32, bins: int) -> Float32:
    """Average neighbouring columns; what is left over at the right is dropped."""
    n_y, n_x = image.shape
    used = n_x // bins * bins
    result: Float32 = image[:, :used].reshape(n_y, used // bins, bins).mean(axis=2)
    return result


def _best_path(gain: Float32, slopes: tuple[float, float], stiffness: float = 0.05) -> NDArray[Any]:
    """Return the path of greatest total gain: rapid column per slow column.

    Two slow columns per step give slopes in halves. Rapid columns outside the frame are states
    as well, at the gain of an unrelated column, so that a slow scan that sticks out fits too.
    """
    n_slow, n_rapid = gain.shape
    pad = n_rapid // 5
    outside = float(np.quantile(gain, 0.5))
    padded = np.full((n_slow, n_rapid + 2 * pad), outside, dtype=np.float64)
    padded[:, pad : pad + n_rapid] = gain
    steps = np.arange(int(np.ceil(2 * slopes[0])), int(np.floor(2 * slopes[1])) + 1)
    states = padded.shape[1]
    nodes = np.arange(0, n_slow, 2)
    best = padded[0].copy()
    choice = np.zeros((nodes.size, states), dtype=np.int64)
    for node in range(1, nodes.size):
        options = np.full((steps.size, states), -np.inf)
        for number, step in enumerate(steps):
            options[number, step:] = best[: states - step] - stiffness * (step / 2 - 0.95) ** 2
        choice[node] = steps[np.argmax(options, axis=0)]
        best = options.max(axis=0) + padded[nodes[node]] + padded[nodes[node] - 1]
    path = np.empty(nodes.size, dtype=np.int64)
    path[-1] = int(np.argmax(best))
    for node in range(nodes.size - 1, 0, -1):
        path[node - 1] = path[node] - choice[node, path[node]]
    full = np.interp(np.arange(n_slow), nodes, path - pad)
    return np.asarray(np.round(full), dtype=np.int64)
