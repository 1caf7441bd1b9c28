"""Blocks that do as they are told, in a module that workers can import."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from stemscale.errors import DamagedDataError, StoreUnavailableError


@dataclass(frozen=True)
class Work:
    """A block that does what its number in ``what`` says, and notes each of its tries."""

    block: int
    folder: str
    what: str = "good"
    fov: str = "fov01"
    group: str = "fov01/filtered/x"
    frames: int = 2
    epoch: int = 1


@dataclass(frozen=True)
class Done:
    scores: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)


def make(work):
    note = Path(work.folder) / f"{work.block}.{time.time_ns()}.try"
    note.touch()
    if work.what == "raise":
        raise ValueError("no such luck")
    if work.what == "damaged":
        raise DamagedDataError("raw block 3 is missing")
    if work.what == "die":
        time.sleep(0.2)  # its neighbours are being worked on
        os._exit(9)
    if work.what == "full" and not (Path(work.folder) / "room").exists():
        raise StoreUnavailableError("no space left")
    return Done()
