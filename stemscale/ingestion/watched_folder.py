"""A folder that gets files of frames one after the other, or one file that comes whole."""

import os
import time
from bisect import bisect_right, insort
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stemscale.acquisition import Frames
from stemscale.errors import InputFileError
from stemscale.ingestion.finished_file import PendingFile, Signature, signature
from stemscale.ingestion.folders import path_order
from stemscale.ingestion.joined import JoinedSource
from stemscale.ingestion.readers import open_series, readable_extensions
from stemscale.ingestion.source import FrameSource

_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".lock")
_LISTING_SHARE = 30  # at most one part of this many of a core goes into listing a folder
_STACK_STILL_S = 2.0  # a stack that gets page after page looks whole after each


class WatchedFolder:
    """Files of frames in the order of their names, each taken once it is whole.

    Hidden files and temporary names do not count, nor do files without a reader. A file that is
    not whole holds up those behind it; where it does not change for ``patience_s``, it is left
    out. So is one that comes after its turn, and one that is unlike the first.

    Parameters
    ----------
    path : Path
        Folder, or one file that no frames are appended to; it may not be there yet.
    detector : str or None
        As for `open_one`.
    no_frames : collection of Path
        Files that may lie there too: the slow scan, a table.
    left_out : mapping of str to str, optional
        What was left out before, and why: it stays so.
    patience_s : float
        How long a file that is not whole is waited for after its last change [s].
    """

    def __init__(
        self,
        path: Path,
        *,
        detector: str | None = None,
        no_frames: Collection[Path] = (),
        left_out: Mapping[str, str] | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self.left_out = dict(left_out or {})
        self._path = path
        self._detector = detector
        self._no_frames = {f.absolute() for f in no_frames}
        self._patience_s = patience_s
        self._kinds = frozenset(readable_extensions()) - {".emi"}  # it lists .ser files
        self._known: set[str] = set()
        self._pending: list[PendingFile] = []
        self._told: set[Path] = set()
        self._taken: list[tuple[Path, Signature]] = []
        self._newest: Any = None
        self._sources: list[FrameSource] = []
        self._starts = [0]
        self.pause_s = 0.0

    @property
    def n_frames(self) -> int:
        """Frames in the files that are whole."""
        return self._starts[-1]

    @property
    def first(self) -> FrameSource:
        """The first file."""
        return self._sources[0]

    @property
    def waiting_for(self) -> str:
        """What has to happen before there are more frames."""
        if self._pending:
            return f"{self._pending[0].path.name} to be whole"
        if not self._path.exists():
            return f"{self._path}"
        return f"more files in {self._path.name}" if self._path.is_dir() else self._path.name

    @property
    def pending_why(self) -> str:
        """Why the next file is not taken yet."""
        return self._pending[0].why if self._pending else ""

    def look(self) -> list[str]:
        """See which files are whole by now; see `Watched.look`."""
        self._check_last()
        began = time.thread_time()
        news = [self._path / f for f in self._found()]
        self.pause_s = _LISTING_SHARE * (time.thread_time() - began)
        said = []
        for path in news:
            order = self._order(path)
            if self._taken and order < self._newest:
                said.append(self._leave_out(path, "came after its turn"))
            else:
                is_stack = path == self._path and path.suffix.lower() in (".tif", ".tiff")
                one = PendingFile(path, order, _STACK_STILL_S if is_stack else 0.0)
                insort(self._pending, one, key=lambda p: p.order)
        return said + list(self._take())

    def read(self, start: int, stop: int) -> Frames:
        """Read frames that are whole, shape (frame, y, x)."""
        pieces = []
        while start < stop:
            number = bisect_right(self._starts, start) - 1
            first, end = self._starts[number], min(stop, self._starts[number + 1])
            pieces.append(self._sources[number].read(start - first, end - first))
            start = end
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def arrived_ns(self, start: int, stop: int) -> list[int]:
        """When the file of each frame was last written [ns since 1970]."""
        return [self._taken[bisect_right(self._starts, i) - 1][1][1] for i in range(start, stop)]

    def opened(self) -> list[JoinedSource]:
        """Open the files taken, with all that they say."""
        for path, seen in self._taken:
            if signature(path) != seen:
                raise self._changed(path)
        return open_series([path for path, _ in self._taken], detector=self._detector)

    def _found(self) -> list[str]:
        """Names, relative to the folder, of files that were not there before."""
        news = list(_names(os.fspath(self._path), self._known))
        if not news and "" not in self._known and self._path.is_file():
            news = [""]
        self._known.update(news)
        return [name for name in news if self._counts(self._path / name, name)]

    def _counts(self, path: Path, name: str) -> bool:
        parts = Path(name).parts or (path.name,)
        return (
            path.suffix.lower() in self._kinds
            and not any(p.startswith((".", "~")) for p in parts)
            and not any(s.lower() in _TEMPORARY for s in path.suffixes)
            and path.absolute() not in self._no_frames
            and self._name(path) not in self.left_out
        )

    def _take(self) -> Iterator[str]:
        while self._pending:
            one = self._pending[0]
            source = one.open(self._detector, self._sources[0] if self._sources else None)
            if one.seen is None:  # renamed, or taken away
                self._known.discard(self._relative(one.path))
            elif source is not None:
                yield from self._add(one, one.seen, source)
            elif time.monotonic() - one.since < self._patience_s:
                return
            elif len(self._pending) > 1:
                yield self._leave_out(one.path, f"did not become whole ({one.why})")
            else:
                if one.path not in self._told:
                    self._told.add(one.path)
                    yield f"{one.path} is not whole ({one.why}): it is still waited for"
                return
            self._pending.pop(0)

    def _add(self, one: PendingFile, seen: Signature, source: FrameSource) -> Iterator[str]:
        path = one.path
        if self._sources:
            first = self._sources[0]
            kinds = [(s.settings.shape, s.dtype.name) for s in (source, first)]
            suffixes = [p.suffix.lower() for p in (path, self._taken[0][0])]
            if kinds[0] != kinds[1] or suffixes[0] != suffixes[1]:
                (shape, dtype), (wanted, wanted_dtype) = kinds
                yield self._leave_out(
                    path,
                    f"is a {suffixes[0]} of {shape} {dtype}, the series of {suffixes[1]} of "
                    f"{wanted} {wanted_dtype}: name a slow scan with --slow",
                )
                return
            source.per_frame, source.original_metadata = {}, {}  # of thousands of files
        self._newest = one.order
        self._taken.append((path, seen))
        self._sources.append(source)
        self._starts.append(self._starts[-1] + source.n_frames)

    def _leave_out(self, path: Path, why: str) -> str:
        self.left_out[self._name(path)] = why
        return f"{path} {why}: left out"

    def _check_last(self) -> None:
        if self._taken and signature(self._taken[-1][0]) != self._taken[-1][1]:
            raise self._changed(self._taken[-1][0])

    def _changed(self, path: Path) -> InputFileError:
        return InputFileError(
            f"{path} was changed or removed after its frames were taken: put it back, or ingest "
            f"the series under another --fov"
        )

    def _relative(self, path: Path) -> str:
        return "" if path == self._path else path.relative_to(self._path).as_posix()

    def _name(self, path: Path) -> str:
        return self._relative(path) or path.name

    def _order(self, path: Path) -> Any:
        return path_order(Path(self._name(path)))


def _names(folder: str, known: Collection[str], prefix: str = "") -> Iterator[str]:
    """Names of all files below a folder but those known.

    What vanishes meanwhile is no matter, nor are folders below that may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if name in known:
                    continue
                if entry.is_dir():
                    yield from _names(entry.path, known, f"{name}/")
                else:
                    yield name
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if not prefix:
            raise
