"""Everything that RosettaSciIO reads, as series of frames, read block by block."""

import importlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dask
import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError, SeriesError, StemscaleError, one_line
from stemscale.ingestion.exported import exported_columns, exported_settings
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.mdoc import read_mdoc
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import FrameSource, Signals, name_apart
from stemscale.ingestion.tags import settings_from_tags, walk
from stemscale.ingestion.units import clock_ns, to_s

# By extension, since several plugins claim the same one; lazy, so that only what is asked is read.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".emd": ("emd", {"lazy": True}),
    ".dm3": ("digitalmicrograph", {"lazy": True}),
    ".dm4": ("digitalmicrograph", {"lazy": True}),
    ".mrc": ("mrc", {"lazy": True}),
    ".hspy": ("hspy", {"lazy": True}),
    ".zspy": ("zspy", {"lazy": True, "mode": "r"}),
    ".nxs": ("nexus", {"lazy": True}),
    ".tif": ("tiff", {"lazy": True}),
    ".tiff": ("tiff", {"lazy": True}),
    ".png": ("image", {}),
    ".jpg": ("image", {}),
    ".jpeg": ("image", {}),
    ".bmp": ("image", {}),
    ".jp2": ("image", {}),
}
_PIECE = "16MiB"  # that Dask reads at least, where a file does not say: a few frames
_OPENING = threading.Lock()  # Dask's settings and Python's warnings belong to all threads
_FILETIME_1970 = 11_644_473_600  # s from 1601, where Windows' clock begins


def readable_extensions() -> list[str]:
    """Extensions of the files that RosettaSciIO reads for stemscale."""
    return sorted(_READERS)


