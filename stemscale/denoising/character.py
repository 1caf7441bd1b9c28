"""What a single frame is like, in numbers that need no slow scan: for comparison with others."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from stemscale.denoising.noise import noise_sigma
from stemscale.denoising.scaling import SeriesScale
from stemscale.quality import hann

Lines = NDArray[np.float32]

_CELL_PX, _SMALL_CELL_PX, _SMALL_PX = 8, 4, 128  # frames of a side below 128 px have small cells
_BANDS, _BAND_ROWS = 8, 6  # rows that are looked at closely: noise needs no more
_COLUMNS = 32
_LEAST_SIDE_PX = 20  # of the part that is seen whole; less tells neither noise nor structure
_OUTLIER = 3.0  # standard deviations to which noise is cut: edges of the scene are no noise
_DISTANCES_PX = (2, 4, 8, 16)
_LONGEST_PX = 16  # period of a grating that is looked for; coarser ones are scenes
_NEIGHBOURS = 6  # wave numbers to either side that a peak is compared with
_CHANCE = 3.0  # standard deviations
_SILENCE = 1e-4  # of the spread: where logarithms end


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameCharacter:
    """Numbers of one frame on the scale of its series; NaN where it does not tell.

    Attributes
    ----------
    dark, middle, bright : float
        2 %, 50 % and 98 % of the cell means, less the series' centre, in its spreads. A cell has
        8 x 8 px (4 x 4 where a side of the frame is shorter than 128 px).
    contrast : float
        ln of half the distance of the 5 % and 95 % of the cell means, in spreads: 0 for a frame
        of the series' own contrast.
    saturated : float
        Share of the pixels that have the smallest, or the largest, value of the frame.
    noise : float
        ln(standard deviation of the noise / spread), see `noise_sigma`.
    along_1, along_2, along_3, along_6 : float
        Correlation of the noise (second differences along y) in pixels 1, 2, 3, 6 px apart along x:
        the detector's lag.
    across_1, across_2 : float
        The same of second differences along x, 1 and 2 px apart along y: 0 for a lag, up to 2/3
        from interpolation between two rows, and beyond for whatever blurs in both directions.
    fine, coarse : float
        How large structures are. V(d) is the variance that comes between d and 2 d px, along x and
        along y together: half the mean square difference of pixels 2 d px apart, less that of
        pixels d px apart. ``fine`` is ln V(2) / V(4), ``coarse`` is ln V(4) / V(8). Neither noise
        nor gain counts.
    peak_x, peak_y : float
        ln of the largest ratio of the power at a wave number, of periods below 16 px, to the mean
        of its neighbours: fringes of a lattice, blocks of a compression.
    """

    dark: float = math.nan
    middle: float = math.nan
    bright: float = math.nan
    contrast: float = math.nan
    saturated: float = math.nan
    noise: float = math.nan
    along_1: float = math.nan
    along_2: float = math.nan
    along_3: float = math.nan
    along_6: float = math.nan
    across_1: float = math.nan
    across_2: float = math.nan
    fine: float = math.nan
    coarse: float = math.nan
    peak_x: float = math.nan
    peak_y: float = math.nan


def frame_character(frame: NDArray[Any], scale: SeriesScale) -> FrameCharacter:
    """Measure what a frame is like.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        A corrected rapid frame as a network gets it [counts]; NaN = not seen.
    scale : SeriesScale
        On which it enters the network.

    Returns
    -------
    FrameCharacter
        Intensities are those of all cells that are seen whole; all else of the largest block of
        them, and where that has a side below 20 px, NaN.

    Notes
    -----
    Nothing here follows a drift: means, correlations and variances have no place in the frame.
    Noise, its correlations and peaks come from 48 rows (in bands of 6) and 32 columns, evenly
    spread, which is enough: at 512 x 512 px and 24 electrons a pixel, frames of one series scatter
    by 0.01 in correlations, 0.02 in intensities, and 0.05 in the other numbers. A frame of that
    size takes about a millisecond, a small part of what a network takes.

    Examples
    --------
    White noise of a tenth of the series' spread. Where each pixel is the mean of two neighbours
    along the scan, as after a lag, it has half of its noise in common with the next one:

    >>> import numpy as np
    >>> from stemscale.denoising import SeriesScale, frame_character
    >>> scale = SeriesScale(center=1000.0, spread=100.0)
    >>> frame = np.random.default_rng(0).normal(1000, 10, size=(128, 128))
    >>> found = frame_character(frame, scale)
    >>> round(float(np.exp(found.noise)), 1), round(abs(found.along_1), 1)
    (0.1, 0.0)
    >>> lagged = (frame + np.roll(frame, 1, axis=1)) / 2
    >>> round(frame_character(lagged, scale).along_1, 1)
    0.5
    """
    values = np.asarray(frame, dtype=np.float32)
    cell = _CELL_PX if min(values.shape) >= _SMALL_PX else _SMALL_CELL_PX
    means = _cell_means(values, cell)
    seen = np.isfinite(means)
    found = _intensities((means[seen] - scale.center) / scale.spread)
    rows, columns = _whole_block(seen)
    part = values[rows.start * cell : rows.stop * cell, columns.start * cell : columns.stop * cell]
    if min(part.shape) < _LEAST_SIDE_PX:
        return FrameCharacter(**found)
    lines = _bands(part)
    found["saturated"] = max(float((lines == v).mean()) for v in (lines.min(), lines.max()))
    lines = (lines - np.float32(scale.center)) / np.float32(scale.spread)
    sigma = noise_sigma(lines[:3].reshape(3, -1))
    found["noise"] = math.log(max(sigma, _SILENCE))
    if sigma > _SILENCE:
        found |= _correlations(lines) | _structure(part, cell, scale.spread) | _peaks(lines, part)
    return FrameCharacter(**found)


def _cell_means(values: Lines, cell: int) -> Lines:
    """Means of cells x cells; NaN where a pixel of the cell was not seen."""
    n_y, n_x = (size // cell for size in values.shape)
    sums = values[: n_y * cell, : n_x * cell].reshape(n_y, cell, n_x * cell).sum(axis=1)
    means: Lines = sums.reshape(n_y, n_x, cell) @ np.full(cell, 1 / cell**2, dtype=np.float32)
    return means


def _intensities(means: Lines) -> dict[str, float]:
    if not means.size:
        return {}
    ordered = np.sort(means)
    at = [round(share * (ordered.size - 1)) for share in (0.02, 0.05, 0.5, 0.95, 0.98)]
    dark, low, middle, high, bright = (float(v) for v in ordered[at])
    contrast = math.log(max((high - low) / 2, _SILENCE))
    return {"dark": dark, "middle": middle, "bright": bright, "contrast": contrast}


def _whole_block(seen: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of cells of which every one is seen: the rest lies along the borders."""
    columns = _longest_run(seen.sum(axis=0) >= 0.9 * len(seen))
    inside = seen[:, columns]
    return _longest_run(inside.sum(axis=1) == inside.shape[1]), columns


