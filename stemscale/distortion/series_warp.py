"""Bring the rapid frames of one series onto one grid: by its map, and each by its own drift."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.interpolation import Interpolation
from stemscale.distortion.warp import Warp


class SeriesWarp:
    """Corrects frames of a series, of which it knows the numbers.

    Parameters
    ----------
    distortion : DistortionMap or None
        The map that corrects the frames; None: they stay on their grid.
    rapid_shape : tuple of int
        (n_y, n_x) of the frames as recorded.
    interpolation : str, optional
        See `Warp`; by default "linear".
    drift : ndarray, shape (frame, 2), optional
        (dy, dx) of every frame of the series, undone as well [px of the rapid frame].

    Raises
    ------
    DistortionError
        If the interpolation is unknown.

    Examples
    --------
    The scene moves by 1 px a frame; once the drift is undone, it stands still:

    >>> import numpy as np
    >>> from stemscale.distortion import SeriesWarp
    >>> frames = np.array([[[1, 2, 3, 4]], [[0, 1, 2, 3]]])
    >>> drift = np.array([[0.0, 0.0], [0.0, 1.0]])
    >>> SeriesWarp(None, rapid_shape=(1, 4), drift=drift)(frames).tolist()
    [[[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, nan]]]
    """

    def __init__(
        self,
        distortion: DistortionMap | None,
        *,
        rapid_shape: tuple[int, int],
        interpolation: Interpolation | None = None,
        drift: NDArray[np.float64] | None = None,
    ) -> None:
        self._interpolation: Interpolation = interpolation or "linear"
        self.distortion = distortion
        self._map = distortion or DistortionMap.identity(rapid_shape)
        self._drift = drift
        self._warp = None if distortion is None else self._warp_by(distortion)

    @property
    def at_once(self) -> int:
        """Frames that are best corrected together."""
        return 1 if self._warp is None else self._warp.at_once

    def __call__(self, frames: NDArray[Any], first: int = 0) -> NDArray[np.float32]:
        """Correct frames.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            As recorded, of any real dtype [counts].
        first : int
            Number of the first of them in the series, where drift is undone.

        Returns
        -------
        ndarray of float32, shape (frame, n_y, n_x)
            On the corrected grid [counts]; NaN where the scan did not go. A frame of which the
            drift is not known is missing: it has no place on the grid.

        Raises
        ------
        DistortionError
            If the frames are not of the shape that the map was made for.
        """
        if self._drift is not None:
            placed = np.full((len(frames), *self._map.shape), np.nan, dtype=np.float32)
            for i, (dy, dx) in enumerate(self._drift[first : first + len(frames)].tolist()):
                if np.isfinite(dy + dx):
                    placed[i] = self._warp_by(self._map.shifted(dy, dx))(frames[i : i + 1])[0]
            return placed
        return frames.astype(np.float32) if self._warp is None else self._warp(frames)

    def _warp_by(self, distortion: DistortionMap) -> Warp:
        return Warp(distortion, interpolation=self._interpolation)
