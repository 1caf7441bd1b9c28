"""Zarr arrays and OME-Zarr images as series of frames."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError, StemscaleError, one_line
from stemscale.ingestion.json_values import json_values
from stemscale.ingestion.pixels import square_pixel_nm
from stemscale.ingestion.source import FrameSource, Signals
from stemscale.ingestion.units import to_s


class ZarrSource:
    """An array (frame, y, x) or (y, x), axes of length 1 aside, in a Zarr store.

    Parameters
    ----------
    folder : Path
        Of the store.
    key : str
        Path of the array in it.
    about : mapping
        Attributes of its group, with OME-NGFF metadata where there are any.

    Raises
    ------
    InputFileError
        If the array has other axes, or pixels that are not square.
    SeriesError
        If its numbers are no intensities.
    """

    def __init__(self, folder: Path, key: str, about: Mapping[str, Any]) -> None:
        self.name = folder.name
        self.detector = key
        self._folder = folder
        self._key = key
        array = self._open()
        check_dtype(np.dtype(array.dtype), source=folder.name)
        _check_axes(about, array.shape, folder)
        axes = [i for i, n in enumerate(array.shape) if n != 1 or i >= array.ndim - 2]
        if len(axes) not in (2, 3) or min(array.shape) < 1:
            raise InputFileError(
                f"{folder}: array {key or '/'} has shape {array.shape}: it must be (y, x) or "
                f"(frame, y, x), axes of length 1 aside"
            )
        self._series_axis = axes[0] if len(axes) == 3 else None
        self.n_frames = int(array.shape[axes[0]]) if len(axes) == 3 else 1
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        bare = ScanSettings(n_x=int(array.shape[-1]), n_y=int(array.shape[-2]))
        self.settings = _calibrated(bare, about, axes, folder)
        self.per_frame: Mapping[str, FrameColumn] = {}
        self.start_time: int | None = None
        self.original_metadata: Mapping[str, Any] = json_values(dict(about))

    def _open(self) -> Any:
        return zarr.open_array(self._folder, path=self._key, mode="r")

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If a chunk is damaged.
        """
        try:
            array = self._open()
            part = [slice(None)] * array.ndim
            if self._series_axis is not None:
                part[self._series_axis] = slice(start, stop)
            found = np.asarray(array[tuple(part)], dtype=self.dtype)
        except Exception as error:  # codecs raise whatever they like
            raise InputFileError(
                f"{self._folder}: frames {start} to {stop - 1} of {self._key or '/'} cannot be "
                f"read ({error}): copy the store again"
            ) from error
        return found.reshape(stop - start, *self.settings.shape)


def signals(path: Path) -> Signals:
    """List the series of a Zarr store.

    Parameters
    ----------
    path : Path
        Folder of an array, of an OME-Zarr image (its full resolution is taken), or of a group
        with arrays of two or three axes. Zarr 2 or 3.

    Returns
    -------
    Signals
        Each with its path in the store as ``detector``; of an only one it is empty.

    Raises
    ------
    InputFileError
        If there is no such array.
    """
    try:
        found = zarr.open(path, mode="r")
        if isinstance(found, zarr.Array):
            return Signals([ZarrSource(path, "", dict(found.attrs))], left_out={})
        about = dict(found.attrs)
        arrays = dict(sorted(found.arrays()))
        left_out: dict[str, str] = {}
        if not (keys := _full_resolution(about)):  # the other resolutions say nothing new
            keys = [k for k, a in arrays.items() if _may_be_frames(a)]
            others = {k: a for k, a in arrays.items() if k not in keys}
            left_out = {k: f"an array of shape {a.shape}, {a.dtype}" for k, a in others.items()}
        sources: list[FrameSource] = [ZarrSource(path, key, about) for key in keys]
    except StemscaleError:
        raise
    except Exception as error:  # codecs and metadata raise whatever they like
        raise InputFileError(
            f"{path} cannot be read as a Zarr store ({one_line(error)}): name the "
            f"folder of an array, or of an OME-Zarr image"
        ) from error
    if not sources:
        held = ", ".join(f"{k} {a.shape} {a.dtype}" for k, a in arrays.items()) or "no array"
        raise InputFileError(
            f"{path} holds no array (y, x) or (frame, y, x) at its top, but {held}: name the "
            f"folder of an array below it"
        )
    if len(sources) == 1:
        sources[0].detector = ""  # type: ignore[misc]
    return Signals(sources, left_out=left_out)


def _may_be_frames(array: Any) -> bool:
    return array.ndim in (2, 3) and np.dtype(array.dtype).kind in "iuf"


def _check_axes(about: Mapping[str, Any], shape: tuple[int, ...], folder: Path) -> None:
    described = _multiscales(about).get("axes")
    if not isinstance(described, list) or len(described) != len(shape):
        return
    names = [str(a.get("name") if isinstance(a, Mapping) else a).lower() for a in described]
    lead = [a for a, n in zip(names[:-2], shape, strict=False) if n != 1]
    if names[-2:] != ["y", "x"] or any(a not in ("t", "z", "time", "frame") for a in lead):
        raise InputFileError(
            f"{folder} has axes {' '.join(names)} of {shape}: they must be (t or z), y, x, others "
            f"of length 1; write each channel as an image of its own"
        )


def _multiscales(about: Mapping[str, Any]) -> Mapping[str, Any]:
    ngff = about.get("ome", about)  # from version 0.5 on, all is under "ome"
    scales = ngff.get("multiscales") if isinstance(ngff, Mapping) else None
    first = scales[0] if isinstance(scales, list) and scales else {}
    return first if isinstance(first, Mapping) else {}


def _full_resolution(about: Mapping[str, Any]) -> list[str]:
    datasets = _multiscales(about).get("datasets") or [{}]
    path = datasets[0].get("path")
    return [str(path)] if path else []


def _calibrated(
    bare: ScanSettings, about: Mapping[str, Any], axes: list[int], folder: Path
) -> ScanSettings:
    described = _multiscales(about)
    units = [a.get("unit") for a in described.get("axes", []) if isinstance(a, Mapping)]
    transforms = (described.get("datasets") or [{}])[0].get("coordinateTransformations", [])
    scale: list[float] = next((t["scale"] for t in transforms if t.get("type") == "scale"), [])
    if not len(units) == len(scale) >= 2:
        return bare
    pixel = square_pixel_nm(scale[-2], scale[-1], units[-1], units[-2], path=folder)
    interval = to_s(scale[axes[0]], units[axes[0]]) if len(axes) == 3 else None
    return replace(bare, pixel_size_nm=pixel, frame_time_s=interval or None)
