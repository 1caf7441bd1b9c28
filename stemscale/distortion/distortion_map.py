"""Where on the rapid frame each pixel of the slow scan's grid is seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from stemscale.distortion.arrays import FloatArray
from stemscale.errors import DistortionError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DistortionMap:
    """Fractional column and row of the rapid frame that shows each pixel of the slow grid.

    The slow scan's grid is the corrected grid. Pixel centres lie at integers, counted from 0, on
    both grids; a source outside ``[0, n - 1]`` of the rapid frame was not seen by it.

    Parameters
    ----------
    source_x : ndarray of float64, shape (1, n_x) or (n_y, n_x)
        Column of the rapid frame [px], strictly increasing along x: the beam never turns back
        within a line.
    source_y : ndarray of float64, shape (n_y, 1), (1, n_x) or (n_y, n_x)
        Row of the rapid frame [px], strictly increasing along y.
    source_x_std : ndarray of float64, shape (1, n_x), or None
        Standard uncertainty of ``source_x`` [px], where the method gives one.
    rapid_shape : tuple of int
        (n_y, n_x) of the rapid frames.

    Raises
    ------
    DistortionError
        If an array has another shape, holds NaN or infinity, or is not monotone.

    Notes
    -----
    The arrays are made read-only: one map serves many frames. Source: rows C6 and C7.

    Examples
    --------
    A scan whose lines begin half a pixel late; a map by which the beam would turn back is refused:

    >>> import numpy as np
    >>> from stemscale.distortion import DistortionMap
    >>> late = DistortionMap.identity((4, 6)).shifted(0.0, 0.5)
    >>> late.source_x.tolist()
    [[0.5, 1.5, 2.5, 3.5, 4.5, 5.5]]
    >>> late.shape, late.source_y.shape
    ((4, 6), (4, 1))
    >>> DistortionMap(source_x=[[0.0, 2.0, 1.0]], source_y=np.zeros((1, 1)), rapid_shape=(1, 3))
    Traceback (most recent call last):
    stemscale.errors.DistortionError: source_x does not increase from pixel 1 to 2 along x: ...
    """

    source_x: FloatArray
    source_y: FloatArray
    rapid_shape: tuple[int, int]
    source_x_std: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("source_x", "source_y", "source_x_std"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as_plane(value, name))
        n_y, n_x = self.shape
        _check_shape(self.source_x, "source_x", {(1, n_x), (n_y, n_x)})
        _check_shape(self.source_y, "source_y", {(n_y, 1), (1, n_x), (n_y, n_x)})
        _check_increasing(self.source_x, "source_x", axis=1)
        _check_increasing(self.source_y, "source_y", axis=0)
        if self.source_x_std is not None:
            _check_shape(self.source_x_std, "source_x_std", {(1, n_x)})
            if (self.source_x_std < 0).any():
                raise DistortionError("source_x_std holds negative values, needed are px above 0")
        rapid = tuple(int(n) for n in self.rapid_shape)
        if len(rapid) != 2 or min(rapid) < 1:
            raise DistortionError(f"rapid_shape is {self.rapid_shape}, needed is (n_y, n_x)")
        object.__setattr__(self, "rapid_shape", rapid)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_y, n_x) of the slow grid."""
        try:
            n_y, n_x = np.broadcast_shapes(self.source_x.shape, self.source_y.shape)
        except ValueError as error:
            raise DistortionError(
                f"source_x of shape {self.source_x.shape} and source_y of shape "
                f"{self.source_y.shape} do not span one grid (n_y, n_x)"
            ) from error
        return n_y, n_x

    @property
    def uncertainty_px(self) -> float:
        """Root mean square of ``source_x_std`` but for 2 % of the columns at either end [px].

        NaN where the method gives none.
        """
        if self.source_x_std is None:
            return float("nan")
        edge = self.source_x_std.shape[1] // 50
        inside = self.source_x_std[0, edge : self.source_x_std.shape[1] - edge]
        return float(np.sqrt((inside**2).mean()))

    @classmethod
    def identity(cls, shape: tuple[int, int]) -> Self:
        """Return the map of a scan without distortion.

        Parameters
        ----------
        shape : tuple of int
            (n_y, n_x) of both grids.

        Returns
        -------
        DistortionMap
        """
        n_y, n_x = shape
        return cls(
            source_x=np.arange(n_x, dtype=np.float64)[None],
            source_y=np.arange(n_y, dtype=np.float64)[:, None],
            rapid_shape=(n_y, n_x),
        )

    def shifted(self, shift_y: float, shift_x: float) -> Self:
        """Return the map for a frame whose scene has drifted.

        Parameters
        ----------
        shift_y, shift_x : float
            Where the reference's scene lies in the frame [rapid px], as from `estimate_shifts`.

        Returns
        -------
        DistortionMap
        """
        return replace(self, source_x=self.source_x + shift_x, source_y=self.source_y + shift_y)

    def linear(self) -> Self:
        """Return the map with the same ends of lines and columns, and straight between them.

        That matches the views (row C1) and leaves the distortion within them as it is.

        Returns
        -------
        DistortionMap
            With ``source_x`` of shape (1, n_x) and ``source_y`` of shape (n_y, 1): the mean ends
            of all lines, and of all columns. It tells no uncertainty.

        Examples
        --------
        >>> import numpy as np
        >>> from stemscale.distortion import DistortionMap
        >>> source_x = [[1.0, 2.0, 6.0, 7.0]]
        >>> late = DistortionMap(source_x=source_x, source_y=np.zeros((1, 4)), rapid_shape=(1, 8))
        >>> late.linear().source_x.tolist()
        [[1.0, 3.0, 5.0, 7.0]]
        """
        n_y, n_x = self.shape
        along = self.source_x.mean(axis=0)
        down = np.broadcast_to(self.source_y, (n_y, n_x)).mean(axis=1)
        return replace(
            self,
            source_x=np.linspace(along[0], along[-1], n_x)[None],
            source_y=np.linspace(down[0], down[-1], n_y)[:, None],
            source_x_std=None,
        )


