"""How the recorded frames come onto the grid of the filtered ones."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from stemscale.acquisition import positive
from stemscale.distortion import SeriesWarp
from stemscale.errors import CorrectionLostError
from stemscale.pipeline.correction import find_correction
from stemscale.store import AcquisitionStore, rapid_group

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RawFrames:
    """How the raw frames are shown.

    Attributes
    ----------
    words : str
        For the title of the panel.
    shape : tuple of int
        (n_y, n_x) of a frame, corrected.
    pixel_size_nm : float or None
        Of a frame, corrected [nm].
    same_place : bool
        Whether a pixel then shows what the same pixel of the filtered frames shows.
    warp : SeriesWarp
        Corrects them.
    """

    words: str
    shape: tuple[int, int]
    pixel_size_nm: float | None
    same_place: bool
    warp: SeriesWarp


def raw_frames(
    store: AcquisitionStore, fov: str, filtered: Sequence[str], *, as_recorded: bool
) -> RawFrames:
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
    RawFrames
        As that run of `process` corrected them, distortion and drift; without filtered frames, as
        the FOV can be corrected. As recorded, where that is not known: then the words say so.
    """
    shape = store.frames(rapid_group(fov)).shape[1:]
    size = positive(store.attrs(rapid_group(fov)).get("pixel_size_nm"))
    found = find_correction(store, fov, filtered[0] if filtered else None)
    warp = None
    if found is not None and not (as_recorded and found.undone):
        try:
            warp = found.load()
        except CorrectionLostError as error:
            logger.warning("%s: %s", store.path, error)
    if found is None or warp is None:
        return RawFrames(
            words="as recorded",
            shape=shape,
            pixel_size_nm=size,
            same_place=False,
            warp=SeriesWarp(None, rapid_shape=shape),
        )
    return RawFrames(
        words=found.words,
        shape=found.shape,
        pixel_size_nm=None if size is None else size * found.pixel_ratio,
        same_place=True,
        warp=warp,
    )
