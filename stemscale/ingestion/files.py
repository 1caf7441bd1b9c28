"""The files behind a series: what tells one from another."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscale.ingestion.folders import path_order


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One input, a file or a folder of files, as a store remembers it.

    Attributes
    ----------
    name : str
        Without the folders above it.
    size : int
        Bytes in all.
    changed_ns : int
        Time of the latest change [ns since 1970-01-01].
    """

    name: str
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Look at a file or folder."""
        about = [f.stat() for f in _below(path)]
        return cls(
            name=path.name,
            size=sum(a.st_size for a in about),
            changed_ns=max((a.st_mtime_ns for a in about), default=0),
        )

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {"name": self.name, "size": self.size, "changed_ns": self.changed_ns}


def content_hash(paths: Iterable[Path], *more: str) -> str:
    """Name inputs by what is in them.

    Parameters
    ----------
    paths : iterable of Path
        Files, or folders of which every file counts.
    *more : str
        What else makes a difference, such as the detector that was chosen.

    Returns
    -------
    str
        SHA-256, as hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in _below(path):
            with file.open("rb") as stream:
                while piece := stream.read(2**22):
                    digest.update(piece)
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()


def _below(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = (f for f in path.rglob("*") if f.is_file())
    return sorted(found, key=lambda f: path_order(f.relative_to(path)))
