"""Intensities of one series on a scale that a network knows, and back."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FrameShapeError, SeriesError

Normalisation = Literal["series", "frame_min_max", "frame_equalized"]
"""How frames enter a network: on the scale of their series; each by its own minimum and maximum
(row F3); or each after adaptive histogram equalisation (row F8)."""

SCALE_FRAMES = 64  # statistics come from so many frames at the start of a series
_BIN_PX = 4
_DARK, _MIDDLE, _BRIGHT = 5.0, 50.0, 95.0  # [%]
_SPREAD_OF_PERCENTILES = 2.0  # (95 % - 5 %) / 2: contrasts end up between about -1 and 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesScale:
    """Where the intensities of a series lie.

    Measured once per series and used for every frame of it, so that a frame filtered alone and
    the same frame inside any block give one result.
    """

    center: float  # [counts]
    spread: float  # [counts]

    def __post_init__(self) -> None:
        """Refuse a scale that nothing can be divided by."""
        if not (math.isfinite(self.center) and math.isfinite(self.spread) and self.spread > 0):
            raise SeriesError(
                f"a series cannot be scaled by center {self.center:g} and spread "
                f"{self.spread:g}: needed are finite numbers and a spread above 0"
            )


def series_scale(frames: Any) -> SeriesScale:
    """Measure centre and spread of a series, from its first 64 frames at most.

    Parameters
    ----------
    frames : array-like, shape (frame, y, x)
        Rapid frames, corrected or as recorded; NaN = not seen. Read frame by frame, so it may be
        a stored array.

    Returns
    -------
    SeriesScale
        Median, and half the distance of the 5 % and 95 % percentiles, of the frames' mean after
        binning by 4 x 4 [counts].

    Raises
    ------
    FrameShapeError
        If ``frames`` is not (frame, y, x).
    SeriesError
        If there is no frame, nothing was seen, or the series is constant.

    Notes
    -----
    Mean and binning take the noise out first (a single frame of 24 electrons a pixel keeps 5 %),
    so centre and spread are those of the specimen, whatever the dose and however many frames
    there were. Single hot pixels, on which min-max scaling hangs, do not count.

    Examples
    --------
    Half of the specimen gives 100 counts, the other half 300:

    >>> import numpy as np
    >>> from stemscale.denoising import series_scale
    >>> frames = np.full((3, 16, 16), 100)
    >>> frames[..., 8:] = 300
    >>> series_scale(frames)
    SeriesScale(center=200.0, spread=100.0)
    """
    if frames.ndim != 3 or frames.shape[0] == 0:
        raise FrameShapeError(
            f"series has shape {tuple(frames.shape)}: needed is (frame, y, x) with a frame in it"
        )
    mean = mean_frame(frames, range(min(SCALE_FRAMES, frames.shape[0])))
    binned = _binned(mean)
    if binned.size == 0:
        raise SeriesError("series shows no pixel at all (all NaN): it cannot be scaled")
    dark, middle, bright = np.percentile(binned, [_DARK, _MIDDLE, _BRIGHT])
    if not bright > dark:
        raise SeriesError(
            f"series is constant ({middle:g}) over its first frames: there is nothing to filter"
        )
    return SeriesScale(center=float(middle), spread=float(bright - dark) / _SPREAD_OF_PERCENTILES)


def mean_frame(frames: Any, which: range) -> NDArray[np.float64]:
    """Average frames of a series, reading one after the other.

    Parameters
    ----------
    frames : array-like, shape (frame, y, x)
        NaN = not seen.
    which : range
        Frames to average.

    Returns
    -------
    ndarray of float64, shape (y, x)
        NaN where no frame saw the pixel.
    """
    total = np.zeros(frames.shape[1:])
    count = np.zeros(frames.shape[1:])
    for index in which:
        frame = np.asarray(frames[index], dtype=np.float64)
        seen = np.isfinite(frame)
        total[seen] += frame[seen]
        count += seen
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _binned(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 4 x 4 px, of the cells seen whole; single pixels where no cell is."""
    height, width = (size - size % _BIN_PX for size in image.shape)
    cells = image[:height, :width].reshape(height // _BIN_PX, _BIN_PX, width // _BIN_PX, _BIN_PX)
    means = cells.mean(axis=(1, 3))  # NaN in a cell makes it NaN
    means = means[np.isfinite(means)]
    return means if means.size else image[np.isfinite(image)]


def frame_min_max(frame: NDArray[Any]) -> SeriesScale:
    """Scale of one frame by its own darkest and brightest pixel, as in the paper.

    Parameters
    ----------
    frame : ndarray, any shape
        Intensities [counts]; NaN = not seen.

    Returns
    -------
    SeriesScale
        Minimum, and maximum - minimum (1 for a constant frame) [counts]: values end up in 0 … 1.

    Notes
    -----
    Source: row F3. The paper scales to 0 … 65,535; a network sees the same at another unit.
    """
    seen = frame[np.isfinite(frame)]
    if seen.size == 0:
        return SeriesScale(center=0.0, spread=1.0)
    low, high = float(seen.min()), float(seen.max())
    return SeriesScale(center=low, spread=high - low if high > low else 1.0)


def equalized(frame: NDArray[Any]) -> NDArray[np.float32]:
    """Give every region of a frame the same contrast, as row F8 proposes.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        Intensities [counts]; NaN = not seen.

    Returns
    -------
    ndarray of float32, shape (y, x)
        0 … 1; no longer proportional to the intensity. NaN = not seen.

    Notes
    -----
    Contrast-limited adaptive histogram equalisation of scikit-image with its defaults: tiles of an
    eighth of the frame, clip limit 0.01. A frame is equalised by itself.
    """
    from skimage.exposure import equalize_adapthist

    unseen = ~np.isfinite(frame)
    values = normalise(fill_unseen(frame), frame_min_max(frame))
    if values.size == 0 or float(np.ptp(values)) == 0:
        return np.where(unseen, np.nan, values).astype(np.float32)
    result = np.asarray(equalize_adapthist(values.clip(0, 1)), dtype=np.float32)
    result[unseen] = np.nan
    return result


def normalise(values: ArrayLike, scale: SeriesScale) -> NDArray[np.float32]:
    """Bring intensities onto the network's scale.

    Parameters
    ----------
    values : array-like, any shape
        [counts]
    scale : SeriesScale

    Returns
    -------
    ndarray of float32, shape of ``values``
    """
    # subtract first and in double precision: a bright offset would cost float32 its digits
    shifted = np.asarray(values, dtype=np.float64) - scale.center
    return np.asarray(shifted / scale.spread, dtype=np.float32)


def to_counts(values: NDArray[np.float32], scale: SeriesScale) -> NDArray[np.float32]:
    """Undo :func:`normalise`.

    Parameters
    ----------
    values : ndarray of float32, any shape
    scale : SeriesScale

    Returns
    -------
    ndarray of float32, shape of ``values``
        [counts]
    """
    return np.asarray(values.astype(np.float64) * scale.spread + scale.center, dtype=np.float32)
