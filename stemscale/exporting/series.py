"""A series of a store, or its slow scan, as a writer of files needs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemscale.acquisition import Frames, ScanSettings
from stemscale.errors import DamagedDataError, SettingsError, StoreError
from stemscale.store import (
    AcquisitionStore,
    FramesArray,
    block_checksums,
    filtered_group,
    rapid_group,
    slow_damage,
    slow_group,
)


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
    block : int
        Frames that are read at a time.
    unwritten : frozenset of int
        Blocks of filtered frames that are not made yet, or failed: all fill value.
    per_frame : mapping of str to ndarray or list
        What the group has along ``frame``; clock times as ISO 8601 and words as lists of text, as
        are flags: the names of those that are set, "" where none is.
    coordinates : mapping of str to mapping
        ``units`` and ``long_name`` of those among them that are coordinates, and not results.
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
    block: int
    unwritten: frozenset[int]
    per_frame: Mapping[str, Any]
    coordinates: Mapping[str, Mapping[str, str]]
    attrs: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """(frame, y, x), or (y, x) of an image."""
        return self.settings.shape if self.is_image else (self.n_frames, *self.settings.shape)

    @property
    def unwritten_frames(self) -> int:
        """Frames that are all fill value."""
        starts = (i * self.block for i in self.unwritten)
        return sum(min(self.block, self.n_frames - s) for s in starts)

    def pieces(self) -> Iterator[Frames]:
        """Read the series block by block, shape (frame, y, x) each.

        Raises
        ------
        DamagedDataError
            If a block is damaged or missing.
        """
        if self.is_image:
            image = self.store.slow_image(self.fov)
            assert image is not None  # it was there when the series was opened
            yield image[None]
            return
        frames = self.store.frames(self.group)
        for index in range(frames.n_blocks):
            yield frames.read(*frames.bounds(index))


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
    DamagedDataError
        If blocks are missing or too short, so that they would read as zeros.
    """
    if filtered is not None and slow:
        raise SettingsError("give either --filtered or --slow: one file holds one of them")
    fovs = store.require_fovs([fov] if fov else [])
    if len(fovs) > 1:
        raise SettingsError(f"{store.path} has several FOVs: choose with --fov {', '.join(fovs)}")
    (name,) = fovs
    if slow:
        return _slow(store, name)
    there = store.filters(name)
    if filtered is not None and filtered not in there:
        listed = ", ".join(there) or "none"
        raise StoreError(f"{store.path}: {name} was not filtered as {filtered}: it has {listed}")
    group = rapid_group(name) if filtered is None else filtered_group(name, filtered)
    frames = store.frames(group)
    per_frame, coordinates = _per_frame(store, group)
    return Series(
        store=store,
        fov=name,
        group=group,
        title=f"{name} {filtered or 'rapid'}",
        settings=store.settings(group),
        n_frames=frames.shape[0],
        dtype=frames.dtype,
        is_image=False,
        block=frames.block,
        unwritten=_unwritten(store, frames, may_lack=filtered is not None),
        per_frame=per_frame,
        coordinates=coordinates,
        attrs=store.attrs(group),
    )


def _unwritten(store: AcquisitionStore, frames: FramesArray, *, may_lack: bool) -> frozenset[int]:
    """Find blocks without pixels: Zarr reads them as zeros and says nothing."""
    recorded = block_checksums(store, frames.group)
    lacking = set()
    for index in range(frames.n_blocks):
        shard = frames.shard(index)
        expected = recorded.get(index)
        size = shard.stat().st_size if shard.is_file() else 0
        if size and (expected is None or size == expected[0]):
            continue
        if size or expected is not None or not may_lack:
            start, stop = frames.bounds(index)
            what = f"has {size} bytes of {expected[0]}" if expected else "was never written"
            raise DamagedDataError(
                f"{store.path}: the block of frames {start} to {stop - 1} of {frames.group} "
                f"{what}: run `stemscale verify` to see what is damaged"
            )
        lacking.add(index)
    return frozenset(lacking)


def _slow(store: AcquisitionStore, fov: str) -> Series:
    group = slow_group(fov)
    if not store.has(group):
        raise StoreError(f"{store.path}: {fov} has no slow scan")
    if (damage := slow_damage(store, fov)) is not None:
        raise DamagedDataError(f"{store.path}: the slow scan of {fov} is damaged: {damage.reason}")
    image = store.slow_image(fov)
    assert image is not None  # else it would count as damaged
    return Series(
        store=store,
        fov=fov,
        group=group,
        title=f"{fov} slow",
        settings=store.settings(group),
        n_frames=1,
        dtype=image.dtype,
        is_image=True,
        block=1,
        unwritten=frozenset(),
        per_frame={},
        coordinates={},
        attrs=store.attrs(group),
    )


def _per_frame(
    store: AcquisitionStore, group: str
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    found: dict[str, Any] = {}
    about: dict[str, dict[str, str]] = {}
    with store.dataset(group) as dataset:
        for name, column in dataset.variables.items():
            if column.dims[:1] != ("frame",) or name in ("frame", "frames"):
                continue
            words = column.attrs.get("flag_meanings", "").split()
            if column.dtype.kind == "M":
                found[str(name)] = [str(t) for t in column.values]
            elif "flag_values" in column.attrs:
                found[str(name)] = [words[int(c)] for c in column.values]
            elif "flag_masks" in column.attrs:  # several may hold of one frame, or none
                masks = dict(zip(words, np.atleast_1d(column.attrs["flag_masks"]), strict=True))
                found[str(name)] = [
                    ", ".join(word for word, mask in masks.items() if int(c) & int(mask))
                    for c in column.values
                ]
            else:
                found[str(name)] = np.asarray(column.values)
            if name in dataset.coords:
                known = {k: str(column.attrs.get(k, "")) for k in ("units", "long_name")}
                about[str(name)] = {k: v for k, v in known.items() if v}
    return found, about
