"""Velox EMD files, frame by frame, with the metadata of every frame.

Layout (HDF5): ``Data/Image/<id>/Data`` has shape (y, x, frame), and ``Metadata`` beside it one
column a frame, a JSON document padded with zeros.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, median_interval
from stemscale.errors import InputFileError, one_line
from stemscale.ingestion.hdf5_chunks import bytes_there
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import Signals, name_apart
from stemscale.ingestion.tags import dig, settings_from_tags
from stemscale.ingestion.velox_metadata import Page, frame_columns, parse_page, start_time
from stemscale.ingestion.velox_names import image_names, shown_labels

_IMAGES = "Data/Image"
_MOST_MISSING = 100_000  # frames: a recording that broke off says some too many, not so many
_LONGEST_TEXT = 2**24  # bytes; Velox keeps 60 kB for a frame


class VeloxSource:
    """One image or stack of a Velox EMD file.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Identifier of the image in the file.
    label : str
        What Velox calls it; the name of the detector in its metadata where empty.

    Raises
    ------
    InputFileError
        If the pixels are not square, or the file is damaged.
    """

    def __init__(self, path: Path, key: str, label: str = "") -> None:
        self.name = path.name
        self._path = path
        self._key = key
        with h5py.File(path, "r") as file:
            group = file[f"{_IMAGES}/{key}"]
            n_y, n_x, self.n_frames = group["Data"].shape
            _check_lengths(group)
            self.dtype = group["Data"].dtype.newbyteorder("=")
            first = next((p for p in _pages(group, self.n_frames) if p), {})
            recorded_by = str(dig(first, "BinaryResult", "Detector") or "")
            self.per_frame: Mapping[str, FrameColumn] = frame_columns(
                _pages(group, self.n_frames), detector=recorded_by
            )
        self.detector = label or recorded_by
        self.original_metadata: Mapping[str, Any] = first
        self.start_time = start_time(first, recorded_by)
        self.settings = self._settings(first, n_y, n_x)

    def _settings(self, page: Page, n_y: int, n_x: int) -> ScanSettings:
        found = settings_from_tags(page)
        found["detector"] = self.detector or None
        size, unit_x, unit_y = (
            dig(page, "BinaryResult", k) for k in ("PixelSize", "PixelUnitX", "PixelUnitY")
        )
        pixel = square_pixel_nm(
            dig(size, "height"), dig(size, "width"), unit_x, unit_y, path=self._path
        )
        if pixel is not None:
            found["pixel_size_nm"] = pixel
        flyback_us = _flyback_us(page, n_x)
        if flyback_us is not None:
            found["flyback_time_us"] = flyback_us
        if (interval := median_interval(self.per_frame.get("time"))) is not None:
            found["frame_time_s"] = interval
        return ScanSettings(n_x=n_x, n_y=n_y, **found)

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before, is damaged there, or the frames were never recorded.
        """
        try:
            with h5py.File(self._path, "r") as file:
                data = file[f"{_IMAGES}/{self._key}/Data"]
                frames = np.empty((stop - start, *data.shape[:2]), dtype=self.dtype)
                as_recorded = _one_raw_chunk_a_frame(data)
                for frame, number in zip(frames, range(start, stop), strict=True):
                    if as_recorded:  # straight from the file into place, no transposition
                        data.id.read_direct_chunk((0, 0, number), out=frame.reshape(-1).view("u1"))
                    else:
                        data.read_direct(frame[:, :, None], np.s_[:, :, number : number + 1])
        except Exception as error:  # HDF5 raises whatever it likes
            raise InputFileError(
                f"{self._path}: frames {start} to {stop - 1} of {self.detector or self._key} "
                f"cannot be read ({one_line(error)}): they were never recorded, or the file is "
                f"damaged; copy it again from the microscope"
            ) from error
        return frames


def is_velox(path: Path) -> bool:
    """Tell whether an EMD file was written by Velox."""
    try:
        with h5py.File(path, "r") as file:
            return _IMAGES in file
    except (OSError, RuntimeError, KeyError):
        return False