def nominal_source(count: int, pixel_ratio: float) -> FloatArray:
    """Return where pixels of the corrected grid lie on the rapid frame if nothing is distorted.

    Parameters
    ----------
    count : int
        Pixels along an axis of the corrected grid.
    pixel_ratio : float
        Nominal size of a corrected pixel over that of a rapid one.

    Returns
    -------
    ndarray of float64, shape (count,)
        [rapid px]; pixel centres are at integers, so both grids begin at -0.5.
    """
    return (np.arange(count, dtype=np.float64) + 0.5) * pixel_ratio - 0.5


def shared_map(maps: Sequence[DistortionMap]) -> DistortionMap:
    """Return the map of a scan setting, for a series that has no slow scan of its own.

    The distortion belongs to the scan, the small offsets between the views to each field of view
    (FOV): the mean over the FOVs keeps the first and takes the mean of the second.

    Parameters
    ----------
    maps : sequence of DistortionMap
        One per FOV of one scan setting, as from `fit_spline`.

    Returns
    -------
    DistortionMap
        With the mean ``source_x`` and ``source_y``; ``source_x_std`` is the root mean square of
        theirs (FOVs fitted together share their error, so it does not shrink with their number).

    Raises
    ------
    DistortionError
        If there is no map, or the maps are on different grids.

    Notes
    -----
    Source: row C7.

    Examples
    --------
    Two views of one scan setting, of which the second lies 1 px further to the right:

    >>> from stemscale.distortion import DistortionMap, shared_map
    >>> one = DistortionMap.identity((2, 4))
    >>> shared_map([one, one.shifted(0.0, 1.0)]).source_x.tolist()
    [[0.5, 1.5, 2.5, 3.5]]
    """
    if not maps:
        raise DistortionError("there is no map to share: calibrate at least one FOV first")
    grids = {(m.shape, m.rapid_shape) for m in maps}
    if len(grids) > 1:
        raise DistortionError(
            f"maps of {len(grids)} grids (slow, rapid) cannot be shared: {sorted(grids)}; "
            "share only among FOVs of one scan setting"
        )
    stds = [m.source_x_std for m in maps if m.source_x_std is not None]
    return DistortionMap(
        source_x=_mean([m.source_x for m in maps]),
        source_y=_mean([m.source_y for m in maps]),
        source_x_std=np.sqrt(_mean([s**2 for s in stds])) if len(stds) == len(maps) else None,
        rapid_shape=maps[0].rapid_shape,
    )


def _mean(planes: Sequence[FloatArray]) -> FloatArray:
    mean: FloatArray = np.mean(np.broadcast_arrays(*planes), axis=0)
    return mean


def _as_plane(value: Any, name: str) -> FloatArray:
    plane = np.array(value, dtype=np.float64)
    if plane.ndim != 2:
        raise DistortionError(f"{name} has shape {plane.shape}, needed are two axes (y, x)")
    if not np.isfinite(plane).all():
        raise DistortionError(f"{name} holds NaN or infinite values: estimate the map again")
    plane.flags.writeable = False
    return plane


def _check_shape(plane: FloatArray, name: str, allowed: set[tuple[int, int]]) -> None:
    if plane.shape not in allowed:
        raise DistortionError(f"{name} has shape {plane.shape}, needed is one of {sorted(allowed)}")


def _check_increasing(plane: FloatArray, name: str, *, axis: int) -> None:
    steps = np.diff(plane, axis=axis)
    if (steps <= 0).any():
        at = int(np.argwhere(steps <= 0)[0][axis])
        raise DistortionError(
            f"{name} does not increase from pixel {at} to {at + 1} along {'yx'[axis]}: "
            "a map that folds is torn; estimate it again, or on another FOV"
        )
