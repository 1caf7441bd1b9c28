"""The series that a movie shows side by side, and the frames of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, positive
from stemscale.errors import DamagedDataError, SettingsError, StoreError
from stemscale.movies.columns import frame_column
from stemscale.movies.correction import undoing
from stemscale.store import (
    DAMAGED,
    DONE,
    FAILED,
    PENDING,
    AcquisitionStore,
    as_seen,
    block_checksums,
    filtered_group,
    frame_states,
    rapid_group,
)
from stemscale.views.store_view import makes_average

FloatImage = NDArray[np.float32]

RAW = ("corrected", "recorded", "none")

_NOT_RECORDED, _DAMAGED = "not recorded yet", "damaged"
_WHY = {
    PENDING: "not filtered yet",
    FAILED: "filter failed",
    DAMAGED: "damaged input",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """One series of pictures.

    Attributes
    ----------
    name : str
        "rapid", or that of the filter.
    is_raw : bool
        Whether nothing but distortion and drift is taken away.
    same_place : bool
        Whether its pixels show what those of the other panels show.
    title : str
        Over the pictures.
    shape : tuple of int
        (n_y, n_x) of a picture [px].
    pixel_size_nm : float or None
        [nm].
    block : int
        Frames that are stored together.
    places : ndarray of int64, shape (frame of the series,)
        Where in the group each frame of the series lies; -1 where it is not.
    missing : mapping of int to str
        Why there is no picture of a frame of the series, in words.
    load : callable
        Given the first place and the one after the last, reads stored frames.
    convert : callable
        Given stored frames and the place of the first, gives pictures: NaN = not seen [counts].
    note : str
        What could not be done for it, and the remedy; else empty.
    """

    name: str
    is_raw: bool
    same_place: bool
    title: str
    shape: tuple[int, int]
    pixel_size_nm: float | None
    block: int
    places: NDArray[np.int64]
    missing: dict[int, str]
    load: Callable[[int, int], Frames]
    convert: Callable[[Frames, int], FloatImage]
    note: str = ""

    def pictures(self, wanted: Sequence[int]) -> Iterator[FloatImage | str]:
        """Read frames of the series, one after the other.

        Parameters
        ----------
        wanted : sequence of int
            Their numbers, rising; they should lie near each other, as all between are read.

        Yields
        ------
        ndarray of float32, shape (y, x), or str
            The picture; or, in words, why there is none.
        """
        places = [int(self.places[n]) for n in wanted if n not in self.missing]
        first, last = min(places, default=0), max(places, default=-1) + 1
        try:
            stored = self.load(first, last) if places else None
        except DamagedDataError:
            stored = None
        for number in wanted:
            if number in self.missing:
                yield self.missing[number]
            elif stored is None:
                yield _DAMAGED
            else:
                at = int(self.places[number])
                yield self.convert(stored[at - first : at - first + 1], at)[0]


def choose_fov(store: AcquisitionStore, fov: str | None) -> str:
    """Give the FOV that is meant.

    Raises
    ------
    SettingsError
        If there are several and none is named.
    StoreError
        If it is not there.
    """
    found = store.require_fovs([fov] if fov else [])
    if len(found) > 1:
        raise SettingsError(f"{store.path} has several FOVs: choose with --fov {', '.join(found)}")
    return found[0]


def choose_filters(store: AcquisitionStore, fov: str, wanted: Sequence[str]) -> list[str]:
    """Give the names of the filters to show: those asked for, else the learned ones.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    wanted : sequence of str
        In the order in which they are shown.

    Returns
    -------
    list of str
        By default averages of the whole series are left out, and ``none``, which is what the raw
        panel shows; others than learned ones are shown where there is no learned one.

    Raises
    ------
    StoreError
        If one is not there.
    """
    there = store.filters(fov)
    for name in wanted:
        if name not in there:
            listed = ", ".join(there) or "none"
            raise StoreError(f"{store.path}: {fov} was not filtered as {name}: it has {listed}")
    if wanted:
        return list(dict.fromkeys(wanted))
    learned, others = [], []
    for name in there:
        attrs = store.attrs(filtered_group(fov, name))
        if "filter_card" in attrs:
            learned.append(name)
        elif attrs.get("filter") != "none" and not _is_whole_series(store, fov, name):
            others.append(name)
    return learned or others


def open_panels(
    store: AcquisitionStore, fov: str, filters: Sequence[str], *, raw: str
) -> tuple[list[Panel], int]:
    """Open the series of a FOV that are to be shown.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
        Field of view.
    filters : sequence of str
        Names of filtered frames.
    raw : str
        One of `RAW`.

    Returns
    -------
    panels : list of Panel
        The raw frames first, unless ``raw`` is "none".
    n_frames : int
        Frames of the series.

    Raises
    ------
    SettingsError
        If ``raw`` is unknown, or nothing would be shown.
    StoreError
        If the series has no frame yet.
    """
    if raw not in RAW:
        raise SettingsError(f"--raw {raw} is unknown: choose one of {', '.join(RAW)}")
    if raw == "none" and not filters:
        raise SettingsError(
            f"--raw none, and {fov} has no filtered frames: nothing would be shown; name filters "
            f"with --filter, or leave --raw out"
        )
    panel, n_frames = _raw_panel(store, fov, filters, as_recorded=raw == "recorded")
    shown = [] if raw == "none" else [panel]
    return [*shown, *(_filtered_panel(store, fov, f, n_frames) for f in filters)], n_frames


def _raw_panel(
    store: AcquisitionStore, fov: str, filters: Sequence[str], *, as_recorded: bool
) -> tuple[Panel, int]:
    group = rapid_group(fov)
    frames = store.frames(group)
    expected = block_checksums(store, group)
    written = [frames.bounds(i) for i in expected if i < frames.n_blocks]
    n_frames = max((stop for _, stop in written), default=0)
    if not n_frames:
        raise StoreError(f"{store.path}: {fov} has no frame yet: wait, or ingest it again")
    groups = [filtered_group(fov, f) for f in filters]
    correction, warp, lost = undoing(store, fov, groups, as_recorded=as_recorded)
    size = positive(store.attrs(group).get("pixel_size_nm"))
    if size is not None and correction is not None:
        size *= correction.pixel_ratio
    there = {n for bounds in written for n in range(*bounds)}
    panel = Panel(
        name="rapid",
        is_raw=True,
        same_place=correction is not None,
        title=f"rapid, {'as recorded' if correction is None else correction.words}",
        shape=frames.shape[1:] if correction is None else correction.shape,
        pixel_size_nm=size,
        block=frames.block,
        places=np.arange(n_frames, dtype=np.int64),
        missing={n: _NOT_RECORDED for n in range(n_frames) if n not in there},
        load=_loader(store, group, expected),
        convert=warp,
        note=lost,
    )
    return panel, n_frames


def _filtered_panel(store: AcquisitionStore, fov: str, name: str, n_frames: int) -> Panel:
    group = filtered_group(fov, name)
    frames = store.frames(group)
    attrs = store.attrs(group)
    states = frame_states(
        store,
        group,
        frames.shape[0],
        stored=frame_column(store, group, "frame_status"),
        complete=attrs.get("state", "complete") == "complete",
    )
    places = np.full(n_frames, -1, dtype=np.int64)
    if _is_whole_series(store, fov, name):
        places[:] = 0
    else:
        numbers = frame_column(store, group, "frame")
        known = np.arange(states.size) if numbers is None else numbers.astype(np.int64)
        at = np.arange(min(states.size, known.size))
        inside = (known[at] >= 0) & (known[at] < n_frames)
        places[known[at][inside]] = at[inside]
    found = [states[p] if p >= 0 else PENDING for p in places.tolist()]
    return Panel(
        name=name,
        is_raw=False,
        same_place=True,
        title=_filter_title(store, fov, name, attrs),
        shape=frames.shape[1:],
        pixel_size_nm=positive(attrs.get("pixel_size_nm")),
        block=frames.block,
        places=places,
        missing={n: _WHY.get(int(s), _DAMAGED) for n, s in enumerate(found) if s != DONE},
        load=_loader(store, group, block_checksums(store, group)),
        convert=lambda stored, _: as_seen(stored),
    )


def _filter_title(store: AcquisitionStore, fov: str, name: str, attrs: dict[str, Any]) -> str:
    if _is_whole_series(store, fov, name):
        return f"{name}, average of the series"
    if isinstance(window := attrs.get("window"), int):
        return f"{name}, average of {window} frames"
    return f"{name}, trained on this FOV" if attrs.get("trained_on") is True else name


def _is_whole_series(store: AcquisitionStore, fov: str, name: str) -> bool:
    """Tell whether a filter makes one picture of all frames."""
    group = filtered_group(fov, name)
    return makes_average(store.attrs(group), store.frames(group).shape[0])


def _loader(
    store: AcquisitionStore, group: str, expected: dict[int, tuple[int, int]]
) -> Callable[[int, int], Frames]:
    """Give what reads frames, and finds out when they are not what was written."""
    frames = store.frames(group)

    def load(first: int, last: int) -> Frames:
        try:
            return frames.read_checked(first, last, expected)[0]
        except DamagedDataError:
            # the last block of a growing series is written anew with more frames
            expected.update(block_checksums(store, group))
            return frames.read_checked(first, last, expected)[0]

    return load
