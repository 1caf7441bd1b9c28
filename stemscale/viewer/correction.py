"""Correct rapid frames one at a time, as they are looked at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemscale.corrections import Correction

if TYPE_CHECKING:
    from stemscale.distortion import SeriesWarp

FloatImage = npt.NDArray[np.float32]


class OneByOne:
    """Corrects single frames; the map is read for the first one, threads may share it.

    Parameters
    ----------
    correction : Correction
        What is undone.
    """

    def __init__(self, correction: Correction) -> None:
        self._correction = correction
        self._lock = threading.Lock()
        self._warp: SeriesWarp | None = None

    def __call__(self, image: npt.NDArray[Any], frame: int) -> FloatImage:
        """Correct one frame.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            As recorded.
        frame : int
            Its number, for its drift.

        Returns
        -------
        ndarray of float32, shape (y', x')
            NaN = not seen.

        Raises
        ------
        StemscaleError
            If the map cannot be read.
        """
        with self._lock:
            if self._warp is None:
                self._warp = self._correction.load()
            warp = self._warp
        with _one_thread():
            corrected: FloatImage = warp(image[None], frame)[0]
        return corrected


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work alone: a single frame takes it half a millisecond, to share it takes longer.

    On a machine that is busy, threads that wait for each other took a hundred times as long.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
