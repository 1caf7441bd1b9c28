"""Whether everything in a store still is what was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stemscale.errors import DamagedDataError, StoreError, StoreUnavailableError
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.files import checksum
from stemscale.store.frames import FramesArray
from stemscale.store.layout import slow_group
from stemscale.store.metadata import (
    FILE,
    find_nodes,
    read_root,
    recorded_nodes,
    root_damage,
    same_node,
)

_CHANGED = "not as the root has it on record, so what it describes was not read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing in a store that is not as it was written.

    Attributes
    ----------
    group : str
        Path of the group; empty for the root.
    name : str or None
        What of the group: an array, or a ``zarr.json``; None for the group itself, or its frames.
    block : int or None
        Number of the block of frames.
    start, stop : int or None
        Frames concerned.
    reason : str
        What is wrong.
    """

    group: str
    name: str | None = None
    block: int | None = None
    start: int | None = None
    stop: int | None = None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What there is in a store, by its zarr.json files.

    Attributes
    ----------
    arrays : list of (group, name)
        Arrays that can be read by theirs.
    unfinished : set of str
        Groups that a verb is changing, or was when it was killed.
    damage : list of Damage
        Every zarr.json that is not as it was written, and groups that no verb has finished.
    """

    arrays: list[tuple[str, str]]
    unfinished: set[str]
    damage: list[Damage]


def find_contents(store: AcquisitionStore) -> Contents:
    """Compare every zarr.json of a store with what the root has on record.

    Parameters
    ----------
    store : AcquisitionStore

    Returns
    -------
    Contents

    Raises
    ------
    DamagedDataError
        If that of the root cannot be read.
    """
    root = read_root(store.path)
    reason = root_damage(root)
    damage = [] if reason is None else [Damage(group="", name=FILE, reason=reason)]
    recorded = recorded_nodes(root)
    nodes = find_nodes(store.path, recorded or {})
    known = nodes.found if recorded is None else recorded
    changing = store.changing()
    begun: set[str] = set()
    arrays = []
    for path in sorted({*nodes.found, *nodes.missing, *nodes.unreadable}):
        node, was = nodes.found.get(path), known.get(path)
        kind = (node or was or {}).get("node_type")
        group, _, name = (path, "", "") if kind == "group" else path.rpartition("/")
        is_same = node is not None and was is not None and same_node(node, was)
        is_begun = was is None or group in changing
        reason = nodes.unreadable.get(path)
        if reason is None and not is_same:
            reason = "missing" if node is None else _CHANGED
            if is_begun:
                begun.add(group)
                reason = None
        folder = store.path / path
        if reason is not None and folder.parent.is_dir():  # else its parent is named
            what = "/".join(filter(None, (name, FILE if folder.is_dir() else ""))) or None
            damage.append(Damage(group=group, name=what, reason=reason))
        if kind == "array" and node is not None and reason is None:
            arrays.append((group, name))
    damage += [
        Damage(group=g, reason="never finished") for g in sorted(begun) if not _within(g, begun)
    ]
    return Contents(arrays=arrays, unfinished=changing | begun, damage=damage)


def _within(group: str, others: set[str]) -> bool:
    parts = group.split("/")
    return any("/".join(parts[:i]) in others for i in range(1, len(parts)))


def block_checksums(store: AcquisitionStore, group: str) -> dict[int, tuple[int, int]]:
    """Give size and CRC-32 of every block written, from the store itself or from its ledger.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.

    Returns
    -------
    dict of int to (size, crc32)
        A finished group carries them itself, so that a copy verifies without its ledger.

    Raises
    ------
    DamagedDataError
        If a complete group no longer has them.
    """
    found: dict[int, tuple[int, int]] = {}
    columns = []
    for name in ("block_size", "block_crc32"):
        damage = array_damage(store, group, name)
        if damage is None:
            columns.append(np.asarray(store.array(f"{group}/{name}")[:]))
        elif _is_complete(store, group):
            raise DamagedDataError(
                f"{store.path}/{group} {name}: {damage.reason}: run `stemscale verify` to see what "
                f"else is damaged"
            )
    if len(columns) == 2:
        rows = np.stack(columns, axis=1).tolist()
        found = {i: (size, crc32) for i, (size, crc32) in enumerate(rows) if size}
    # The ledger is newer while a run is under way.
    return found | _ledger_checksums(store, group)


def damaged_blocks(store: AcquisitionStore, group: str) -> list[int]:
    """Give the blocks whose shards are not what was written, byte for byte.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a complete group of frames.

    Returns
    -------
    list of int
        All of them where nobody knows any more what was written.
    """
    frames = store.frames(group)
    try:
        expected = block_checksums(store, group)
    except DamagedDataError:
        expected = _ledger_checksums(store, group)
    return [i for i in range(frames.n_blocks) if _found(frames, i) != expected.get(i, ())]


def _found(frames: FramesArray, index: int) -> tuple[int, int] | None:
    """Size and CRC-32 of a shard, or None where there is none."""
    try:
        return checksum(frames.shard(index))
    except FileNotFoundError:
        return None


def _ledger_checksums(store: AcquisitionStore, group: str) -> dict[int, tuple[int, int]]:
    return {i: (r.size, r.crc32) for i, r in store.ledger(group).records().items()}


def find_damage(store: AcquisitionStore, group: str) -> Iterator[Damage | None]:
    """Read every block of a group of frames and compare it with what was recorded.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.

    Yields
    ------
    Damage or None
        One for each block; None where it is whole. One for all where the array cannot be opened.
    """
    try:
        frames = store.frames(group)
    except StoreUnavailableError:
        raise
    except Exception as error:  # damaged metadata make Zarr raise anything
        yield Damage(group=group, name="frames", reason=f"cannot be opened ({error})")
        return
    try:
        expected = block_checksums(store, group)
    except DamagedDataError:  # named by `array_damage`
        expected = _ledger_checksums(store, group)
    complete = _is_complete(store, group)
    for index in range(frames.n_blocks):
        reason = _block_damage(frames, index, expected.get(index), complete=complete)
        start, stop = frames.bounds(index)
        yield reason and Damage(group=group, block=index, start=start, stop=stop, reason=reason)


def _block_damage(
    frames: FramesArray, index: int, expected: tuple[int, int] | None, *, complete: bool
) -> Any:  # a reason, or None
    there = frames.load(index)
    if there is None:
        return "missing" if expected or complete else "not written yet"
    if expected is None and not complete:
        return "never finished"
    (size, crc32), decode = there
    # Without what was recorded of a block of a complete series, its own checksums have to do.
    was_size, was_crc32 = expected or (size or None, crc32)
    if size != was_size:
        return f"{size} bytes long, but {was_size or 'more'} were written"
    if crc32 != was_crc32:
        return f"changed since it was written (CRC-32 {crc32:08x}, was {was_crc32:08x})"
    try:
        decode()
    except DamagedDataError as error:
        return f"cannot be decoded ({error.__cause__})"
    return None


def array_damage(
    store: AcquisitionStore, group: str, name: str, *, unfinished: bool = False
) -> Damage | None:
    """Read a small array whole: every chunk must be there, and pass its checksum.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of its group.
    name : str
        Of the array.
    unfinished : bool
        Whether a chunk that is not there may be one that is yet to be written.

    Returns
    -------
    Damage or None
    """
    folder = store.path / group / name
    reason: str | None = None
    if not (folder / FILE).is_file():
        return Damage(group=group, name=name, reason="missing")
    try:
        array = store.array(f"{group}/{name}")
        chunks = product(
            *(range(-(-n // c)) for n, c in zip(array.shape, array.chunks, strict=True))
        )
        keys = [array.metadata.encode_chunk_key(c) for c in chunks]
        lost = sum(not (folder / k).is_file() for k in keys)
        if lost:
            reason = "not written yet" if unfinished else "missing"
            reason += f" ({lost} of {len(keys)} chunks)" if len(keys) > 1 else ""
        else:
            array[...]
    except StoreUnavailableError:
        raise
    except Exception as error:  # damaged bytes make codecs raise anything
        reason = f"cannot be decoded ({error})"
    return None if reason is None else Damage(group=group, name=name, reason=reason)


def slow_damage(store: AcquisitionStore, fov: str, *, unfinished: bool = False) -> Damage | None:
    """Compare the slow scan of a FOV with what was recorded, if it has one."""
    group = slow_group(fov)
    if not (store.path / group).is_dir():
        return None
    file = store.path / group / "image" / "c" / "0" / "0"
    recorded = _attribute(store, group, "image_crc32")
    if recorded is None or not file.is_file() or (found := checksum(file)[1]) == recorded:
        return array_damage(store, group, "image", unfinished=unfinished)
    reason = f"changed since it was written (CRC-32 {found:08x}, was {recorded:08x})"
    return Damage(group=group, name="image", reason=reason)


def _is_complete(store: AcquisitionStore, group: str) -> bool:
    return bool(_attribute(store, group, "state") == "complete")


def _attribute(store: AcquisitionStore, group: str, name: str) -> Any:
    try:
        return store.attrs(group).get(name)
    except StoreError:  # named by `find_contents`
        return None
