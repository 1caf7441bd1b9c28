"""What happens while a report is made; progress bars and tests listen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class PartDone:
    """A part of the report is drawn.

    Attributes
    ----------
    fov : str
        What it shows: a field of view, or another word.
    done, total : int
        Parts so far, and in all.
    """

    fov: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileWritten:
    """A file is whole and at its place.

    Attributes
    ----------
    path : Path
        The file.
    """

    path: Path


Listener = Callable[[PartDone | FileWritten], object]


def no_listener(event: PartDone | FileWritten) -> None:
    """Listen to nothing."""
