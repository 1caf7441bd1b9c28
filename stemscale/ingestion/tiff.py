"""TIFF stacks, frame by frame: RosettaSciIO's lazy TIFF comes as one block."""

import gc
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError, StemscaleError
from stemscale.ingestion import rosetta
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.units import to_nm, to_s

_SETTINGS = ("dwell_time_ns", "flyback_time_us", "high_tension_kv", "magnification")
_NAMES = ("detector", "instrument")


class TiffSource:
    """Pages of a TIFF file as frames.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputFileError
        If the file is no TIFF, is truncated, in colour, or has pages of several sizes.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            with _complaints() as complaints, tifffile.TiffFile(path) as tif:
                self._check(tif, complaints)
                series = tif.series[0]
                shape = (1, *series.shape) if len(series.shape) == 2 else series.shape
                self._offset = series.dataoffset
                self.dtype = np.dtype(series.dtype).newbyteorder("=")
                self._stored = np.dtype(tif.byteorder + series.dtype.char)
                info = tif.imagej_metadata or {}
                ome = tif.ome_metadata
                resolution = tif.pages.first.resolution[0]
        except StemscaleError:
            raise
        except Exception as error:  # tifffile and struct raise whatever they like
            raise InputFileError(
                f"{path} cannot be read as a TIFF ({error}): copy it again from the microscope"
            ) from error
        self.n_frames, self._shape = int(shape[0]), tuple(shape)
        self.per_frame: Mapping[str, FrameColumn] = {}
        self.start_time: int | None = None
        self.original_metadata: Mapping[str, Any] = {}
        if info:
            size = to_nm(1.0 / resolution if resolution else 0.0, info.get("unit"))
            known = {"pixel_size_nm": size, **_imagej_settings(info)}
            self.settings = ScanSettings(
                n_x=shape[-1], n_y=shape[-2], **{k: v for k, v in known.items() if v}
            )
            self.original_metadata = {"ImageJ": json_values(info)}
        elif ome:
            self.settings = ScanSettings(n_x=shape[-1], n_y=shape[-2], **_ome_settings(ome, path))
            self.original_metadata = {"OME": ome}
        else:
            self._take_other_dialects(path)
        self.detector = self.settings.detector or ""

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
        if lost or (len(series.shape) == 3 and series.shape[0] < promised):
            raise InputFileError(
                f"{self._path} is truncated: its list of pages leads beyond its end; "
                f"copy it again from the microscope"
            )
        if len(tif.series) > 1 or len(series.shape) not in (2, 3):
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

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive).

        Raises
        ------
        InputFileError
            If a page is damaged.
        """
        if self._offset is not None:  # pixels lie in one piece: no decoding needed
            stack: Frames = np.memmap(
                self._path, dtype=self._stored, mode="r", offset=self._offset, shape=self._shape
            )
            return np.asarray(stack[start:stop], dtype=self.dtype)
        try:
            found = tifffile.imread(self._path, key=range(start, stop))
        except (tifffile.TiffFileError, ValueError, RuntimeError, OSError) as error:
            raise InputFileError(
                f"{self.name}: frames {start} to {stop - 1} cannot be read ({error}): "
                f"copy the file again from the microscope"
            ) from error
        return np.asarray(found, dtype=self.dtype).reshape(stop - start, *self._shape[1:])


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


def _ome_settings(text: str, path: Path) -> dict[str, Any]:
    """Scan settings in the XML of an OME-TIFF."""
    try:
        image = tifffile.xml2dict(text)["OME"]["Image"]
    except Exception:  # XML that is none; the pixels are good all the same
        return {}
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    found: dict[str, Any] = {}
    unit_x, unit_y = (pixels.get(f"PhysicalSize{a}Unit", "µm") for a in "XY")
    size_y, size_x = pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeX")
    pixel = square_pixel_nm(size_y, size_x, unit_x, unit_y, path=path)
    if pixel is not None:
        found["pixel_size_nm"] = pixel
    interval = to_s(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    if interval is not None and interval > 0:
        found["frame_time_s"] = interval
    return found


def signals(path: Path) -> list[FrameSource]:
    """List the one series of a TIFF file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of FrameSource

    Raises
    ------
    InputFileError
        As for `TiffSource`.
    """
    return [TiffSource(path)]
