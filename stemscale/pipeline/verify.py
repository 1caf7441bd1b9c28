"""Read everything in a store and compare it with what was recorded when it was written."""

from dataclasses import dataclass
from pathlib import Path

from stemscale.pipeline.events import FovDone, Listener, no_listener
from stemscale.store import AcquisitionStore, Damage, find_damage, frame_groups, slow_damage


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    store : Path
        The store.
    blocks : int
        Blocks read.
    damage : list of Damage
        What is not as it was written; empty where all is well.
    """

    store: Path
    blocks: int
    damage: list[Damage]


def verify(store: str | Path, *, listener: Listener = no_listener) -> Verification:
    """Read every block of a store and name what is damaged, missing or unfinished.

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
        If there is no store.
    """
    target = AcquisitionStore(store)
    fovs = target.fovs()
    damage: list[Damage] = []
    blocks = 0
    for i, fov in enumerate(fovs, start=1):
        for group in frame_groups(target, fov):
            for found in find_damage(target, group):
                blocks += 1
                damage += [found] if found is not None else []
        slow = slow_damage(target, fov)
        damage += [slow] if slow is not None else []
        listener(FovDone(fov=fov, step="verify", done=i, total=len(fovs)))
    return Verification(store=target.path, blocks=blocks, damage=damage)
