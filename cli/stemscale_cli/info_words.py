"""Words and numbers with units for what ``stemscale info`` shows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "not in the file"

SETTINGS = {
    "pixel_size_nm": "pixel size",
    "dwell_time_ns": "dwell time",
    "flyback_time_us": "flyback time",
    "frame_time_s": "frame time",
    "high_tension_kv": "high tension",
    "magnification": "magnification",
    "detector": "detector",
    "instrument": "instrument",
}
"""Name of a scan setting: what people call it."""

_MANY = 6  # names that are still worth reading one by one


def setting(scan: Mapping[str, Any], name: str) -> str:
    """Write one scan setting with its unit.

    Parameters
    ----------
    scan : mapping
        The settings that are known.
    name : str
        One of `SETTINGS`.

    Returns
    -------
    str
        ``100 ns/px``, say, or that the file does not have it.
    """
    value = scan.get(name)
    if value is None:
        return UNKNOWN
    if name == "dwell_time_ns":
        return f"{_time(value * 1e-9)}/px"
    if name == "flyback_time_us":
        return f"{_time(value * 1e-6)}/line"
    if name == "pixel_size_nm":
        return f"{value:.5g} nm"
    if name == "high_tension_kv":
        return f"{value:g} kV"
    return f"{value:,.0f} x" if name == "magnification" else str(value)


def frame_time(scan: Mapping[str, Any], name: str = "frame_time_s") -> str:
    """Write the time of a frame, or what follows from the dwell time where the file is silent."""
    if scan.get(name) is not None:
        return _time(scan[name])
    if scan.get("frame_interval_s") is None:
        return UNKNOWN
    least, source = ("", "dwell and flyback") if "flyback_time_us" in scan else (">= ", "dwell")
    return f"{UNKNOWN} ({least}{_time(scan['frame_interval_s'])} by {source})"


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale * (1 - 1e-9):
            return f"{seconds / scale:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"


def state(array: Mapping[str, Any], *, short: bool = False) -> str:
    """Say how far an array of frames is.

    Parameters
    ----------
    array : mapping
        Of `info`, for rapid or filtered frames.
    short : bool
        Whether there is little room.
    """
    name = str(array["state"] or "not known")
    if name == "complete":
        return name
    parts = []
    if array["blocks_done"] is not None:
        done, blocks = array["blocks_done"], array["blocks"]
        parts.append(f"{done}/{blocks}" if short else f"{done} of {blocks} blocks")
    for kind in () if short else ("failed", "damaged"):
        if n := array.get(f"frames_{kind}"):
            parts.append(f"{n} {kind} frame" + "s" * (n > 1))
    between = " " if short else ": "
    return name + between * bool(parts) + ", ".join(parts)


def ratio(array: Mapping[str, Any]) -> str:
    """Write how much smaller the frames are on disk than in memory."""
    found = array["compression_ratio"]
    return "-" if found is None else f"{found:.2f}"


def calibrated(calibration: Mapping[str, Any] | None) -> str:
    """Say how a FOV was calibrated, and what it brought."""
    if calibration is None:
        return "none yet"
    verb = "carried over from" if calibration["carried_over"] else "estimated on"
    source = str(calibration["estimated_on"] or "").split()
    text = f"{calibration['method']}, {verb} {names(source) or 'not known'}"
    before, after = (_score(calibration[f"zncc_{when}"]) for when in ("before", "after"))
    return f"{text}; ZNCC {before or '?'} before, {after or '?'} after" if before or after else text


def _score(value: Any) -> str:
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.3f}" if known else ""


def filter_text(filtered: Mapping[str, Any]) -> str:
    """Name a filter, with the start of its hash where it is a file."""
    text = str(filtered["filter"] or "not known")
    if filtered["filter_sha256"]:
        text += f" (sha256 {str(filtered['filter_sha256'])[:12]})"
    if filtered["window"]:
        text += f", window {filtered['window']}"
    return text


def names(found: Sequence[str], *, without: str = "") -> str:
    """List names; of very many only the first ones and how many there are."""
    kept = [str(n) for n in found if n != without]
    if len(kept) <= _MANY:
        return ", ".join(kept)
    return f"{', '.join(kept[:3])} ... {kept[-1]} ({len(kept)} in all)"


def varies(column: Mapping[str, Any]) -> bool:
    """Tell whether a quantity changes from frame to frame."""
    return not column["constant"] and column["min"] is not None


def column_cells(column: Mapping[str, Any]) -> list[str]:
    """Write min, max, first and last of a quantity; for words, which they are, instead of a range.

    Parameters
    ----------
    column : mapping
        Of `info`, for one quantity along ``frame``.

    Returns
    -------
    list of str
        Four cells.
    """
    cells = [_value(column, key) for key in ("min", "max", "first", "last")]
    words = column.get("words", {})
    if len(words) > 1:
        cells[:2] = [f"{len(words)} words", ""]
    return cells


def _value(column: Mapping[str, Any], key: str) -> str:
    value = column[key]
    if value is None:
        return "missing"
    if column["kind"] == "date":
        return str(value).replace("T", " ").removesuffix("Z")[:23]
    if column["kind"] == "word":
        return str(value) or "(empty)"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.7g}"
