"""What is done to the pixels of a block: corrected, filtered, brought to the dtype of the store."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames
from stemscale.clusters import worker_device
from stemscale.denoising import Filter, SeriesScale, apply_classical, denoise_frames
from stemscale.distortion import DistortionMap, Interpolation, SeriesWarp, rolling_dcfi
from stemscale.errors import SettingsError
from stemscale.pipeline.filters import FilterChoice
from stemscale.store import fill_value

FloatFrames = NDArray[np.float32]

_ONE_NETWORK = threading.Lock()
_DTYPES = ("float32",)  # that can be asked for, beside that of the frames as recorded


def require_dtype(dtype: str | None) -> None:
    """Refuse a dtype that filtered frames cannot be kept in; None stands for the recorded one.

    Raises
    ------
    SettingsError
        If it is another.
    """
    if dtype not in (None, *_DTYPES):
        raise SettingsError(
            f"dtype {dtype!r} is unknown: choose {' or '.join(_DTYPES)}, or leave it out for that "
            "of the frames as recorded"
        )


class PixelWork:
    """Correction and filter of one series.

    Parameters
    ----------
    choice : FilterChoice
    distortion, rapid_shape, interpolation, drift
        How the frames are corrected, see `SeriesWarp`.
    filter : Filter, optional
        Where the choice is a file.
    scale : SeriesScale, optional
        Of the series, for that filter.
    parameters : mapping, optional
        Of a classical filter.
    """

    def __init__(
        self,
        choice: FilterChoice,
        *,
        distortion: DistortionMap | None,
        rapid_shape: tuple[int, int],
        interpolation: Interpolation | None = None,
        drift: NDArray[np.float64] | None = None,
        filter: Filter | None = None,
        scale: SeriesScale | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._choice, self._filter, self._scale = choice, filter, scale
        self._parameters = parameters or {}
        self._warp = SeriesWarp(
            distortion, rapid_shape=rapid_shape, interpolation=interpolation, drift=drift
        )

    @property
    def one_at_a_time(self) -> AbstractContextManager[Any]:
        """Hold while filtering: one thread of a worker filters, the others do all the rest."""
        return _ONE_NETWORK if self._filter is not None else nullcontext()

    @property
    def at_once(self) -> int:
        """Frames that are best corrected together."""
        return self._warp.at_once

    def correct(self, frames: Frames, first: int = 0) -> FloatFrames:
        """Bring frames as recorded, ``first`` the number of the first, onto the corrected grid."""
        return self._warp(frames, first)

    def filter(
        self, frames: Frames, corrected: FloatFrames, *, first: int, which: slice
    ) -> FloatFrames:
        """Filter some frames of a series, given with the neighbours that they need.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            As recorded.
        corrected : ndarray of float32, shape (frame, y', x')
            The same, corrected.
        first : int
            Number of the first of them in the series.
        which : slice
            Those to filter.

        Returns
        -------
        ndarray of float32, shape (frames filtered, y', x')
            [counts]; NaN = not seen.
        """
        if self._filter is not None and self._scale is not None:
            return denoise_frames(
                corrected, self._filter, scale=self._scale, which=which, device=worker_device()
            )
        if self._choice.kind == "dcfi":
            # Aligned and averaged as recorded: a corrected frame has unseen edges.
            averaged = rolling_dcfi(
                frames, self._choice.window or 1, weighted=self._choice.weighted
            )
            return self.correct(averaged, first)[which]
        if self._choice.classical:
            return apply_classical(self._choice.kind, corrected, self._parameters)[which]
        return corrected[which]  # "none"


def store_frame(frame: FloatFrames, into: Frames) -> tuple[FloatFrames, int, int]:
    """Bring a filtered frame to the dtype it is stored in.

    Parameters
    ----------
    frame : ndarray of float32, shape (y, x)
        NaN = not seen.
    into : ndarray, shape (y, x)
        Takes the frame in its own dtype, with the fill value where a pixel was not seen. Integers
        are rounded, and clipped to what the dtype holds without its fill value.

    Returns
    -------
    seen : ndarray of float32, shape (y, x)
        The same as `as_seen` gives it back.
    clipped, masked : int
        Pixels that were clipped, and that were not seen.
    """
    dtype = into.dtype
    if dtype.kind == "f":
        into[...] = frame
        return into.astype(np.float32, copy=False), 0, int(np.count_nonzero(np.isnan(frame)))
    unseen = ~np.isfinite(frame)
    masked = int(np.count_nonzero(unseen))
    limits = np.iinfo(dtype)
    low, high = limits.min + 1, limits.max
    # 2^31 and beyond are no float32: in float64 all integers of 32 bit are.
    rounded = np.rint(frame, dtype=np.float64 if dtype.itemsize > 2 else np.float32)
    np.copyto(rounded, np.nan, where=unseen)
    clipped = int(np.count_nonzero(rounded < low) + np.count_nonzero(rounded > high))
    if clipped:
        np.clip(rounded, low, high, out=rounded)
    with np.errstate(invalid="ignore"):  # what NaN becomes here is replaced in the next line
        np.copyto(into, rounded, casting="unsafe")
    np.copyto(into, fill_value(dtype), where=unseen)
    return rounded.astype(np.float32, copy=False), clipped, masked
