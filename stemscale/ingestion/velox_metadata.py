"""The metadata that Velox writes for every frame: what varies becomes columns, the rest settings.

Each frame has a JSON document of its own, of some 300 entries; most never change in a series.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stemscale.acquisition import FrameColumn, known_column
from stemscale.ingestion.columns import column_of, snake_case, varies
from stemscale.ingestion.tags import walk

Page = Mapping[str, Any]
"""The JSON document of one frame."""

_DETECTOR = r"(?:Detectors\[(?P<named>[^\]]*)\]|Detectors\.(?P<numbered>Detector-\d+))"

# (pattern of the dotted path, name, factor to the unit, unit where the name is not a known one)
_KNOWN: list[tuple[re.Pattern[str], str, float, str]] = [
    (re.compile(r"^Stage\.Position\.x$"), "stage_x", 1e9, ""),
    (re.compile(r"^Stage\.Position\.y$"), "stage_y", 1e9, ""),
    (re.compile(r"^Stage\.Position\.z$"), "stage_z", 1e9, ""),
    (re.compile(r"^Stage\.AlphaTilt$"), "tilt_alpha", 180 / np.pi, ""),
    (re.compile(r"^Stage\.BetaTilt$"), "tilt_beta", 180 / np.pi, ""),
    (re.compile(r"^Optics\.BeamCurrent$"), "beam_current", 1e9, ""),
    (re.compile(r"^Optics\.LastMeasuredScreenCurrent$"), "beam_current", 1e9, ""),
    (re.compile(r"^Optics\.ScreenCurrent$"), "screen_current", 1e9, "nA"),
    (re.compile(r"^Velox\.Series\.FrameNumber$"), "frame_id", 1, ""),
]
_OF_DETECTOR = re.compile(rf"^{_DETECTOR}\.(?P<what>.+)$")
_DETECTOR_UNITS = {"live_time": "s", "real_time": "s", "exposure_time": "s"}
_TIMESTAMP = re.compile(rf"^{_DETECTOR}\.TimeStamp$")  # µs since 1970, UTC
_NAT = np.iinfo(np.int64).min


def parse_page(text: bytes) -> Page | None:
    """Read the document of one frame.

    Parameters
    ----------
    text : bytes
        JSON, padded with zero bytes.

    Returns
    -------
    mapping or None
        None where it is empty or broken: the pixels of that frame are good all the same.
    """
    try:
        found = json.loads(text.split(b"\0", 1)[0].decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def start_time(page: Page, detector: str) -> int | None:
    """Clock time of a frame, or of the start of its series [ns since 1970-01-01, UTC]."""
    leaves = _leaves(page)
    for path, value in leaves.items():
        match = _TIMESTAMP.match(path)
        if match and match["named"] == detector and (number := _integer(value)) is not None:
            return number * 1000
    seconds = _integer(leaves.get("Acquisition.AcquisitionStartDatetime.DateTime"))
    return seconds * 10**9 if seconds else None


def frame_columns(pages: Iterable[Page | None], *, detector: str) -> dict[str, FrameColumn]:
    """Find what varies from frame to frame.

    Parameters
    ----------
    pages : iterable of mapping or None
        The document of each frame; read one after the other, none is kept.
    detector : str
        Name of the detector that recorded these frames.

    Returns
    -------
    dict of str to FrameColumn
        Stage, beam current, live times and clock time under the names and units of
        `FRAME_QUANTITIES`; everything else that varies under its path in snake case. Numbers
        are NaN where a frame's document lacks them. ``time`` counts from the first frame.
    """
    first, varying, n_frames = _collect(pages)
    names = _detector_names(first)
    columns: dict[str, FrameColumn] = {}
    if n_frames == 1:  # of one frame nothing varies, but its clock matters in a longer series
        varying = {p: [v] for p, v in first.items() if _TIMESTAMP.match(p)}
    for path, values in varying.items():
        if _TIMESTAMP.match(path):
            _add_clock(columns, values)
            continue
        name, factor, units = _known(path, detector, names)
        if name in columns:
            name, factor, units = snake_case(path), 1.0, ""
        column = column_of(
            name, values, long_name=f"{path} in the file", units=units, factor=factor
        )
        if column is not None and varies(column):  # 0 and -0 do not: Velox writes both
            columns[name] = column
    return columns


def _collect(
    pages: Iterable[Page | None],
) -> tuple[dict[str, Any], dict[str, list[Any]], int]:
    common: dict[str, Any] = {}
    varying: dict[str, list[Any]] = {}
    seen = n = 0
    for n, page in enumerate(pages, start=1):
        leaves = {} if page is None else _leaves(page)
        if not common and leaves:
            common, seen = leaves, n - 1
            if seen:  # the first frames have no metadata: everything there is counts as varying
                varying = {path: [None] * seen for path in leaves}
        changed = [p for p, v in leaves.items() if p not in varying and common.get(p) != v]
        gone = [p for p in common if p not in varying and p not in leaves]
        for path in (*changed, *gone):
            varying[path] = [common.get(path)] * (n - 1)
        for path, values in varying.items():
            values.append(leaves.get(path))
    return common, varying, n


def _leaves(page: Page) -> dict[str, Any]:
    # Velox wraps its custom properties as {"type": ..., "value": ...}.
    found = {}
    for path, value in walk(page):
        if path.startswith("CustomProperties.") and path.endswith(".type"):
            continue
        found[path.removeprefix("CustomProperties.").removesuffix(".value")] = value
    return found


def _detector_names(leaves: Mapping[str, Any]) -> dict[str, str]:
    pattern = re.compile(r"^Detectors\.(Detector-\d+)\.DetectorName$")
    return {m[1]: str(v) for p, v in leaves.items() if (m := pattern.match(p))}


def _known(path: str, detector: str, names: Mapping[str, str]) -> tuple[str, float, str]:
    """Name, factor and unit of an entry, by its dotted path."""
    for pattern, name, factor, units in _KNOWN:
        if pattern.match(path):
            return name, factor, units
    if match := _OF_DETECTOR.match(path):
        name = snake_case(match["what"])
        whose = match["named"] or names.get(match["numbered"], match["numbered"])
        units = _DETECTOR_UNITS.get(name, "")
        return name if whose == detector else f"{name}_{snake_case(whose)}", 1.0, units
    return snake_case(path), 1.0, ""


def _add_clock(columns: dict[str, FrameColumn], values: list[Any]) -> None:
    microseconds = [_integer(v) for v in values]
    clock = np.array([_NAT if u is None else u * 1000 for u in microseconds], dtype=np.int64)
    known = clock != _NAT
    if "timestamp" in columns or not known.any():
        return
    seconds = np.where(known, (clock - clock[known][0]) / 1e9, np.nan)
    columns["timestamp"] = known_column("timestamp", clock)
    columns["time"] = known_column("time", seconds)


def _integer(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < 2**53 else None
