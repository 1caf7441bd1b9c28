"""Parameters of a classical filter: found once for each FOV, before its blocks are made."""

import hashlib
from typing import Any

import numpy as np

from stemscale.denoising import tune_classical
from stemscale.errors import DamagedDataError, FilterError, SeriesError
from stemscale.pipeline.block import corrected_frames
from stemscale.pipeline.filters import FilterChoice
from stemscale.quality import remove_background, zncc
from stemscale.store import AcquisitionStore, rapid_group, slow_group

_VERSION = 1  # of how parameters are found: another one makes other frames
_FRAMES, _PIXELS = 16, 16 * 1024**2  # at most so many of either are read
_ONE_SCENE = 0.1  # ZNCC of mean frame and slow scan below which they do not lie on one another


def tuning_recipe(
    store: AcquisitionStore, fov: str, choice: FilterChoice, shape: tuple[int, int]
) -> dict[str, Any] | None:
    """Name the parameters of a filter by what they depend on beside the frames.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    choice : FilterChoice
    shape : tuple of int
        (y, x) of the corrected frames.

    Returns
    -------
    dict or None
        JSON values; None for a filter without such parameters.

    Raises
    ------
    FilterError
        If the filter needs a slow scan on the grid of the corrected frames, and there is none.
    """
    if not choice.classical:
        return None
    slow = store.slow_image(fov)
    if slow is not None and slow.shape != shape:
        slow = None
    if slow is None and choice.kind == "lag":
        raise FilterError(
            f"{store.path}: {fov} has no slow scan on the grid of its corrected frames, and filter "
            "lag fits the detector's tails against one: ingest it with --slow, and calibrate"
        )
    # The frames do not count: found once, parameters stay as they are when the series grows.
    found = hashlib.sha256(b"" if slow is None else np.ascontiguousarray(slow).tobytes())
    return {"version": _VERSION, "sha256": found.hexdigest()}


def find_parameters(
    store: AcquisitionStore, fov: str, group: str, choice: FilterChoice
) -> dict[str, Any]:
    """Tune a filter on the frames of a FOV that are nearest in time to its slow scan.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    group : str
        Where its frames go: its ledger has the run.
    choice : FilterChoice

    Returns
    -------
    dict
        JSON values.

    Raises
    ------
    DamagedDataError
        If the raw data of all frames are damaged.
    FilterError
        If the filter needs a slow scan, and it does not show what the frames show.
    SeriesError
        If no frame shows anything.
    """
    rapid = store.frames(rapid_group(fov))
    blocks = range(rapid.n_blocks)
    slow = slow_group(fov)
    if store.has(slow) and store.attrs(slow).get("relation") == "after":
        blocks = blocks[::-1]
    n = max(2, min(_FRAMES, _PIXELS // int(np.prod(rapid.shape[1:]))))
    damage: DamagedDataError | None = None
    for block in blocks:
        start, stop = rapid.bounds(block)
        first, last = (
            (start, min(stop, start + n)) if blocks.step > 0 else (max(start, stop - n), stop)
        )
        try:
            frames, reference = corrected_frames(store, fov, group, first, last)
        except DamagedDataError as error:
            damage = damage or error
            continue
        frames = frames[np.isfinite(frames).any(axis=(1, 2))]  # without those of unknown drift
        if not len(frames):
            continue
        if choice.kind != "lag" and reference is not None and not _one_scene(frames, reference):
            reference = None
        return dict(tune_classical(choice.kind, frames, reference))
    if damage is not None:
        raise damage
    raise SeriesError(
        f"{store.path}: {fov} has no frame with a pixel on the corrected grid: calibrate it anew"
    )


def _one_scene(frames: Any, reference: Any) -> bool:
    """Tell whether frames and slow scan lie on one another; uncalibrated, they may not."""
    mean = frames.astype(np.float64).mean(axis=0)
    return bool(zncc(remove_background(mean), remove_background(reference)) > _ONE_SCENE)
