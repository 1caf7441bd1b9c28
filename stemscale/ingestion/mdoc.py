"""The text file that SerialEM writes beside an MRC stack: exposure, tilt, stage, times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from stemscale.acquisition import FrameColumn, ScanSettings, known_column
from stemscale.errors import InputFileError
from stemscale.ingestion.columns import column_of, snake_case, varies

# key in a [ZValue] section: (quantity, factor to its unit); others keep their name
_PER_FRAME = {"TiltAngle": ("tilt_alpha", 1.0), "StageZ": ("stage_z", 1e3)}


def read_mdoc(
    mrc: Path, settings: ScanSettings, n_frames: int
) -> tuple[ScanSettings, dict[str, FrameColumn]]:
    """Add what an ``.mdoc`` says to the settings of an MRC stack.

    Parameters
    ----------
    mrc : Path
        The stack; its metadata are looked for in ``<stack>.mdoc``.
    settings : ScanSettings
        From the stack itself.
    n_frames : int
        Images in the stack.

    Returns
    -------
    settings : ScanSettings
        With frame time, dwell time (exposure over pixels), voltage, magnification and detector.
    per_frame : dict of str to FrameColumn
        Stage and tilt of each frame, and everything else that varies: numbers, several numbers in
        one entry (``image_shift_1``, ``image_shift_2``), or words; times, where they are resolved
        better than the exposure.
    """
    file = mrc.with_name(mrc.name + ".mdoc")
    if not file.is_file():
        return settings, {}
    try:
        text = file.read_text("latin-1")
    except OSError as error:
        raise InputFileError(f"{file} cannot be read ({error}): copy it again") from error
    head, *sections = re.split(r"^\[ZValue[^\]]*\]", text, flags=re.MULTILINE)
    common = _pairs(head)
    frames = [_pairs(s) for s in sections][:n_frames]
    first = frames[0] if frames else {}
    exposure = _number(first, "ExposureTime")
    exposure = exposure if exposure is not None and exposure > 0 else None
    settings = replace(
        settings,
        frame_time_s=exposure or settings.frame_time_s,
        dwell_time_ns=exposure * 1e9 / (settings.n_x * settings.n_y)
        if exposure
        else settings.dwell_time_ns,
        high_tension_kv=_number(common, "Voltage") or settings.high_tension_kv,
        magnification=_number(first, "Magnification") or settings.magnification,
        detector=first.get("ChannelName") or settings.detector,
    )
    if len(frames) != n_frames:
        return settings, {}
    return settings, _per_frame(frames, exposure)


def _per_frame(frames: list[dict[str, str]], exposure: float | None) -> dict[str, FrameColumn]:
    known: dict[str, list[float | None]] = {
        name: [n and n * factor for n in (_number(f, key) for f in frames)]
        for key, (name, factor) in _PER_FRAME.items()
    }
    stage = [f.get("StagePosition", "").split() for f in frames]
    for i, name in enumerate(("stage_x", "stage_y")):
        pairs = [dict(zip("xy", s, strict=False)) for s in stage]
        known[name] = [None if (v := _number(p, "xy"[i])) is None else v * 1e3 for p in pairs]
    known["time"] = _times(frames, exposure)
    columns = {
        name: known_column(name, np.array(values, dtype=np.float64))
        for name, values in known.items()
        if len(values) == len(frames) and all(v is not None for v in values)
    }
    used = {*_PER_FRAME, "StagePosition", *(["DateTime"] if "time" in columns else [])}
    for key in sorted({k for f in frames for k in f} - used):
        for name, values in _entries(key, [f.get(key) for f in frames]).items():
            column = column_of(name, values, long_name=f"{key} in the .mdoc")
            if column is not None and varies(column):
                columns.setdefault(name, column)
    return columns


def _entries(key: str, texts: Sequence[str | None]) -> dict[str, Sequence[str | None]]:
    """Take apart what holds several numbers: ``ImageShift = 0.28 -0.18``."""
    name = snake_case(key)
    parts = [(text or "").split() or None for text in texts]
    counts = {len(p) for p in parts if p is not None}
    if len(counts) != 1 or not all(_is_number(v) for p in parts for v in p or ()):
        return {name: texts}
    (n,) = counts
    each = [[None if p is None else p[i] for p in parts] for i in range(n)]
    return {f"{name}_{i + 1}" if n > 1 else name: values for i, values in enumerate(each)}


def _is_number(text: str) -> bool:
    return _number({"": text}, "") is not None


def _times(frames: list[dict[str, str]], exposure: float | None) -> list[float | None]:
    # Clock times have a resolution of 1 s: of use only where frames are further apart.
    try:
        clock = [datetime.strptime(f["DateTime"], "%d-%b-%y  %H:%M:%S") for f in frames]
    except (KeyError, ValueError):
        return [None] * len(frames)
    seconds = [(c - clock[0]).total_seconds() for c in clock]
    steps = np.diff(seconds)
    return list(seconds) if len(steps) and steps.min() > max(1.0, exposure or 0.0) else [None]


def _pairs(text: str) -> dict[str, str]:
    found = re.findall(r"^(\w+) = (.*?)\s*$", text, flags=re.MULTILINE)
    return dict(found)


def _number(pairs: Mapping[str, str], key: str) -> float | None:
    try:
        number = float(pairs[key])
    except (KeyError, ValueError):
        return None
    return number if np.isfinite(number) else None
