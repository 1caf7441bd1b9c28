"""Whether everything in a store still is what was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from stemscale.errors import DamagedDataError
from stemscale.store.acquisition_store import AcquisitionStore
from stemscale.store.frames import FramesArray
from stemscale.store.layout import filtered_group, rapid_group, slow_group
from stemscale.store.ledger import checksum


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing in a store that is not as it was written.

    Attributes
    ----------
    group : str
        Path of the group.
    block : int or None
        Number of the block; None for a slow scan.
    start, stop : int or None
        Frames concerned.
    reason : str
        What is wrong.
    """

    group: str
    block: int | None
    start: int | None
    stop: int | None
    reason: str


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
    """
    found: dict[int, tuple[int, int]] = {}
    root = store.path / group
    if (root / "block_crc32" / "zarr.json").is_file():
        sizes = np.asarray(zarr.open_array(root / "block_size", mode="r")[:])
        crcs = np.asarray(zarr.open_array(root / "block_crc32", mode="r")[:])
        found = {i: (int(s), int(c)) for i, (s, c) in enumerate(zip(sizes, crcs, strict=True)) if s}
    # The ledger is newer while a run is under way.
    return found | {i: (r.size, r.crc32) for i, r in store.ledger(group).records().items()}


def frame_groups(store: AcquisitionStore, fov: str) -> list[str]:
    """Paths of all groups of frames of a FOV."""
    return [rapid_group(fov), *(filtered_group(fov, name) for name in store.filters(fov))]


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
        One for each block; None where it is whole.
    """
    frames = store.frames(group)
    expected = block_checksums(store, group)
    for index in range(frames.n_blocks):
        reason = _block_damage(frames, index, expected.get(index))
        start, stop = frames.bounds(index)
        yield reason and Damage(group=group, block=index, start=start, stop=stop, reason=reason)


def _block_damage(
    frames: FramesArray, index: int, expected: tuple[int, int] | None
) -> Any:  # a reason, or None
    shard = frames.shard(index)
    if expected is None:
        return "never finished" if shard.is_file() else "not written yet"
    if not shard.is_file():
        return "missing"
    size, crc32 = checksum(shard)
    if size != expected[0]:
        return f"{size} bytes long, but {expected[0]} were written"
    if crc32 != expected[1]:
        return f"changed since it was written (CRC-32 {crc32:08x}, was {expected[1]:08x})"
    try:
        frames.read(*frames.bounds(index))
    except DamagedDataError as error:
        return f"cannot be decoded ({error.__cause__})"
    return None


def slow_damage(store: AcquisitionStore, fov: str) -> Damage | None:
    """Compare the slow scan of a FOV with what was recorded, if it has one."""
    group = slow_group(fov)
    if not store.has(group):
        return None
    file = store.path / group / "image" / "c" / "0" / "0"
    recorded = store.attrs(group).get("image_crc32")
    reason = None
    if not file.is_file():
        reason = "missing"
    elif (found := checksum(file)[1]) != recorded:
        reason = f"changed since it was written (CRC-32 {found:08x}, was {recorded or 0:08x})"
    return reason and Damage(group=group, block=None, start=None, stop=None, reason=reason)  # type: ignore[return-value]
