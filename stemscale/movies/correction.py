"""How the recorded frames come onto the grid of the filtered ones."""

import logging
from collections.abc import Sequence

from stemscale.distortion import SeriesWarp
from stemscale.errors import CorrectionLostError
from stemscale.pipeline.correction import Correction, find_correction
from stemscale.store import AcquisitionStore, rapid_group

logger = logging.getLogger(__name__)


def undoing(
    store: AcquisitionStore, fov: str, filtered: Sequence[str], *, as_recorded: bool
) -> tuple[Correction | None, SeriesWarp]:
    """Find what brings recorded frames to where the filtered ones show the same place.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    filtered : sequence of str
        Groups of filtered frames that are shown too; the first decides.
    as_recorded : bool
        Whether to leave the frames as they are.

    Returns
    -------
    correction : Correction or None
        What that run of `process` undid, distortion and drift; without filtered frames, what can be
        undone in the FOV. None where that is not known, or not wanted.
    warp : SeriesWarp
        Undoes it; without it, gives the frames as they are.
    """
    found = find_correction(store, fov, filtered[0] if filtered else None)
    if found is not None and not (as_recorded and found.undone):
        try:
            return found, found.load()
        except CorrectionLostError as error:
            logger.warning("%s: %s", store.path, error)
    return None, SeriesWarp(None, rapid_shape=store.frames(rapid_group(fov)).shape[1:])
