"""Frames on disk, which need not fit into memory and vanish when unused."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.scaling import equalized


def scratch_frames(shape: tuple[int, ...], folder: Path | None = None) -> NDArray[np.float32]:
    """Make room for frames on disk, so that a training set may be larger than memory.

    Parameters
    ----------
    shape : tuple of int
        (frame, y, x).
    folder : Path, optional
        By default that of temporary files. The file has no name and vanishes with the array.

    Returns
    -------
    ndarray of float32, shape ``shape``
        What is used often stays in memory, as there is room.
    """
    if 0 in shape:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:  # the map holds it on
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def equalized_copy(frames: Any) -> NDArray[np.float32]:
    """Equalise the frames (frame, y, x) of a series into a file that vanishes when unused."""
    result = scratch_frames(tuple(frames.shape))
    for index in range(len(result)):
        result[index] = equalized(np.asarray(frames[index]))
    return result
