"""TIFF stacks that ImageJ reads with scale and frame interval, written page by page."""

import math
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tifffile

from stemscale.acquisition import Image
from stemscale.errors import SettingsError
from stemscale.exporting.series import Series

_IMAGEJ = ("uint8", "uint16", "float32")  # what ImageJ's own format has
_OME = (*_IMAGEJ, "int8", "int16", "int32", "uint32", "float64")
_MOST_BYTES = 4 * 10**9  # its offsets have 32 bit


def write_tiff(series: Series, path: Path, tell: Callable[[int], None]) -> str:
    """Write a stack, one page a frame.

    Parameters
    ----------
    series : Series
        What to write.
    path : Path
        The file; replaced if it exists.
    tell : callable
        Told the number of frames after each block.

    Returns
    -------
    str
        "ImageJ", or "OME" where ImageJ's own format has no such pixels or is too small: ImageJ
        reads that through Bio-Formats. No pixel is ever converted.

    Raises
    ------
    SettingsError
        If OME-TIFF has no such pixels either.

    Notes
    -----
    By tifffile itself: RosettaSciIO's writer, which uses it too, wants the whole series in memory.
    A longer ImageJ stack is possible with one page for all frames, but everybody except ImageJ
    would see the first frame only.
    """
    if series.dtype.name not in _OME:
        raise SettingsError(
            f"TIFF files that others read have no pixels of type {series.dtype.name}, and pixels "
            f"are not converted: export to .hspy or .zspy"
        )
    n_bytes = math.prod(series.shape) * series.dtype.itemsize
    imagej = series.dtype.name in _IMAGEJ and n_bytes < _MOST_BYTES
    imagej &= series.settings.n_x > 1  # tifffile would take a single column for a colour
    options: dict[str, Any] = {"metadata": _imagej_words(series) if imagej else _ome_words(series)}
    pixel = series.settings.pixel_size_nm
    if imagej and pixel is not None:
        options["resolution"] = (1 / pixel, 1 / pixel)
    with tifffile.TiffWriter(
        path, imagej=imagej, ome=not imagej, bigtiff=n_bytes >= _MOST_BYTES
    ) as file:
        file.write(
            _pages(series, tell),
            shape=series.shape,
            dtype=series.dtype,
            photometric="minisblack",
            **options,
        )
    return "ImageJ" if imagej else "OME"


def _pages(series: Series, tell: Callable[[int], None]) -> Iterator[Image]:
    for frames in series.pieces():
        yield from frames
        tell(len(frames))


def _lines(series: Series) -> str:
    """Scan settings, one ``name=value`` a line, as stemscale reads them back."""
    known = {
        "exported_by": f"stemscale {version('stemscale')}",
        **series.settings.to_attrs(),
        "start_time": series.attrs.get("start_time"),
        "title": series.title,
    }
    return "\n".join(f"{k}={' '.join(str(v).split())}" for k, v in known.items() if v is not None)


def _labels(series: Series) -> list[str]:
    """Say what is known of each frame, in a line that ImageJ shows above it: its time first."""
    # a store lists its arrays in any order
    ordered = sorted(series.coordinates.items(), key=lambda item: (item[0] != "time", item[0]))
    columns = [(name, series.per_frame[name], about.get("units", "")) for name, about in ordered]
    return [
        "; ".join(f"{name}={values[i]} {units}".strip() for name, values, units in columns)
        for i in range(series.n_frames if columns else 0)
    ]


def _imagej_words(series: Series) -> dict[str, Any]:
    settings = series.settings
    words: dict[str, Any] = {"axes": "YX" if series.is_image else "TYX", "Info": _lines(series)}
    if labels := _labels(series):
        words["Labels"] = labels
    if settings.pixel_size_nm is not None:
        words["unit"] = "nm"
    if settings.frame_interval_s is not None and not series.is_image:
        words |= {"finterval": settings.frame_interval_s, "fps": 1 / settings.frame_interval_s}
        words["tunit"] = "s"
    return words


def _ome_words(series: Series) -> dict[str, Any]:
    settings = series.settings
    words: dict[str, Any] = {"axes": "YX" if series.is_image else "TYX", "Name": series.title}
    frames = [f"frame={label}" for label in _labels(series)]
    words["Description"] = "\n".join([_lines(series), *frames])
    if settings.pixel_size_nm is not None:
        for axis in "XY":
            words[f"PhysicalSize{axis}"] = settings.pixel_size_nm
            words[f"PhysicalSize{axis}Unit"] = "nm"
    if settings.frame_interval_s is not None and not series.is_image:
        words |= {"TimeIncrement": settings.frame_interval_s, "TimeIncrementUnit": "s"}
    return words
