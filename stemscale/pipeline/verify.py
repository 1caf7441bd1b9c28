"""Read everything in a store and compare it with what was recorded when it was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemscale.errors import StoreError
from stemscale.pipeline.events import FovDone, Listener, no_listener
from stemscale.store import (
    SUMMARY,
    AcquisitionStore,
    Damage,
    StorePath,
    array_damage,
    find_contents,
    find_damage,
    natural_order,
    slow_damage,
    slow_group,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    store : Path or ObjectPath
        The store.
    blocks : int
        Blocks of frames read.
    arrays : int
        Other arrays read.
    damage : list of Damage
        What is not as it was written; empty where all is well.
    """

    store: StorePath
    blocks: int
    arrays: int
    damage: list[Damage]


def verify(store: str | Path, *, listener: Listener = no_listener) -> Verification:
    """Read everything in a store and name what is damaged, missing or unfinished.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only read.
    listener : callable
        Told of each FOV read.

    Returns
    -------
    Verification

    Raises
    ------
    StoreError
        If there is no store, or the zarr.json of its root cannot be read.

    Examples
    --------
    One byte of a block of frames is changed, and found:

    >>> from pathlib import Path
    >>> import numpy as np
    >>> import stemscale
    >>> np.save("fov04.npy", np.arange(96, dtype=np.uint16).reshape(3, 4, 8))
    >>> _ = stemscale.ingest("damaged.zarr", "fov04.npy")
    >>> stemscale.verify("damaged.zarr").damage
    []
    >>> shard = Path("damaged.zarr/fov04/rapid/frames/c/0/0/0")
    >>> content = bytearray(shard.read_bytes())
    >>> content[10] ^= 1
    >>> _ = shard.write_bytes(content)
    >>> [(damage.group, damage.block) for damage in stemscale.verify("damaged.zarr").damage]
    [('fov04/rapid', 0)]
    """
    target = AcquisitionStore(store)
    contents = find_contents(target)
    damage = list(contents.damage)
    by_fov: dict[str, list[tuple[str, str]]] = {}
    for group, name in contents.arrays:
        by_fov.setdefault(group.partition("/")[0], []).append((group, name))
    summary = by_fov.pop(SUMMARY, [])
    blocks = 0
    for i, fov in enumerate(sorted(by_fov, key=natural_order), start=1):
        for group, name in by_fov[fov]:
            found = list(_read(target, group, name, unfinished=group in contents.unfinished))
            blocks += len(found) if name == "frames" else 0
            damage += filter(None, found)
        listener(FovDone(fov=fov, done=i, total=len(by_fov)))
    damage += filter(None, (array_damage(target, group, name) for group, name in summary))
    return Verification(
        store=target.path,
        blocks=blocks,
        arrays=sum(name != "frames" for _, name in contents.arrays),
        damage=sorted(damage, key=lambda d: natural_order(d.group)),
    )


def _read(
    store: AcquisitionStore, group: str, name: str, *, unfinished: bool
) -> Iterator[Damage | None]:
    """Read an array: one result for each block of frames, one for any other array."""
    fov = group.partition("/")[0]
    if name == "frames":
        try:
            yield from find_damage(store, group)
        except StoreError as error:  # of its ledger, which lies beside the store
            yield Damage(group=group, reason=str(error))
    elif group == slow_group(fov) and name == "image":
        yield slow_damage(store, fov, unfinished=unfinished)
    else:
        yield array_damage(store, group, name, unfinished=unfinished)
