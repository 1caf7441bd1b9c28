"""Grey pictures go into ffmpeg one by one; a movie file comes out."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import ProcessingError

GreyImage = NDArray[np.uint8]

_YUV = (  # said in the file, so that no player has to guess black and white
    *("-pix_fmt", "yuv420p", "-color_range", "tv", "-colorspace", "bt709"),
    *("-color_primaries", "bt709", "-color_trc", "bt709"),
)
# Noise of single frames costs nearly all of the bytes. At these numbers it keeps nine tenths of
# its strength, and filtered frames all of their contrast (tests/benchmarks/bench_movie.py); slower
# presets save no bytes on noise.
_CODECS: Mapping[str, tuple[str, ...]] = {
    ".mp4": (
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", *_YUV),
        *("-movflags", "+faststart", "-f", "mp4"),
    ),
    ".webm": (
        *("-c:v", "libvpx-vp9", "-crf", "36", "-b:v", "0", *_YUV),
        *("-deadline", "realtime", "-cpu-used", "8", "-row-mt", "1", "-f", "webm"),
    ),
    # 256 greys are the whole palette: no dither, and nothing is lost
    ".gif": ("-c:v", "gif", "-pix_fmt", "gray", "-loop", "0", "-f", "gif"),
}
ENDINGS = tuple(_CODECS)
_KEY_FRAMES_S = 2.0  # apart, so that a player can be dragged
_LONGEST_TEXT = 400


class Encoder:
    """A running ffmpeg that is fed pictures.

    Used as a context manager: left without an error, the file is whole; left with one, ffmpeg is
    ended at once and what it wrote is the caller's to take away.

    Parameters
    ----------
    file : Path
        To be written.
    ending : str
        One of `ENDINGS`: which kind of movie.
    shape : tuple of int
        (height, width) of a picture [px], both even.
    fps : float
        Pictures a second.
    metadata : mapping of str to str
        ``title``, ``comment``: kept in the file where its kind has room for them.

    Raises
    ------
    ProcessingError
        If there is no ffmpeg, or it fails: at the write that found out, or at the end.
    """

    def __init__(
        self,
        file: Path,
        *,
        ending: str,
        shape: tuple[int, int],
        fps: float,
        metadata: Mapping[str, str],
    ) -> None:
        self._file = file
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed in __exit__
        command = [
            *(find_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "gray", "-video_size", f"{shape[1]}x{shape[0]}"),
            *("-framerate", f"{fps:.6f}", "-i", "pipe:0", "-an"),
            *("-g", str(max(1, round(_KEY_FRAMES_S * fps)))),
            *(part for k, v in metadata.items() for part in ("-metadata", f"{k}={_plain(v)}")),
            *(*_CODECS[ending], str(file.absolute())),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is for us: ffmpeg would end the file as if whole
            )
        except OSError as error:
            self._said.close()
            raise ProcessingError(f"ffmpeg cannot be started ({error})") from error

    def __enter__(self) -> Self:
        return self

    def write(self, picture: GreyImage) -> None:
        """Add one picture, shape (height, width).

        Raises
        ------
        ProcessingError
            If ffmpeg has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except OSError as error:
            raise self._failure() from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self._process.kill()
            self._close()
            if self._process.wait() and kind is None:
                raise self._failure()
        finally:
            self._said.close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:  # it has ended already: its exit code tells
            return

    def _failure(self) -> ProcessingError:
        code = self._process.wait()
        self._said.seek(0)
        said = [line for line in self._said.read().decode(errors="replace").splitlines() if line]
        if any("No space left on device" in line for line in said):
            why = "the disk is full: make room, or choose another place"
        elif code < 0:
            why = f"ffmpeg was ended by signal {-code}: run the same command again"
        else:
            first = re.sub(r"^\[[^]]* @ [^]]*\] *", "", said[0]) if said else "without a word"
            why = f"ffmpeg ended with exit code {code}: {_plain(first)}"
        # the name that it writes to is a temporary one
        return ProcessingError(f"the movie cannot be written to {self._file.parent}: {why}")


def find_ffmpeg() -> str:
    """Find the program that makes movies: of the extra ``movie``, else the machine's own.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    ProcessingError
        If there is none.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        if own := shutil.which("ffmpeg"):
            return own
        raise ProcessingError(
            "a movie needs the program ffmpeg, which is not installed: pip install "
            "'stemscale[movie]', or install ffmpeg itself"
        ) from error


def _plain(text: str) -> str:
    """Make text of a store safe as an argument: in one line, printable, of a sane length."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:_LONGEST_TEXT]
