"""What `stemscale export` wrote into a file: settings and columns as the store had them.

HyperSpy files hold it in their original metadata; TIFF files as lines ``name=value`` and, of each
frame, a label ``time=0.04 s; mode=STEM``.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import numpy as np

from stemscale.acquisition import FrameColumn, ScanSettings, known_column
from stemscale.ingestion.columns import column_of
from stemscale.ingestion.units import clock_ns

logger = logging.getLogger(__name__)

_NAMES = ("detector", "instrument")
_CHANGED = 1e-3  # relative; TIFF files round pixel sizes


def exported_settings(
    said: Mapping[str, Any],
    shape: tuple[int, int],
    *,
    pixel_size_nm: float | None,
    interval_s: float | None,
) -> ScanSettings:
    """Read the settings back.

    Parameters
    ----------
    said : mapping
        Fields of `ScanSettings` by name, among others.
    shape : tuple of int
        (n_y, n_x) of a frame.
    pixel_size_nm, interval_s : float or None
        From the axes of the file. They count where they differ from what was written: whoever
        rescaled or thinned the series since changed the axes only.

    Returns
    -------
    ScanSettings
    """
    found: dict[str, Any] = {}
    known = {f.name for f in fields(ScanSettings)} - {"n_x", "n_y"}
    for name in known & said.keys():
        try:
            found[name] = str(said[name]) if name in _NAMES else float(said[name])
        except (TypeError, ValueError):
            continue  # written by hand
    settings = ScanSettings(n_x=shape[1], n_y=shape[0], **found)
    if _differs(pixel_size_nm, settings.pixel_size_nm):
        settings = replace(settings, pixel_size_nm=pixel_size_nm)
    if _differs(interval_s, settings.frame_interval_s):
        settings = replace(settings, frame_time_s=interval_s)
    return settings


def exported_columns(
    per_frame: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]], n_frames: int
) -> dict[str, FrameColumn]:
    """Read the per-frame coordinates back.

    Parameters
    ----------
    per_frame : mapping of str to sequence
        Numbers, words, or clock times as ISO 8601.
    about : mapping of str to mapping
        ``units`` and ``long_name`` of those that are coordinates, and not results.
    n_frames : int
        Frames of the file; columns of another length are left out.

    Returns
    -------
    dict of str to FrameColumn
    """
    found = {}
    for name, attrs in about.items():
        values = list(per_frame.get(name, ()))
        column = _column(name, values) if len(values) == n_frames else None
        if column is None:
            logger.info("%s: %d values for %d frames: left out", name, len(values), n_frames)
            continue
        found[name] = replace(
            column,
            units=str(attrs.get("units") or column.units),
            long_name=str(attrs.get("long_name") or column.long_name),
        )
    return found


def exported_text(text: str) -> tuple[dict[str, str], list[str]]:
    """Take apart the text in a TIFF file.

    Parameters
    ----------
    text : str
        Lines ``name=value``.

    Returns
    -------
    said : dict of str to str
        Empty unless `stemscale export` wrote the file.
    labels : list of str
        Of the frames, where the text holds them.
    """
    lines = [tuple(p.strip() for p in line.partition("=")[::2]) for line in text.splitlines()]
    said = {name: value for name, value in lines if name != "frame"}
    if "exported_by" not in said:
        return {}, []
    return said, [value for name, value in lines if name == "frame"]


def columns_of_labels(labels: Sequence[str], n_frames: int) -> dict[str, FrameColumn]:
    """Read the per-frame coordinates back from the labels of the frames.

    Parameters
    ----------
    labels : sequence of str
        ``name=value unit; name=value unit; …``.
    n_frames : int
        Frames of the file.

    Returns
    -------
    dict of str to FrameColumn
        Without the long names of quantities that stemscale does not know.
    """
    rows = [dict(entry.partition("=")[::2] for entry in label.split("; ")) for label in labels]
    parts = {
        name: [row.get(name, "").partition(" ")[::2] for row in rows]
        for name, value in (rows[0] if rows else {}).items()
        if value
    }
    per_frame = {name: [value for value, _ in column] for name, column in parts.items()}
    about = {name: {"units": column[0][1]} for name, column in parts.items()}
    return exported_columns(per_frame, about, n_frames)


def exported_start(said: Mapping[str, Any]) -> int | None:
    """Read the clock time of the first frame back [ns since 1970-01-01, UTC]."""
    try:
        return clock_ns(datetime.fromisoformat(str(said["start_time"])))
    except (KeyError, ValueError):
        return None


def _column(name: str, values: list[Any]) -> FrameColumn | None:
    if name != "timestamp":
        return column_of(name, values, long_name=name)
    try:
        return known_column(name, np.array(values, dtype="datetime64[ns]").astype(np.int64))
    except ValueError:
        return None


def _differs(axis: float | None, written: float | None) -> bool:
    if axis is None or not 0 < axis < math.inf:
        return False
    return written is None or not math.isclose(axis, written, rel_tol=_CHANGED)
