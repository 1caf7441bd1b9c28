"""One MRC or NPY file to which a microscope's software appends frames."""

import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemscale.acquisition import Frames, check_dtype
from stemscale.errors import InputFileError, StemscaleError
from stemscale.ingestion.joined import JoinedSource
from stemscale.ingestion.readers import open_one
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.watched import TakenSource

GROWING = (".mrc", ".npy")
"""Extensions of the files whose frames lie one after the other behind a header."""

_MRC_HEADER = 1024
_MRC_TYPES = {0: "u1", 1: "<i2", 2: "<f4", 4: "<c8", 6: "<u2", 12: "<f2"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Where the pixels of a file lie: what must not change while it grows."""

    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def frame_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


class WatchedFile:
    """A file to which frames are appended.

    How many there are follows from its size alone, since software sets the count in the header
    late, or when it closes the file. Files that are laid out at full length first, to be filled,
    cannot be told from whole ones, and must not be watched.

    Parameters
    ----------
    path : Path
        The file; it may not be there yet.
    detector : str or None
        As for `open_one`.
    """

    def __init__(self, path: Path, *, detector: str | None = None) -> None:
        self.left_out: dict[str, str] = {}
        self._path = path
        self._detector = detector
        self._layout: _Layout | None = None
        self._inode = self._size = 0
        self._arrived: list[int] = []
        self._first: FrameSource | None = None

    @property
    def n_frames(self) -> int:
        """Frames that are whole."""
        return len(self._arrived)

    @property
    def first(self) -> FrameSource:
        """What the file says of its first frame."""
        if self._first is None:
            self._first = self._open_first()
        return self._first

    @property
    def waiting_for(self) -> str:
        """What has to happen before there are more frames."""
        if self._layout is None:
            return f"{self._path}"
        return f"frame {self.n_frames} in {self._path.name}"

    @property
    def pending_why(self) -> str:
        """Nothing: a part of a frame is waited for, whatever it is."""
        return ""

    @property
    def pause_s(self) -> float:
        """One look costs nothing."""
        return 0.0

    def look(self) -> list[str]:
        """See which frames are whole by now; see `Watched.look`."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            if self._layout is not None:
                raise self._changed("is gone") from None
            return []
        if self._layout is None:
            self._layout = _layout_of(self._path)
            self._inode = found.st_ino
        elif found.st_ino != self._inode:
            raise self._changed("was replaced by another file")
        if self._layout is None:
            return []
        if found.st_size < self._size:
            raise self._changed(f"was cut from {self._size} to {found.st_size} bytes")
        self._size = found.st_size
        n = (found.st_size - self._layout.offset) // self._layout.frame_bytes
        self._arrived += [found.st_mtime_ns] * (n - len(self._arrived))
        return []

    def read(self, start: int, stop: int) -> Frames:
        """Read frames that are whole, shape (frame, y, x)."""
        layout = self._known()
        count = (stop - start) * layout.shape[0] * layout.shape[1]
        try:
            with self._path.open("rb") as stream:
                stream.seek(layout.offset + start * layout.frame_bytes)
                found = np.fromfile(stream, layout.dtype, count)
        except OSError as error:
            raise self._changed(f"cannot be read ({error})") from error
        if len(found) != count:
            raise self._changed(f"ends before frame {stop - 1}")
        native = found.astype(layout.dtype.newbyteorder("="), copy=False)
        return native.reshape(stop - start, *layout.shape)

    def arrived_ns(self, start: int, stop: int) -> list[int]:
        """When the file had all of each frame, to one look [ns since 1970]."""
        return self._arrived[start:stop]

    def opened(self) -> list[JoinedSource]:
        """Open the frames so far, with all that the file says of them by now."""
        n_frames = self.n_frames
        self.look()  # that it is the same file still
        del self._arrived[n_frames:]  # what came since is taken by another watch
        if _layout_of(self._path) != self._layout:
            raise self._changed("has another header than when its first frame was taken")
        source = self.first
        try:
            source = open_one(self._path, detector=self._detector)
        except StemscaleError:  # its header counts more frames than there are yet, or none
            source = self._open_first()
        return [JoinedSource([TakenSource(source, self)])]

    def _open_first(self) -> FrameSource:
        """Open a copy of the header and the first frame: the count in the header may be wrong."""
        layout = self._known()
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, self._path.name)
            mdoc = self._path.with_name(self._path.name + ".mdoc")
            if mdoc.is_file():
                shutil.copy(mdoc, folder)
            with self._path.open("rb") as stream:
                content = bytearray(stream.read(layout.offset + layout.frame_bytes))
            if self._path.suffix.lower() == ".mrc":
                struct.pack_into("<I", content, 8, 1)
                copy.write_bytes(content)
            else:
                np.save(copy, self.read(0, 1)[0])
            return open_one(copy, detector=self._detector)

    def _known(self) -> _Layout:
        assert self._layout is not None, "there are frames only where the header was read"
        return self._layout

    def _changed(self, what: str) -> InputFileError:
        return InputFileError(
            f"{self._path} {what} while it was watched, after {self.n_frames} frames of it were "
            f"taken: put it back, or watch the new series under another --fov"
        )


def _layout_of(path: Path) -> _Layout | None:
    """Read the header, or give None where it is not whole yet."""
    layout = _mrc_layout(path) if path.suffix.lower() == ".mrc" else _npy_layout(path)
    if layout is not None:
        check_dtype(layout.dtype, source=path.name)
    return layout


def _mrc_layout(path: Path) -> _Layout | None:
    with path.open("rb") as stream:
        head = stream.read(_MRC_HEADER)
    n_x, n_y, _, mode = struct.unpack_from("<4I", head) if len(head) == _MRC_HEADER else (0,) * 4
    if n_x == 0 and n_y == 0:
        return None
    if mode not in _MRC_TYPES or not 0 < n_x < 2**20 or not 0 < n_y < 2**20:
        raise InputFileError(
            f"{path} has no header of an MRC file (mode {mode}, {n_x} x {n_y} pixels): only "
            f"little-endian MRC files can be watched"
        )
    (extended,) = struct.unpack_from("<I", head, 92)
    return _Layout(
        offset=_MRC_HEADER + extended, shape=(n_y, n_x), dtype=np.dtype(_MRC_TYPES[mode])
    )


def _npy_layout(path: Path) -> _Layout | None:
    with path.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            if path.stat().st_size < 16 or "EOF" in str(error):
                return None
            raise InputFileError(f"{path} has no header of an NPY file ({error})") from error
        if len(shape) != 3 or fortran:
            raise InputFileError(
                f"{path} holds an array of shape {shape}{' in Fortran order' if fortran else ''}: "
                f"to be watched it must be (frame, y, x) in C order"
            )
        return _Layout(offset=stream.tell(), shape=(shape[1], shape[2]), dtype=dtype)
