"""Frames that are written at the pace of a microscope, as its software would.

Simulating is slower than that pace, so all frames lie in a scratch file before the first one is
written. Whoever reads along sees half-written files and frames: each comes in two parts.
"""

import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError
from stemscale.simulation.files import write_tiff
from stemscale.simulation.settings import SimulationSettings

KINDS = ("files", "mrc")
"""What a replay writes: a TIFF file a frame in a folder, or one MRC file that grows."""

_BETWEEN_PARTS_S = 0.005  # at most; a quarter of the time of a frame at high rates
_MRC_UINT16 = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """How frames are to be written.

    Attributes
    ----------
    fps : float
        Frames a second.
    kind : {"files", "mrc"}
        See `KINDS`.

    Raises
    ------
    SettingsError
        If the rate is not positive, or the kind is none.
    """

    fps: float
    kind: str = "files"

    def __post_init__(self) -> None:
        if not 0 < self.fps < float("inf"):
            raise SettingsError(f"--replay-fps is {self.fps}, but must be a positive number")
        if self.kind not in KINDS:
            raise SettingsError(f"--replay-as is {self.kind!r}, but must be {' or '.join(KINDS)}")

    def name(self, fov: str) -> str:
        """Give the name of what is written for a FOV."""
        return f"{fov}_rapid" if self.kind == "files" else f"{fov}_rapid.mrc"


class Pace:
    """Due times that do not drift: of frame i, i intervals after the first.

    Parameters
    ----------
    fps : float
        Frames a second.
    """

    def __init__(self, fps: float) -> None:
        self.interval_s = 1.0 / fps
        self._began = time.monotonic()

    def wait(self, index: int) -> None:
        """Wait until a frame is due."""
        time.sleep(max(0.0, self._began + index * self.interval_s - time.monotonic()))

    def is_late(self, index: int) -> bool:
        """Tell whether the next frame is due already."""
        return time.monotonic() > self._began + (index + 1) * self.interval_s


def write_at_pace(
    path: Path,
    frames: Iterable[NDArray[np.uint16]],
    how: Replay,
    shape: tuple[int, int],
    settings: SimulationSettings,
    tell: Callable[[int, bool], None],
) -> None:
    """Take all frames, then write them at their pace.

    Parameters
    ----------
    path : Path
        Folder or file that is made; the scratch file lies in the folder around it, without a name.
    frames : iterable of ndarray of uint16, shape (y, x)
        Taken one by one.
    how : Replay
        Rate and kind.
    shape : tuple of int
        (n_y, n_x).
    settings : SimulationSettings
        For what the files say.
    tell : callable
        Told of each frame that is written, and whether it was whole only when the next was due.

    Notes
    -----
    The header of a growing MRC file counts the frames whose pixels are all there: it is written
    again after each, so that while one is being written the file is longer than its header says.
    Beside it grows a ``.mdoc``, of which each section comes before the pixels of its frame.
    """
    with _scratch(path.parent, frames, how, settings) as contents:
        writer = _Files(path) if how.kind == "files" else _Mrc(path, shape, settings)
        pace = Pace(how.fps)
        pause_s = min(_BETWEEN_PARTS_S, pace.interval_s / 4)
        with writer:
            for index, content in enumerate(contents):
                pace.wait(index)
                half = len(content) // 2
                writer.begin(index, content[:half])
                time.sleep(pause_s)
                writer.finish(content[half:])
                tell(index, pace.is_late(index))


@contextmanager
def _scratch(
    folder: Path,
    frames: Iterable[NDArray[np.uint16]],
    how: Replay,
    settings: SimulationSettings,
) -> Iterator[Iterator[bytes]]:
    """Put the bytes of all frames into a file, and give them back one by one."""
    with tempfile.TemporaryFile(dir=folder) as file:
        sizes = []
        for frame in frames:
            little = frame.astype("<u2", copy=False).tobytes()
            content = little if how.kind == "mrc" else _tiff(frame, settings)
            file.write(content)
            sizes.append(len(content))
        file.seek(0)
        yield (file.read(size) for size in sizes)


def _tiff(frame: NDArray[np.uint16], settings: SimulationSettings) -> bytes:
    stream = BytesIO()
    write_tiff(stream, [frame], (1, *frame.shape), settings, dwell_ns=settings.rapid_dwell_ns)
    return stream.getvalue()


class _Files:
    """One TIFF file a frame, written in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: IO[bytes] | None = None

    def __enter__(self) -> None:
        self._folder.mkdir()

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    def begin(self, index: int, part: bytes) -> None:
        self._open = (self._folder / f"frame_{index + 1:06d}.tif").open("wb", buffering=0)
        self._open.write(part)

    def finish(self, part: bytes) -> None:
        assert self._open is not None
        self._open.write(part)
        self._open.close()


class _Mrc:
    """One MRC file that grows, and its ``.mdoc``."""

    def __init__(self, path: Path, shape: tuple[int, int], settings: SimulationSettings) -> None:
        self._path, self._shape, self._settings = path, shape, settings
        self._count = 0

    def __enter__(self) -> None:
        self._file = self._path.open("xb", buffering=0)
        self._mdoc = self._path.with_name(self._path.name + ".mdoc").open("x", buffering=1)
        n_y, n_x = self._shape
        angstrom = self._settings.pixel_size_nm * 10
        self._mdoc.write(
            f"PixelSpacing = {angstrom:g}\nImageFile = {self._path.name}\n"
            f"ImageSize = {n_x} {n_y}\nDataMode = {_MRC_UINT16}\n\n"
        )
        self._write_header()

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._mdoc.close()

    def begin(self, index: int, part: bytes) -> None:
        n_y, n_x = self._shape
        exposure_s = n_y * n_x * self._settings.rapid_dwell_ns * 1e-9
        section = f"[ZValue = {index}]\nExposureTime = {exposure_s:.9g}\nChannelName = BF\n\n"
        self._mdoc.write(section)
        self._mdoc.flush()
        self._file.write(part)

    def finish(self, part: bytes) -> None:
        self._file.write(part)
        self._count += 1
        self._write_header()

    def _write_header(self) -> None:
        n_y, n_x = self._shape
        step = self._settings.pixel_size_nm * 10  # Å
        sizes: list[Any] = [n_x, n_y, self._count]
        head = struct.pack(
            "<10I6f3I", *sizes, _MRC_UINT16, 0, 0, 0, *sizes, *(n * step for n in sizes),
            90.0, 90.0, 90.0, 1, 2, 3,
        )  # fmt: skip
        end = self._file.seek(0, 2)
        self._file.seek(0)
        self._file.write(head.ljust(1024, b"\0"))
        self._file.seek(max(end, 1024))
