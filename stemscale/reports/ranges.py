"""The frames of a store that lie outside what their filter was trained on, counted."""

from dataclasses import dataclass
from pathlib import Path

from stemscale.views.store_view import StoreView, read_store


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeRow:
    """How many frames of one FOV lie outside what one filter was trained on.

    Attributes
    ----------
    fov, filter : str
    n_frames : int
        Frames that were held against it.
    n_out_of_range : int
        Frames outside, in any respect.
    out_of_range : dict of str to int
        In each respect; a frame may count in several.
    words : str
        The same in words, with the frames; empty where there are none.
    """

    fov: str
    filter: str
    n_frames: int
    n_out_of_range: int
    out_of_range: dict[str, int]
    words: str


def range_table(store: str | Path | StoreView) -> list[RangeRow]:
    """Count the frames that lie outside what their filter was trained on.

    Parameters
    ----------
    store : str or Path
        Folder of the store.

    Returns
    -------
    list of RangeRow
        Of each FOV and filter file whose card tells; FOVs without a slow scan as well.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    return [
        RangeRow(
            fov=fov.name,
            filter=filtered.name,
            n_frames=filtered.flagged.of,
            n_out_of_range=len(filtered.flagged.frames),
            out_of_range=filtered.flagged.by_respect,
            words=filtered.flagged.words() if filtered.flagged.frames else "",
        )
        for fov in view.fovs
        for filtered in fov.filters
        if filtered.flagged is not None
    ]
