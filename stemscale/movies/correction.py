"""How the recorded frames come onto the grid of the filtered ones."""

from collections.abc import Sequence

from stemscale.corrections import Correction, find_correction
from stemscale.distortion import SeriesWarp
from stemscale.errors import CorrectionLostError
from stemscale.store import AcquisitionStore, rapid_group


def undoing(
    store: AcquisitionStore, fov: str, filtered: Sequence[str], *, as_recorded: bool
) -> tuple[Correction | None, SeriesWarp, str]:
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
    lost : str
        Why what was undone cannot be told any more, and the remedy; else empty.
    """
    found, lost = find_correction(store, fov, filtered[0] if filtered else None), ""
    if found is not None and not (as_recorded and found.undone):
        try:
            return found, found.load(), lost
        except CorrectionLostError as error:
            lost = str(error)
    shape = store.frames(rapid_group(fov)).shape[1:]
    return None, SeriesWarp(None, rapid_shape=shape), lost
