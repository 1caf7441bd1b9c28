"""Exports of Nion Swift: pixels as NPY or HDF5, and one JSON document about them.

The three forms are ``name.npy`` with ``name.json``, ``name.ndata1`` (a ZIP of both, the pixels
not compressed) and ``name.h5``.
"""

import json
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype, positive
from stemscale.errors import InputFileError, one_line
from stemscale.ingestion.hdf5_chunks import bytes_there
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.numpy_files import NpySource
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import Signals
from stemscale.ingestion.tags import dig
from stemscale.ingestion.units import clock_ns, to_s

_LOCAL_HEADER = struct.Struct("<4s2B4HL2L2H")  # of a file in a ZIP archive


class NionSource:
    """A series of an export of Nion Swift.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.ndata1`` or ``.h5``.

    Raises
    ------
    InputFileError
        If it cannot be read, is no image or series of images, or has pixels that are not square.
    SeriesError
        If its pixels are no intensities.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            about, self._pixels = _open(path)
        except InputFileError:
            raise
        except Exception as error:  # ZIP, HDF5 and JSON raise whatever they like
            raise InputFileError(
                f"{path} cannot be read as an export of Nion Swift "
                f"({one_line(error)}): export it again"
            ) from error
        check_dtype(self._pixels.dtype, source=path.name)
        self.n_frames, self.dtype = self._pixels.n_frames, self._pixels.dtype
        self._check_axes(about)
        self.settings = _settings(about, self._pixels.settings, path)
        self.detector = self.settings.detector or ""
        self.per_frame: Mapping[str, FrameColumn] = {}
        self.start_time = _start_time(about)
        self.original_metadata: Mapping[str, Any] = json_values(about)

    def _check_axes(self, about: Mapping[str, Any]) -> None:
        steps = about.get("spatial_calibrations")
        n_axes = len(steps) if isinstance(steps, list) else 0
        if n_axes == 2 and self.n_frames > 1:  # Swift counts colours as part of the pixel
            raise InputFileError(
                f"{self._path} is a colour image: export the detector signal itself (one number a "
                f"pixel), not a display"
            )
        is_image = about.get("datum_dimension_count", 2) == 2
        if not is_image:
            raise InputFileError(
                f"{self._path} holds spectra, not images: export the image of the detector"
            )

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before, or is damaged there.
        """
        frames: Frames = self._pixels.read(start, stop)
        return frames


class _Hdf5Pixels:
    """The dataset ``data`` of an HDF5 file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with h5py.File(path, "r") as file:
            data = file["data"]
            shape = data.shape
            self.dtype = data.dtype.newbyteorder("=")
            there = bytes_there(data)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise InputFileError(
                f"{path} holds an array of shape {shape}: it must be (y, x) or (frame, y, x)"
            )
        wanted = math.prod(shape) * self.dtype.itemsize
        if there < wanted:
            raise InputFileError(
                f"{path} is to hold {wanted} bytes of pixels, but has {there}: export it again"
            )
        self.n_frames = int(shape[0]) if len(shape) == 3 else 1
        self.settings = ScanSettings(n_x=int(shape[-1]), n_y=int(shape[-2]))

    def read(self, start: int, stop: int) -> Frames:
        try:
            with h5py.File(self._path, "r") as file:
                data = file["data"]
                found = data[start:stop] if data.ndim == 3 else data[()][None]
        except Exception as error:  # HDF5 raises whatever it likes
            raise InputFileError(
                f"{self._path}: frames {start} to {stop - 1} cannot be read ({error}): export it "
                f"again"
            ) from error
        return np.asarray(found, dtype=self.dtype)


def signals(path: Path) -> Signals:
    """List the one series of an export of Nion Swift.

    Parameters
    ----------
    path : Path
        ``.npy`` (with its ``.json`` beside it), ``.ndata1`` or ``.h5``.

    Returns
    -------
    Signals

    Raises
    ------
    InputFileError, SeriesError
        As for `NionSource`.
    """
    return Signals([NionSource(path)], left_out={})


def _open(path: Path) -> tuple[Mapping[str, Any], Any]:
    kind = path.suffix.lower()
    if kind == ".npy":
        return _document(path.with_suffix(".json").read_bytes()), NpySource(path)
    if kind == ".h5":
        with h5py.File(path, "r") as file:
            about = _document(file["data"].attrs.get("properties", "{}"))
        return about, _Hdf5Pixels(path)
    with zipfile.ZipFile(path) as archive:
        about = _document(archive.read("metadata.json"))
        member = archive.getinfo("data.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("its pixels are compressed")
    with path.open("rb") as stream:  # the pixels lie in the archive as they are
        stream.seek(member.header_offset)
        head = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        offset = stream.tell() + head[-2] + head[-1]
    return about, NpySource(path, offset)


def _document(text: Any) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, Mapping):
        raise ValueError("its metadata are no JSON object")
    return found


def _settings(about: Mapping[str, Any], bare: ScanSettings, path: Path) -> ScanSettings:
    steps = dig(about, "spatial_calibrations")
    axes = steps if isinstance(steps, list) else []
    found: dict[str, Any] = {}
    if len(axes) >= 2:
        y, x = axes[-2], axes[-1]
        found["pixel_size_nm"] = square_pixel_nm(
            dig(y, "scale"), dig(x, "scale"), dig(x, "units"), dig(y, "units"), path=path
        )
    if len(axes) == 3:
        found["frame_time_s"] = positive(to_s(dig(axes[0], "scale"), dig(axes[0], "units")))
    scan = ("metadata", "scan")
    dwell_us = dig(about, *scan, "scan_device_properties", "pixel_time_us")
    dwell_us = dwell_us or dig(about, *scan, "scan_device_parameters", "pixel_time_us")
    flyback_us = dig(about, *scan, "scan_device_properties", "flyback_time_us")
    volts = dig(about, "metadata", "instrument", "high_tension")
    numbers = (
        ("dwell_time_ns", dwell_us, 1e3),
        ("flyback_time_us", flyback_us, 1.0),
        ("high_tension_kv", volts, 1e-3),
    )
    found |= {n: number * factor for n, value, factor in numbers if (number := positive(value))}
    hardware = ("metadata", "hardware_source")
    if "frame_time_s" not in found or found["frame_time_s"] is None:
        found["frame_time_s"] = positive(dig(about, *hardware, "exposure"))
    detector = dig(about, *hardware, "channel_name") or dig(about, *hardware, "channel_id")
    found["detector"] = str(detector) if detector else None
    maker = dig(about, *scan, "hardware_source_name")
    found["instrument"] = f"Nion {maker}" if maker else None
    return replace(bare, **{k: v for k, v in found.items() if v is not None})


def _start_time(about: Mapping[str, Any]) -> int | None:
    local, zone = (dig(about, "datetime_original", k) for k in ("local_datetime", "tz"))
    try:
        began = datetime.fromisoformat(f"{local}{zone}")
    except ValueError:
        return None
    return clock_ns(began)