def _longest_run(good: NDArray[np.bool_]) -> slice:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], good.astype(np.int8), [0]))))
    if not edges.size:
        return slice(0, 0)
    runs = edges.reshape(-1, 2)
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist()
    return slice(start, stop)


def _bands(part: Lines) -> Lines:
    """Rows to look at closely, as (row of the band, band, x)."""
    count = min(_BANDS, len(part) // _BAND_ROWS)
    starts = np.linspace(0, len(part) - _BAND_ROWS, count).astype(int)
    bands: Lines = part[np.arange(_BAND_ROWS)[:, None] + starts]
    return bands


def _correlations(lines: Lines) -> dict[str, float]:
    along = _noise(lines[:-2] - 2 * lines[1:-1] + lines[2:])  # (row, band, x)
    across = _noise(lines[..., :-2] - 2 * lines[..., 1:-1] + lines[..., 2:])
    pairs = {f"along_{k}": (along[..., k:], along[..., :-k]) for k in (1, 2, 3, 6)}
    pairs |= {f"across_{k}": (across[k:], across[:-k]) for k in (1, 2)}
    variance = {"along": _product(along, along), "across": _product(across, across)}
    return {
        name: _product(*pair) / max(variance[name.partition("_")[0]], _SILENCE**2)
        for name, pair in pairs.items()
    }


def _noise(second: Lines) -> Lines:
    """Cut second differences where the scene has an edge."""
    few = np.abs(second[..., ::4]).ravel()
    limit = _OUTLIER / 0.6745 * float(np.partition(few, few.size // 2)[few.size // 2])
    return np.clip(second, -limit, limit, out=second)


def _product(first: Lines, second: Lines) -> float:
    return float(np.einsum("abc,abc", first, second)) / first.size


def _structure(part: Lines, cell: int, spread: float) -> dict[str, float]:
    """Sizes of structures; what noise adds is the same at all distances, or cancels."""
    n_y, n_x = (size // cell for size in part.shape)
    # All distances are even, so every second row, or column, will do.
    mean = np.full(cell, 1 / cell / spread, dtype=np.float32)
    by_row = part[::2].reshape(-1, n_x, cell) @ mean  # (y, cell): noise along y is white
    # Noise along x is not. That of rows two apart is independent, interpolated or not.
    by_column = part[:, ::2].reshape(n_y, cell, -1)  # (cell, row in it, x)
    factor = np.float32(4 / cell / spread)
    even, odd = ((by_column[:, i::4].sum(axis=1) * factor).T.copy() for i in (0, 2))
    fine, middle, coarse = (
        x + y for x, y in zip(_new(even, odd), _new(by_row, by_row), strict=True)
    )
    return {"fine": math.log(fine / middle), "coarse": math.log(middle / coarse)}


def _new(one: Lines, other: Lines) -> list[float]:
    """Variance that comes between one distance and the next along lines (px / 2, line)."""
    rise = []
    for d in (d // 2 for d in _DISTANCES_PX):
        first, second = one[d:] - one[:-d], other[d:] - other[:-d]
        rise.append(float(np.vdot(first, second)) / (2 * first.size))
        if d == 1:  # what chance makes of noise; added to all, it lets no ratio be of noise alone
            chance = _CHANCE * float(np.vdot(first, first)) / (2 * first.size**1.5) + _SILENCE**2
    return [max(b - a, 0.0) + chance for a, b in pairwise(rise)]


def _peaks(lines: Lines, part: Lines) -> dict[str, float]:
    columns = part[:, :: max(part.shape[1] // _COLUMNS, 1)].T.copy()
    rows = lines[::2].reshape(-1, lines.shape[-1])
    return {"peak_x": _peak(rows), "peak_y": _peak(columns)}


def _peak(lines: Lines) -> float:
    """Compare the mean power of lines (line, px) at each wave number with its neighbours'."""
    n = lines.shape[1]
    waves = rfft((lines - lines.mean(axis=1, keepdims=True)) * _window(n), axis=1)
    power = (waves.real**2 + waves.imag**2).sum(axis=0)
    summed = np.concatenate(([0.0], power.cumsum(dtype=np.float64)))
    at = np.arange(max(n // _LONGEST_PX, 2), power.size)
    first, stop = np.maximum(at - _NEIGHBOURS, 1), np.minimum(at + _NEIGHBOURS + 1, power.size)
    around = (summed[stop] - summed[first] - power[at]) / (stop - first - 1)
    return math.log(max(float(np.max(power[at] / np.maximum(around, 1e-30))), _SILENCE))


@lru_cache(maxsize=8)
def _window(n: int) -> Lines:
    return np.asarray(hann(n), dtype=np.float32)
