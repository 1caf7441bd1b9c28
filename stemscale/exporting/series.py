"""A series of a store, or its slow scan, as a writer of files needs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemscale.acquisition import Frames, ScanSettings
from stemscale.errors import SettingsError, StoreError
from stemscale.store import AcquisitionStore, filtered_group, rapid_group, slow_group


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Frames to be written, read piece by piece.

    Attributes
    ----------
    store : AcquisitionStore
        The store.
    fov : str
        Field of view.
    group : str
        Path of the group.
    title : str
        For the file.
    settings : ScanSettings
        Of the frames.
    n_frames : int
        1 for a slow scan.
    dtype : dtype
        Of a pixel.
    is_image : bool
        Whether it is one image, without an axis of frames.
    per_frame : mapping of str to list
        Coordinates along ``frame``; clock times as ISO 8601, words as words.
    attrs : mapping
        Attributes of the group.
    """

    store: AcquisitionStore
    fov: str
    group: str
    title: str
    settings: ScanSettings
    n_frames: int
    dtype: np.dtype[Any]
    is_image: bool
    per_frame: Mapping[str, list[Any]]
    attrs: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frame, y, x)."""
        return self.n_frames, *self.settings.shape

    @property
    def block(self) -> int:
        """Frames that are read at a time."""
        return 1 if self.is_image else self.store.frames(self.group).block

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        DamagedDataError
            If a block is damaged.
        """
        if self.is_image:
            image = self.store.slow_image(self.fov)
            assert image is not None  # it was there when the series was opened
            return image[None]
        return self.store.frames(self.group).read(start, stop)

    def pieces(self) -> Iterator[Frames]:
        """Read the series block by block, shape (frame, y, x) each."""
        for start in range(0, self.n_frames, self.block):
            yield self.read(start, min(start + self.block, self.n_frames))


def open_series(
    store: AcquisitionStore, fov: str | None, filtered: str | None, slow: bool
) -> Series:
    """Find what is to be exported.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str or None
        Field of view; may be left out where there is only one.
    filtered : str or None
        Name of filtered frames instead of those recorded.
    slow : bool
        The slow scan instead.

    Returns
    -------
    Series

    Raises
    ------
    SettingsError
        If it is not clear what is meant.
    StoreError
        If it is not there.
    """
    if filtered is not None and slow:
        raise SettingsError("give either --filtered or --slow: one file holds one of them")
    fovs = store.require_fovs([fov] if fov else [])
    if len(fovs) > 1:
        raise SettingsError(f"{store.path} has several FOVs: choose with --fov {', '.join(fovs)}")
    (name,) = fovs
    if slow:
        return _slow(store, name)
    group = rapid_group(name) if filtered is None else filtered_group(name, filtered)
    if not store.has(f"{group}/frames"):
        there = ", ".join(store.filters(name)) or "none"
        raise StoreError(f"{store.path}: {name} was not filtered as {filtered}: it has {there}")
    frames = store.frames(group)
    what = "rapid" if filtered is None else filtered
    return Series(
        store=store,
        fov=name,
        group=group,
        title=f"{name} {what}",
        settings=store.settings(group),
        n_frames=frames.shape[0],
        dtype=frames.dtype,
        is_image=False,
        per_frame=_per_frame(store, group),
        attrs=store.attrs(group),
    )


def _slow(store: AcquisitionStore, fov: str) -> Series:
    image = store.slow_image(fov)
    if image is None:
        raise StoreError(f"{store.path}: {fov} has no slow scan")
    group = slow_group(fov)
    return Series(
        store=store,
        fov=fov,
        group=group,
        title=f"{fov} slow",
        settings=store.settings(group),
        n_frames=1,
        dtype=image.dtype,
        is_image=True,
        per_frame={},
        attrs=store.attrs(group),
    )


def _per_frame(store: AcquisitionStore, group: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with store.dataset(group) as dataset:
        for name, column in dataset.coords.items():
            if column.dims != ("frame",) or name == "frame":
                continue
            words = column.attrs.get("flag_meanings", "").split()
            if column.dtype.kind == "M":
                found[str(name)] = [str(t) for t in column.values]
            elif words:
                found[str(name)] = [words[int(c)] for c in column.values]
            else:
                found[str(name)] = column.values.tolist()
    return found
