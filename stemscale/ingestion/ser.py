"""TIA series (SER, and EMI which lists them), frame by frame: other readers load them whole.

Nobody has published the EMI format. Of each series it has an XML document, which does not name the
detector, and before that, among binary records, the title that TIA showed above the image
("Preview BF", "Acquire HAADF") and the path of the SER file: RosettaSciIO's issue 147.
"""

import logging
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype, known_column
from stemscale.errors import InputFileError, one_line
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import FrameSource, Signals, name_apart
from stemscale.ingestion.tags import settings_from_tags

logger = logging.getLogger(__name__)

_IMAGES = 0x4122  # data type: 2-D
_WIDE = 0x220  # from this version on offsets have 8 bytes
_TYPES = {
    1: "u1",
    2: "u2",
    3: "u4",
    4: "i1",
    5: "i2",
    6: "i4",
    7: "f4",
    8: "f8",
    9: "c8",
    10: "c16",
}
_ELEMENT = struct.Struct("<ddiddiHII")  # calibration of x and y, type, size x and y
_TITLE = re.compile(rb"(?:Search|Preview|Acquire|Focus) ")  # how the series was begun, detector
_SER_FILE = re.compile(rb"_(\d{1,9})\.ser", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Where the frames of a SER file lie."""

    offsets: NDArray[np.int64]  # of the pixels of each frame
    seconds: NDArray[np.float64] | None  # clock time of each [s since 1970]
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    step_m: tuple[float, float]  # (y, x)


class SerSource:
    """A series of images in a SER file.

    Parameters
    ----------
    path : Path
        The file.
    detector : str
        Name among those of its EMI file.
    tags : mapping, optional
        What the EMI file says.

    Raises
    ------
    InputFileError
        If it holds no images, or is damaged.
    """

    def __init__(
        self, path: Path, detector: str = "", tags: Mapping[str, Any] | None = None
    ) -> None:
        self.name = path.name
        self.detector = detector
        self._path = path
        try:
            with path.open("rb") as stream:
                layout = _layout(stream, path.stat().st_size)
        except (OSError, struct.error, ValueError, OverflowError, MemoryError) as error:
            raise InputFileError(
                f"{path} cannot be read ({error}): it is truncated, damaged or no series of "
                f"images; copy it again from the microscope"
            ) from error
        check_dtype(layout.dtype, source=path.name)
        self.n_frames = len(layout.offsets)
        self.dtype = layout.dtype.newbyteorder("=")
        self._layout = layout
        self.original_metadata: Mapping[str, Any] = tags or {}
        found = settings_from_tags(self.original_metadata)
        if detector:
            found.setdefault("detector", detector)
        pixel = square_pixel_nm(*layout.step_m, "m", path=path)
        if pixel is not None:
            found["pixel_size_nm"] = pixel
        self.settings = ScanSettings(
            n_x=layout.shape[1],
            n_y=layout.shape[0],
            **found,
        )
        self.per_frame: Mapping[str, FrameColumn] = _clock(layout.seconds)
        self.start_time: int | None = None
        if "timestamp" in self.per_frame:
            self.start_time = int(self.per_frame["timestamp"].values[0])

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before.
        """
        layout = self._layout
        frames = np.empty((stop - start, *layout.shape), dtype=layout.dtype)
        try:
            with self._path.open("rb") as stream:
                for frame, offset in zip(frames, layout.offsets[start:stop], strict=True):
                    stream.seek(int(offset) - _ELEMENT.size)
                    *_, kind, n_x, n_y = _ELEMENT.unpack(stream.read(_ELEMENT.size))
                    if (_TYPES.get(kind), n_y, n_x) != (layout.dtype.str[1:], *layout.shape):
                        raise ValueError(f"a frame of {n_y} x {n_x} pixels among others")
                    # TIA writes the lowest row first.
                    upside_down = np.fromfile(stream, layout.dtype, frame.size)
                    frame[:] = upside_down.reshape(layout.shape)[::-1]
        except (OSError, ValueError, struct.error) as error:
            raise InputFileError(
                f"{self._path}: frames {start} to {stop - 1} cannot be read ({error}): copy the "
                f"file again from the microscope"
            ) from error
        return frames.astype(self.dtype, copy=False)


def signals(path: Path) -> Signals:
    """List the series of a SER file, or of all SER files of an EMI file.

    Parameters
    ----------
    path : Path
        ``.ser`` or ``.emi``.

    Returns
    -------
    Signals
        Of an EMI file one for each ``<stem>_<number>.ser`` that holds images, with the name of
        its detector (``BF``, the second one ``BF-2``); where the file has none, the number.

    Raises
    ------
    InputFileError
        If a file cannot be read, or there are no images.
    """
    if path.suffix.lower() == ".ser":
        return Signals([SerSource(path)], left_out={})
    beside = path.parent.glob(f"{_escaped(path.stem)}_[0-9]*.[sS][eE][rR]")
    numbered = {int(n): f for f in beside if (n := f.stem.rpartition("_")[2]).isdecimal()}
    files = [numbered[n] for n in sorted(numbered)]
    about = _objects(path)
    # Series that were recorded together share all but the title.
    other = {"ObjectInfo": tags["ObjectInfo"]} if (tags := about.get(max(about, default=0))) else {}
    found: list[FrameSource] = []
    left_out: dict[str, str] = {}
    for number, file in sorted(numbered.items()):
        tags = about.get(number, other)
        name = _detector(tags) or (file.stem.rpartition("_")[2] if len(files) > 1 else "")
        try:
            found.append(SerSource(file, name_apart(name, {s.detector for s in found}), tags))
        except InputFileError as error:
            if len(files) == 1:
                raise
            left_out[file.name] = one_line(error.__cause__ or error)
    if not found:
        raise InputFileError(
            f"{path} has no series of images beside it: it needs {path.stem}_1.ser in its folder"
        )
    return Signals(found, left_out=left_out)


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "[]*?" else c for c in stem)


