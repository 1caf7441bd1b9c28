"""Where the scene lies in each frame of a FOV: as calibrated, or found for a run of `process`."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from stemscale.corrections import load_shifts
from stemscale.distortion import DriftSearch
from stemscale.pipeline.average import average_series
from stemscale.pipeline.events import Listener
from stemscale.store import AcquisitionStore, block_checksums, rapid_group, slow_group

Shifts = NDArray[np.float64]

_LAST = 16  # frames that a slow scan taken after the series is thought to go on from


def drift_recipe(store: AcquisitionStore, fov: str) -> dict[str, Any]:
    """Name the drift of a FOV by all that it depends on, before it is known.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.

    Returns
    -------
    dict
        JSON values: the calibration's shifts, where it has them for all frames; else the search
        and the frames.
    """
    known = _calibrated(store, fov)
    if known is not None:
        return {"of": "calibration", "sha256": hashlib.sha256(known.tobytes()).hexdigest()}
    blocks = sorted(block_checksums(store, rapid_group(fov)).items())
    content = json.dumps([asdict(DriftSearch()), blocks, _anchor(store, fov)]).encode()
    return {"of": "frames", "sha256": hashlib.sha256(content).hexdigest()}


def find_drift(
    store: AcquisitionStore, fov: str, client: Client | None, listener: Listener
) -> Shifts:
    """Find where the scene of the corrected grid lies in each frame.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    client : Client or None
        To align frames on.
    listener : callable
        Told of frames aligned.

    Returns
    -------
    ndarray of float64, shape (frame, 2)
        (dy, dx) [px of the rapid frame]; NaN where it is not known. The grid is that of the
        calibration; without one, that of the first frames, or of the last ones if a slow scan was
        taken after the series, so that frames and slow scan lie on one another.
    """
    known = _calibrated(store, fov)
    if known is not None:
        return known
    shifts = average_series(store, fov, client=client, skip_damaged=True, listener=listener).shifts
    if _anchor(store, fov) == "last":
        last = shifts[np.isfinite(shifts[:, 0])][-_LAST:]
        shifts = shifts - np.median(last, axis=0)
    return shifts


def _calibrated(store: AcquisitionStore, fov: str) -> Shifts | None:
    found = load_shifts(store, fov)
    n_frames = store.frames(rapid_group(fov)).shape[0]
    return None if found is None or len(found) != n_frames else np.ascontiguousarray(found, "<f8")


def _anchor(store: AcquisitionStore, fov: str) -> str:
    group = slow_group(fov)
    after = store.has(group) and store.attrs(group).get("relation") == "after"
    return "last" if after else "first"
