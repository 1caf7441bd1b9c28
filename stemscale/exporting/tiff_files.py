"""TIFF stacks that ImageJ reads with scale and frame interval, written page by page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from stemscale.acquisition import Image
from stemscale.exporting.series import Series

_IMAGEJ = ("uint8", "uint16", "float32")  # what ImageJ's own format has
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

    Notes
    -----
    By tifffile itself: RosettaSciIO's writer, which uses it too, wants the whole series in memory.
    """
    n_bytes = int(np.prod(series.shape, dtype=np.int64)) * series.dtype.itemsize
    imagej = series.dtype.name in _IMAGEJ and n_bytes < _MOST_BYTES
    pixel = series.settings.pixel_size_nm
    options: dict[str, Any] = {
        "shape": series.shape,
        "dtype": series.dtype,
        "photometric": "minisblack",
        "metadata": _imagej_words(series) if imagej else _ome_words(series),
    }
    if imagej:
        options |= {"imagej": True, "resolution": (1 / (pixel or 1.0), 1 / (pixel or 1.0))}
    else:
        options |= {"ome": True, "bigtiff": n_bytes >= _MOST_BYTES}
    tifffile.imwrite(path, _pages(series, tell), **options)
    return "ImageJ" if imagej else "OME"


def _pages(series: Series, tell: Callable[[int], None]) -> Iterator[Image]:
    for frames in series.pieces():
        yield from frames
        tell(len(frames))


def _imagej_words(series: Series) -> dict[str, Any]:
    settings = series.settings
    said = {
        "dwell_time_ns": settings.dwell_time_ns,
        "flyback_time_us": settings.flyback_time_us,
        "high_tension_kv": settings.high_tension_kv,
        "magnification": settings.magnification,
        "detector": settings.detector,
        "instrument": settings.instrument,
        "title": series.title,
    }
    words: dict[str, Any] = {"axes": "TYX"}
    # ImageJ's text is Latin-1; what it lacks must not cost the file.
    lines = "\n".join(f"{k}={v}" for k, v in said.items() if v is not None)
    words["Info"] = lines.encode("latin-1", errors="replace").decode("latin-1")
    if settings.pixel_size_nm is not None:
        words["unit"] = "nm"
    if settings.frame_interval_s is not None:
        words["finterval"] = settings.frame_interval_s
        words["fps"] = 1 / settings.frame_interval_s
    return words


def _ome_words(series: Series) -> dict[str, Any]:
    settings = series.settings
    words: dict[str, Any] = {"axes": "TYX", "Name": series.title}
    if settings.pixel_size_nm is not None:
        for axis in "XY":
            words[f"PhysicalSize{axis}"] = settings.pixel_size_nm
            words[f"PhysicalSize{axis}Unit"] = "nm"
    if settings.frame_interval_s is not None:
        words |= {"TimeIncrement": settings.frame_interval_s, "TimeIncrementUnit": "s"}
    return words