def _layout(stream: BinaryIO, size: int) -> _Layout:
    head = struct.unpack("<HHHIIII", stream.read(22))
    order, series, version, kind, tag_kind, planned, n_valid = head
    if (order, series) != (0x4949, 0x0197):
        raise ValueError("it does not begin as a SER file does")
    if kind != _IMAGES:
        raise ValueError("it holds spectra, not images")
    width, letter = (4, "u4") if version < _WIDE else (8, "u8")
    (table,) = struct.unpack("<I" if width == 4 else "<Q", stream.read(width))
    if n_valid < 1 or table + 2 * width * n_valid > size:
        raise ValueError("it holds no complete frame")
    stream.seek(table)
    offsets = np.frombuffer(stream.read(width * n_valid), f"<{letter}").astype(np.int64)
    # The table has room for all frames that were planned; where their tags are comes after that.
    tags = np.frombuffer(_at(stream, table + width * planned, width * n_valid), f"<{letter}")
    stream.seek(int(offsets[0]))
    _, step_x, _, _, step_y, _, type_number, n_x, n_y = _ELEMENT.unpack(stream.read(_ELEMENT.size))
    dtype = np.dtype(f"<{_TYPES.get(type_number, 'V1')}")
    last = int(offsets.max()) + _ELEMENT.size + dtype.itemsize * n_x * n_y
    if min(n_x, n_y) < 1 or int(offsets.min()) < 0 or last > size:
        raise ValueError(f"{size} bytes of {last}")
    return _Layout(
        offsets=offsets + _ELEMENT.size,
        seconds=_seconds(stream, tags, tag_kind, size),
        dtype=dtype,
        shape=(n_y, n_x),
        step_m=(step_y, step_x),
    )


def _seconds(
    stream: BinaryIO, tags: NDArray[Any], kind: int, size: int
) -> NDArray[np.float64] | None:
    if kind not in (0x4152, 0x4142) or len(tags) == 0 or int(tags.max()) + 8 > size:
        return None
    found = [struct.unpack("<HHI", _at(stream, int(t), 8))[2] for t in tags]
    return np.array(found, dtype=np.float64)


def _at(stream: BinaryIO, place: int, count: int) -> bytes:
    stream.seek(place)
    return stream.read(count)


def _clock(seconds: NDArray[np.float64] | None) -> dict[str, FrameColumn]:
    # Whole seconds: as the time of each frame they serve only where frames are further apart.
    if seconds is None or seconds[0] <= 0:
        return {}
    found = {"timestamp": known_column("timestamp", (seconds * 1e9).astype(np.int64))}
    if len(seconds) > 1 and np.diff(seconds).min() > 1:
        found["time"] = known_column("time", seconds - seconds[0])
    return found


def _objects(path: Path) -> dict[int, dict[str, Any]]:
    """Read what an EMI file says of each series, by number, as far as it can be understood."""
    text = path.read_bytes()
    found: dict[int, dict[str, Any]] = {}
    end, order = 0, 0
    while (start := text.find(b"<ObjectInfo>", end)) >= 0:
        before = text[end:start]
        if (end := text.find(b"</ObjectInfo>", start)) < 0:
            break
        end, order = end + len(b"</ObjectInfo>"), order + 1
        try:
            tags = {"ObjectInfo": _tree(ElementTree.fromstring(text[start:end]))}
        except ElementTree.ParseError:
            logger.info("%s: metadata at byte %d cannot be understood", path, start)
            continue
        if title := _title(before):
            tags["Title"] = title
        files = _SER_FILE.findall(before)
        found[int(files[-1]) if files else order] = tags
    return found


def _title(records: bytes) -> str | None:
    """Find the title of an image: text behind its length, 4 bytes."""
    for match in reversed(list(_TITLE.finditer(records))):
        start = match.start()
        length = int.from_bytes(records[max(start - 4, 0) : start], "little")
        if match.end() - start < length < 64:
            title = records[start : start + length].decode("latin-1")
            if title.isprintable() and "Display" not in title:  # the window has a title as well
                return title
    return None


def _detector(tags: Mapping[str, Any]) -> str:
    return str(tags.get("Title", "")).partition(" ")[2].strip()


def _tree(element: ElementTree.Element) -> Any:
    if element.tag == "ExperimentalDescription":  # a list of label, value and unit
        entries = {}
        for entry in element.iter("Data"):
            label, unit = entry.findtext("Label") or "", entry.findtext("Unit") or ""
            entries[f"{label}_{unit}" if unit else label] = entry.findtext("Value")
        return entries
    if len(element) == 0:
        return (element.text or "").strip()
    return {child.tag: _tree(child) for child in element}