class RosettaSource:
    """A series, or one image, in a file that RosettaSciIO reads.

    Parameters
    ----------
    path : Path
        The file.
    number : int
        Of the signal, among all that RosettaSciIO finds in the file.
    signal : mapping
        What RosettaSciIO gives for it.
    detector : str
        Its name.

    Raises
    ------
    InputFileError
        If its pixels are not square.
    SeriesError
        If they are no intensities.
    """

    def __init__(self, path: Path, number: int, signal: Mapping[str, Any], detector: str) -> None:
        self.name = path.name
        self.detector = detector
        self._path = path
        self._number = number
        self._order = _axis_order(signal)
        data = _frames(signal, self._order)
        check_dtype(np.dtype(data.dtype), source=path.name)
        self.n_frames = int(data.shape[0])
        self.dtype = np.dtype(data.dtype).newbyteorder("=")
        self.settings = _settings(signal, self._order, data.shape, detector, path)
        ours = _exported(signal)
        self.per_frame: Mapping[str, FrameColumn] = exported_columns(
            ours.get("per_frame", {}), ours.get("coordinates", {}), self.n_frames
        )
        self.start_time = _start_time(signal)
        self.original_metadata: Mapping[str, Any] = json_values(signal["original_metadata"])
        if path.suffix.lower() == ".mrc":
            self.settings, self.per_frame = read_mdoc(path, self.settings, self.n_frames)

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before, or is damaged there.
        """
        try:
            data = _frames(_load(self._path)[self._number], self._order)[start:stop]
            if isinstance(data, np.ndarray):
                return np.asarray(data, dtype=self.dtype)
            return np.asarray(data.compute(scheduler="synchronous"), dtype=self.dtype)
        except Exception as error:  # third-party parsers raise whatever they like
            raise InputFileError(
                f"{self.name}: frames {start} to {stop - 1} cannot be read ({error}): "
                f"copy the file again from the microscope"
            ) from error


def signals(path: Path) -> Signals:
    """List the images and series of images in a file.

    Parameters
    ----------
    path : Path
        A file of one of `readable_extensions`.

    Returns
    -------
    Signals
        Each with a name of its own as ``detector``: its title, with a number where titles repeat.
        Spectra, plots and complex images are left out.

    Raises
    ------
    InputFileError
        If the file cannot be read, is in colour, or holds no image.
    SeriesError
        If all that it holds is complex.
    """
    loaded = _load(path)
    found: list[FrameSource] = []
    left_out: dict[str, str] = {}
    refused: list[SeriesError] = []
    for number, signal in enumerate(loaded):
        _refuse_colour(signal, path)
        data = signal["data"]
        title = _title(signal) or "signal"
        if data.ndim not in (2, 3) or min(data.shape) < 1 or _is_spectra(signal):
            left_out[name_apart(title, left_out)] = _kind(signal)
            continue
        name = name_apart(title, {s.detector for s in found})
        try:
            found.append(RosettaSource(path, number, signal, name))
        except SeriesError as error:
            left_out[name_apart(title, left_out)] = _kind(signal)
            refused.append(error)
        except StemscaleError:
            raise
        except Exception as error:  # metadata may hold anything
            raise InputFileError(
                f"{path} has metadata that cannot be understood ({type(error).__name__}: {error}): "
                f"export its images anew"
            ) from error
    if not found and refused:
        raise refused[0]
    if not found:
        held = ", ".join(map(_kind, loaded))
        raise InputFileError(
            f"{path} holds no image and no series of images, but {held or 'nothing'}: export the "
            f"image of a detector"
        )
    return Signals(found, left_out=left_out)


def _load(path: Path) -> list[dict[str, Any]]:
    plugin, options = _READERS[path.suffix.lower()]
    reader = importlib.import_module(f"rsciio.{plugin}").file_reader
    try:
        with _OPENING, warnings.catch_warnings(), dask.config.set({"array.chunk-size": _PIECE}):
            warnings.simplefilter("ignore")  # about metadata that we read ourselves or do not need
            found: list[dict[str, Any]] = reader(str(path), **options)
    except Exception as error:  # third-party parsers raise whatever they like
        raise InputFileError(
            f"{path} cannot be read ({one_line(error)}): it is truncated, damaged or not "
            f"what its extension says; copy it again from the microscope"
        ) from error
    return found


def _refuse_colour(signal: Mapping[str, Any], path: Path) -> None:
    data = signal["data"]
    names = "".join(str(a.get("name")) for a in signal["axes"]).upper()
    last = data.shape[-1] if data.ndim in (3, 4) else 0
    if (last in (3, 4) and "RGB" in names) or data.dtype.names:
        raise InputFileError(
            f"{path} is a colour image: export the detector signal itself (one number a "
            f"pixel), not a screenshot"
        )


def _is_spectra(signal: Mapping[str, Any]) -> bool:
    # One axis belongs to the detector, all others say where it was: a pixel is a spectrum.
    across = [bool(a.get("navigate")) for a in signal["axes"]]
    units = {str(a.get("units") or "").lower() for a in signal["axes"][-2:]}
    return (len(across) > 1 and across.count(False) == 1) or bool(units & {"ev", "kev"})


def _kind(signal: Mapping[str, Any]) -> str:
    """Tell what a signal is that is no series of images."""
    data = signal["data"]
    if _is_spectra(signal):
        return f"spectra of shape {data.shape}"
    if data.dtype.kind == "c":
        return "complex numbers"
    if data.ndim in (2, 3) and min(data.shape) > 0:
        return f"pixels of type {data.dtype}"
    return "a plot" if data.ndim == 1 else f"an array of shape {data.shape}"


def _exported(signal: Mapping[str, Any]) -> Mapping[str, Any]:
    found = signal["original_metadata"].get("stemscale", {})
    return found if isinstance(found, Mapping) and "attrs" in found else {}


def _title(signal: Mapping[str, Any]) -> str:
    if ours := _exported(signal):
        return str(ours["attrs"].get("detector", ""))
    return str(signal["metadata"].get("General", {}).get("title", "") or "")


def _axis_order(signal: Mapping[str, Any]) -> tuple[int, ...]:
    """Axes in the order (…, y, x): some formats hold x before y, and name them."""
    names = [str(a.get("name") or "").lower() for a in signal["axes"]]
    n = signal["data"].ndim
    if len(names) == n and names.count("x") == 1 and names.count("y") == 1:
        y, x = names.index("y"), names.index("x")
        return (*(i for i in range(n) if i not in (y, x)), y, x)
    return tuple(range(n))


def _frames(signal: Mapping[str, Any], order: Sequence[int]) -> Any:  # (frame, y, x), lazy
    data = signal["data"]
    data = data if list(order) == sorted(order) else data.transpose(order)
    return data[None] if data.ndim == 2 else data


def _settings(
    signal: Mapping[str, Any],
    order: Sequence[int],
    shape: tuple[int, ...],
    detector: str,
    path: Path,
) -> ScanSettings:
    axes = [signal["axes"][i] for i in order]
    x, y = axes[-1], axes[-2]
    pixel = square_pixel_nm(
        y.get("scale"), x.get("scale"), x.get("units"), y.get("units"), path=path
    )
    interval = to_s(axes[0].get("scale"), axes[0].get("units")) if len(axes) == 3 else None
    if ours := _exported(signal):
        return exported_settings(
            ours["attrs"], (shape[-2], shape[-1]), pixel_size_nm=pixel, interval_s=interval
        )
    found = settings_from_tags(signal["original_metadata"])
    found |= {k: v for k, v in settings_from_tags(signal["metadata"]).items() if k not in found}
    if pixel is not None:
        found["pixel_size_nm"] = pixel
    if "frame_time_s" not in found and interval and interval > 0:
        found["frame_time_s"] = interval
    if detector and "detector" not in found:
        found["detector"] = detector
    return ScanSettings(n_x=shape[-1], n_y=shape[-2], **found)


def _start_time(signal: Mapping[str, Any]) -> int | None:
    """Clock time, where it is given for all the world and not as that of some place."""
    for path, value in walk(signal["original_metadata"]):
        if path.endswith("DataBar.Acquisition Time (OS)"):  # DM: 100 ns since 1601
            try:
                seconds = float(value) / 1e7 - _FILETIME_1970
            except (TypeError, ValueError):
                return None
            return int(seconds * 1e9) if 0 < seconds < 2**33 else None
    about = signal["metadata"].get("General", {})
    try:
        zone = ZoneInfo(str(about["time_zone"]))
        text = f"{about['date']}T{about['time']}"
        return clock_ns(datetime.fromisoformat(text).replace(tzinfo=zone))
    except (KeyError, ValueError, OSError):
        return None
