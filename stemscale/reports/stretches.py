"""Read some frames of a FOV, corrected, and the same frames filtered."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.corrections import fingerprint
from stemscale.distortion import Warp
from stemscale.pipeline.filters import FilterChoice
from stemscale.reports.shots import FovShots, correction_of, per_frame_filters
from stemscale.store import DONE, filtered_group, rapid_group
from stemscale.views.store_view import UNREADABLE, FilterView, StoreView, first_line, open_group

FRAMES = 32  # of a stretch, as a block has at 512 x 512
_MOST_PX = 2**24  # of all frames of a stretch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stretch:
    """Frames before and after one filter, on one grid.

    Attributes
    ----------
    name : str
        Of the filter's output.
    frames : tuple of int
        Their numbers.
    inputs, outputs : ndarray of float32, shape (frame, y, x)
        Corrected rapid frames, and the filtered ones; NaN = not seen [counts].
    halo : int
        Neighbours on either side that the filter saw for each frame.
    """

    name: str
    frames: tuple[int, ...]
    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]
    halo: int


def read_stretches(view: StoreView, shots: FovShots) -> Iterator[Stretch]:
    """Read frames around the one that is shown, for each filter that works frame by frame.

    Parameters
    ----------
    view : StoreView
        Parts that cannot be read are added to its ``problems``.
    shots : FovShots
        Images of one FOV.

    Yields
    ------
    Stretch
        Of filters whose input was corrected as the frames are here: by the map of the FOV, and
        without its drift.
    """
    fov = shots.fov
    store = view.store
    found = correction_of(view, fov)
    distortion = None if found is None else found[1].distortion
    known = None if distortion is None else fingerprint(distortion)
    shape = fov.shape[1:] if distortion is None else distortion.shape
    numbers = _around(shots.frame, fov.shape[0], shape)
    rapid = None
    for filtered in per_frame_filters(fov):
        run = store.attrs(filtered_group(fov.name, filtered.name)).get("run") or {}
        alike = run.get("distortion") == known and not run.get("drift")
        if filtered.kind == "none" or filtered.shape[1:] != shape or not alike:
            continue
        try:
            if rapid is None:
                frames = _read(view, rapid_group(fov.name), numbers)
                rapid = frames if distortion is None else Warp(distortion)(frames)
            places, which = _places(filtered, numbers)
            if places.size:
                yield Stretch(
                    name=filtered.name,
                    frames=tuple(int(n) for n in numbers[which]),
                    inputs=rapid[which],
                    outputs=_read(view, filtered_group(fov.name, filtered.name), places),
                    halo=FilterChoice.from_run(run["filter"]).halo if "filter" in run else 0,
                )
        except UNREADABLE as error:
            view.problems.append(f"{fov.name}/{filtered.name} cannot be read: {first_line(error)}")


def _around(frame: int, count: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    size = min(FRAMES, count, max(2, _MOST_PX // (shape[0] * shape[1])))
    first = min(max(0, frame - size // 2), count - size)
    return np.arange(first, first + size, dtype=np.int64)


def _places(
    filtered: FilterView, numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the places of those frames in a filter's output, and which of them it has."""
    done = np.flatnonzero(filtered.status == DONE)
    _, which, at = np.intersect1d(numbers, filtered.frame_numbers[done], return_indices=True)
    return done[at], which


def _read(view: StoreView, group: str, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    with open_group(view.store, group) as opened:
        first, last = int(places[0]), int(places[-1]) + 1
        frames = opened["frames"].isel(frame=slice(first, last)).values
    return np.asarray(frames[places - first], dtype=np.float32)
