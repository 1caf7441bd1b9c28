"""The simulated FOVs on disk, in parts: what was made before a kill is not made again."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemscale.whole_file import whole_file
from stemscale.workflows.shipping.fovs import FRAMES, SIZE, make_fov, settings_of

logger = logging.getLogger(__name__)

PART = 100  # FOVs in a file


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Data:
    """FOVs of one seed.

    Attributes
    ----------
    frames : ndarray of float32, shape (fov, frame, y, x)
    targets : ndarray of float32, shape (fov, y, x)
    recorded : ndarray of bool, shape (fov,)
        Whether frames are as recorded, of a microscope that needs no correction.
    """

    frames: NDArray[np.float32]
    targets: NDArray[np.float32]
    recorded: NDArray[np.bool_]


def make_data(
    folder: Path,
    *,
    seed: int,
    fovs: int,
    scenes: Sequence[NDArray[np.uint8]],
    tell: Callable[[int], None] = lambda _: None,
) -> Data:
    """Make FOVs, or read those that are there.

    Parameters
    ----------
    folder : Path
        Keeps them, for this seed.
    seed : int
    fovs : int
        How many.
    scenes : sequence of ndarray
        From `read_scenes`.
    tell : callable
        Told how many FOVs there are by now.

    Returns
    -------
    Data
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = np.empty((fovs, FRAMES, SIZE, SIZE), dtype=np.float32)
    targets = np.empty((fovs, SIZE, SIZE), dtype=np.float32)
    for start in range(0, fovs, PART):
        stop = min(start + PART, fovs)
        file = folder / f"{seed}-{start:06d}-{stop:06d}.npz"
        if not file.is_file():
            made = [make_fov(seed, number, scenes) for number in range(start, stop)]
            _keep(file, np.stack([m.frames for m in made]), np.stack([m.target for m in made]))
        with np.load(file) as found:
            frames[start:stop], targets[start:stop] = found["frames"], found["targets"]
        tell(stop)
    recorded = [not settings_of(seed, number).has("distortion") for number in range(fovs)]
    return Data(frames=frames, targets=targets, recorded=np.array(recorded))


def _keep(file: Path, frames: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
    with whole_file(file) as made:
        np.savez(made, frames=frames, targets=targets)
