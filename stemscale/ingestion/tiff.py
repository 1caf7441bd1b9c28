"""TIFF stacks, frame by frame: RosettaSciIO's lazy TIFF comes as one block."""

import copy
import gc
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError, StemscaleError
from stemscale.ingestion import rosetta
from stemscale.ingestion.exported import (
    columns_of_labels,
    exported_settings,
    exported_start,
    exported_text,
)
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.ome_xml import read_ome
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import Signals

_SETTINGS = ("dwell_time_ns", "flyback_time_us", "high_tension_kv", "magnification")
_NAMES = ("detector", "instrument")


class TiffSource:
    """Pages of a TIFF file as frames.

    Parameters
    ----------
    path : Path
        The file.
    channel : int
        Which of its channels, where an OME-TIFF or an ImageJ file has some beside the frames, or
        names them.
    dialects : bool
        Whether to ask RosettaSciIO for the settings in a TIFF that is none of ImageJ or OME, which
        takes a hundred times as long as all else.

    Raises
    ------
    InputFileError
        If the file is no TIFF, is truncated, in colour, or has pages of several sizes, or pixels
        that are not square.
    """

    def __init__(self, path: Path, channel: int = 0, *, dialects: bool = True) -> None:
        self.name = path.name
        self._path = path
        try:
            with _complaints() as complaints, tifffile.TiffFile(path) as tif:
                self._check(tif, complaints)
                series = tif.series[0]
                shape, axes = tuple(int(n) for n in series.shape), str(series.axes)
                self._offset = series.dataoffset
                self.dtype = np.dtype(series.dtype).newbyteorder("=")
                self._stored = np.dtype(tif.byteorder + series.dtype.char)
                info = tif.imagej_metadata or {}
                ome = tif.ome_metadata
                resolution = tif.pages.first.resolution
        except StemscaleError:
            raise
        except Exception as error:  # tifffile and struct raise whatever they like
            raise InputFileError(
                f"{path} cannot be read as a TIFF ({error}): copy it again from the microscope"
            ) from error
        self.per_frame: Mapping[str, FrameColumn] = {}
        self.start_time: int | None = None
        self.original_metadata: Mapping[str, Any] = {}
        names: list[str] = []
        known: dict[str, Any] = {}
        text = ""
        if info:
            step_x, step_y = (1.0 / r if r else 0.0 for r in resolution)
            size = square_pixel_nm(step_y, step_x, info.get("unit"), path=path)
            known = {"pixel_size_nm": size, **_imagej_settings(info)}
            self.original_metadata = {"ImageJ": json_values(info)}
            text = str(info.get("Info", ""))
        elif ome:
            known, names, self.start_time, text = read_ome(ome, path)
            self.original_metadata = {"OME": ome}
        named_apart = "" not in names and len(set(names)) == len(names) > 0
        self._pages, self.n_channels = _pages_of(shape, axes, channel, named_apart)
        self._shape = (int(np.prod(shape[:-2])), *shape[-2:])
        self.n_frames = len(self._pages)
        self.settings = ScanSettings(
            n_x=shape[-1], n_y=shape[-2], **{k: v for k, v in known.items() if v}
        )
        if dialects and not info and not ome:
            self._take_other_dialects(path)
        said, labels = exported_text(text)
        if said:
            self._take_back(said, labels or np.atleast_1d(info.get("Labels", [])).tolist())
        if len(names) == self.n_channels and named_apart:
            self.settings = replace(self.settings, detector=names[channel])
        elif self.n_channels > 1:
            self.settings = replace(self.settings, detector=f"channel-{channel + 1}")
        self.detector = self.settings.detector or ""

    def _take_back(self, said: Mapping[str, str], labels: list[str]) -> None:
        self.settings = exported_settings(
            said,
            self.settings.shape,
            pixel_size_nm=self.settings.pixel_size_nm,
            interval_s=self.settings.frame_time_s,
        )
        self.per_frame = columns_of_labels(labels, self.n_frames)
        self.start_time = exported_start(said)
        self.original_metadata = {"stemscale": said}

    def _take_other_dialects(self, path: Path) -> None:
        # RosettaSciIO knows the dialects of a dozen instruments; its lazy TIFF stays open.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            (found, *_) = rosetta.signals(path)
            self.settings, self.start_time = found.settings, found.start_time
            self.original_metadata = found.original_metadata
            del found, _
            gc.collect()

    def _check(self, tif: tifffile.TiffFile, complaints: list[str]) -> None:
        page = tif.pages.first
        if page.samplesperpixel > 1 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            raise InputFileError(
                f"{self._path} is a colour image: export the detector signal itself (one number "
                f"a pixel), not a screenshot"
            )
        check_dtype(np.dtype(page.dtype or np.void), source=self.name)
        series = tif.series[0]
        promised = (tif.imagej_metadata or {}).get("images", 1)
        lost = [c for c in complaints if "invalid page offset" in c]
        if lost or int(np.prod(series.shape[:-2])) < promised:
            raise InputFileError(
                f"{self._path} is truncated: its list of pages leads beyond its end; "
                f"copy it again from the microscope"
            )
        if len(tif.series) > 1 or not _is_one_series(series):
            shapes = ", ".join(str(s.shape) for s in tif.series)
            raise InputFileError(
                f"{self._path} is not one series of frames (it holds {shapes}): "
                f"write frames of one size and one detector into a file of their own"
            )
        size = self._path.stat().st_size
        ends = (o + n for p in series.pages if p for o, n in _segments(p))
        needed = max(ends, default=0)
        if series.dataoffset is not None:
            needed = max(needed, series.dataoffset + series.nbytes)
        if needed > size:
            raise InputFileError(
                f"{self._path} is truncated: {size} bytes of {needed}; "
                f"copy it again from the microscope"
            )

    def like(self, path: Path) -> "TiffSource | None":
        """Open a file that differs from this one in its pixels alone, which takes no parsing.

        Parameters
        ----------
        path : Path
            The file, as long as its header demands or shorter.

        Returns
        -------
        TiffSource or None
            None where it differs in anything else.
        """
        if self._offset is None or self._around(path) != self._around(self._path):
            return None
        found = copy.copy(self)
        found.name, found._path = path.name, path
        return found

    def _around(self, path: Path) -> tuple[int, bytes, bytes]:
        """Length of a file, and what is before and behind the pixels."""
        assert self._offset is not None
        with path.open("rb") as stream:
            before = stream.read(self._offset)
            stream.seek(int(np.prod(self._shape)) * self._stored.itemsize, os.SEEK_CUR)
            behind = stream.read()
            return os.fstat(stream.fileno()).st_size, before, behind

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive).

        Raises
        ------
        InputFileError
            If a page is damaged.
        """
        pages = self._pages[start:stop]
        try:
            if self._offset is not None:  # pixels lie in one piece: no decoding needed
                stack: Frames = np.memmap(
                    self._path, dtype=self._stored, mode="r", offset=self._offset, shape=self._shape
                )
                return np.asarray(stack[pages], dtype=self.dtype)  # indices copy
            found = tifffile.imread(self._path, key=pages.tolist(), series=0)
            return np.asarray(found, dtype=self.dtype).reshape(len(pages), *self._shape[1:])
        except Exception as error:  # tifffile and codecs raise whatever they like
            raise InputFileError(
                f"{self.name}: frames {start} to {stop - 1} cannot be read ({error}): "
                f"copy the file again from the microscope"
            ) from error


def _is_one_series(series: Any) -> bool:
    lead = zip(series.axes, series.shape[:-2], strict=False)
    return len(series.shape) >= 2 and len([n for axis, n in lead if axis != "C"]) <= 1


def _pages_of(
    shape: tuple[int, ...], axes: str, channel: int, named: bool
) -> tuple[NDArray[Any], int]:
    """Give the pages of one channel, and how many channels there are."""
    pages: NDArray[Any] = np.arange(int(np.prod(shape[:-2]))).reshape(shape[:-2])
    # Programs that know nothing of time call the only axis of a series its channels.
    if "C" not in axes or (pages.ndim == 1 and not named):
        return pages.ravel(), 1
    return pages.take(channel, axis=axes.index("C")).ravel(), shape[axes.index("C")]


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs: it reads on past the end of a truncated file."""
    said: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tifffile")
    before = logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = before


def _segments(page: Any) -> Iterator[tuple[int, int]]:
    return zip(page.dataoffsets, page.databytecounts, strict=False)


def _imagej_settings(info: dict[str, Any]) -> dict[str, Any]:
    """Scan settings in the ``Info`` text of an ImageJ TIFF, one ``name=value`` a line."""
    found: dict[str, Any] = {}
    for line in str(info.get("Info", "")).splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name in _NAMES and value:
            found[name] = value
        elif name in _SETTINGS:
            try:
                found[name] = float(value)
            except ValueError:
                continue  # somebody else's Info line
    interval = info.get("finterval")
    if isinstance(interval, (int, float)) and interval > 0:
        found["frame_time_s"] = float(interval)
    return found


def signals(path: Path) -> Signals:
    """List the series of a TIFF file: one, or one for each channel.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Signals
        Channels bear the names that an OME-TIFF gives them, otherwise ``channel-1`` and so on.

    Raises
    ------
    InputFileError
        As for `TiffSource`.
    """
    first = TiffSource(path)
    others = (TiffSource(path, channel) for channel in range(1, first.n_channels))
    return Signals([first, *others], left_out={})