def signals(path: Path) -> Signals:
    """List the images and stacks of a Velox EMD file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Signals
        In the order in which Velox shows them, each with a name of its own as ``detector``: see
        `image_names`. Complex images (DPC) and spectra are left out.

    Raises
    ------
    InputFileError
        If the file cannot be read, or holds no image.
    """
    left_out: dict[str, str] = {}
    try:
        with h5py.File(path, "r") as file:
            shown, names = list(shown_labels(file)), image_names(file)
            keys = []
            for key, group in file[_IMAGES].items():
                if (reason := _no_series(group)) is None:
                    keys.append(key)
                else:
                    left_out[name_apart(names.get(key) or "image", left_out)] = reason
            left_out |= dict.fromkeys(_spectra(file["Data"]), "spectra")
        keys.sort(key=lambda k: shown.index(k) if k in shown else len(shown))
        found = [VeloxSource(path, key, names.get(key, "")) for key in keys]
    except InputFileError:
        raise
    except Exception as error:  # HDF5 raises whatever it likes
        raise InputFileError(
            f"{path} cannot be read ({one_line(error)}): it is truncated, damaged or no Velox "
            f"file; copy it again from the microscope"
        ) from error
    if not found:
        held = ", but " + ", ".join(f"{n} ({r})" for n, r in left_out.items()) if left_out else ""
        raise InputFileError(f"{path} holds no image and no series of images{held}")
    taken: set[str] = set()
    for source in found:  # results of a calculation may have one name
        source.detector = name_apart(source.detector or "image", taken)
        taken.add(source.detector)
    return Signals(found, left_out=left_out)


def _no_series(group: Any) -> str | None:
    """Tell why something is no series of real images."""
    data = group.get("Data") if isinstance(group, h5py.Group) else None
    if not isinstance(data, h5py.Dataset):
        return "no pixels"
    if data.dtype.names or data.dtype.kind == "c":  # Velox keeps two parts of each pixel
        return "complex numbers"
    if data.ndim != 3 or min(data.shape) < 1:
        return f"an array of shape {data.shape}"
    return None if data.dtype.kind in "iuf" else f"pixels of type {data.dtype}"


def _spectra(data: h5py.Group) -> list[str]:
    named = {k: data.get(k) for k in data if "Spectr" in k}
    return [k for k, group in named.items() if isinstance(group, h5py.Group) and len(group)]


def _pages(group: h5py.Group, n_frames: int) -> Iterator[Page | None]:
    texts = group.get("Metadata")
    good = isinstance(texts, h5py.Dataset) and texts.ndim == 2 and texts.dtype == np.uint8
    n_texts = texts.shape[1] if good else 0
    last, page = b"", None
    for number in range(n_frames):
        text = texts[:, number].tobytes() if number < n_texts else b""
        if text != last:
            last, page = text, parse_page(text)
        yield page


def _flyback_us(page: Page, n_x: int) -> float | None:
    """Give what a line takes beyond its pixels, where the file says how long a line takes."""
    try:
        line_s, dwell_s = (float(dig(page, "Scan", k)) for k in ("LineTime", "DwellTime"))
    except (TypeError, ValueError):
        return None
    try:  # the image may be a cut of what was scanned
        left, right = (float(dig(page, "Scan", "ScanArea", k)) for k in ("left", "right"))
        across = round(float(dig(page, "Scan", "ScanSize", "width")) * (right - left))
    except (TypeError, ValueError, OverflowError):
        across = n_x
    flyback_us = (line_s - across * dwell_s) * 1e6
    return flyback_us if 0 < flyback_us < np.inf else None


def _one_raw_chunk_a_frame(data: h5py.Dataset) -> bool:
    n_y, n_x, _ = data.shape
    unfiltered = data.id.get_create_plist().get_nfilters() == 0
    return bool(data.chunks == (n_y, n_x, 1) and unfiltered and data.dtype.isnative)


def _check_lengths(group: h5py.Group) -> None:
    """Refuse a length that nobody recorded, before anything is counted up to it."""
    data, texts = group["Data"], group.get("Metadata")
    n_y, n_x, n_frames = data.shape
    there = bytes_there(data) // (n_y * n_x * data.dtype.itemsize)
    if n_frames - there > _MOST_MISSING:
        raise ValueError(f"{group.name} is to have {n_frames} frames, but {there} are there")
    if isinstance(texts, h5py.Dataset) and texts.ndim == 2 and texts.shape[0] > _LONGEST_TEXT:
        raise ValueError(f"{texts.name} is to have {texts.shape[0]} bytes for a frame")
