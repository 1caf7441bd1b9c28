"""Logs of heating holders, joined to the frames by time.

A log begins when its software was started, a series when somebody pressed record: the offset is
the time from the first sample of the log to the first frame.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import FrameColumn, check_frame_metadata, known_column
from stemscale.errors import InputFileError, SettingsError, StemscaleError, one_line
from stemscale.ingestion.frame_log import read_table

HOW = ("linear", "nearest")

_DAY_S = 86_400.0
_PROTOCHIPS_UNITS = {"degrees c": "degC", "degc": "degC", "c": "degC", "milliseconds": "ms"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HolderLog:
    """A log of a heating holder.

    Attributes
    ----------
    path : Path
        The file.
    kind : str
        "DENSsolutions", "Protochips" or "table".
    times : ndarray, shape (sample,)
        Since the first sample [s]; increasing.
    columns : mapping of str to FrameColumn
        Quantities over the samples; NaN where a sample has none.
    start : str or None
        Clock time of the first sample as the log has it, that of the place, ISO 8601.
    """

    path: Path
    kind: str
    times: NDArray[np.float64]
    columns: Mapping[str, FrameColumn]
    start: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinedLog:
    """A log as columns along ``frame``.

    Attributes
    ----------
    columns : dict of str to FrameColumn
        One value a frame; NaN outside the log.
    largest_gap_s : float
        Longest time between two samples that a frame's value was taken across; with "nearest",
        the longest time from a frame to its sample [s].
    outside : int
        Frames before the first or after the last sample.
    """

    columns: dict[str, FrameColumn]
    largest_gap_s: float
    outside: int


def read_log(path: Path) -> HolderLog:
    """Read a log of a heating holder.

    Parameters
    ----------
    path : Path
        DENSsolutions ``.dens``; Protochips ``.csv``; or a CSV with a column ``time_s`` and
        others named ``quantity_unit``.

    Returns
    -------
    HolderLog

    Raises
    ------
    InputFileError
        If it cannot be read, has no samples, or its times do not increase.
    """
    try:
        if path.suffix.lower() == ".dens":
            return _checked(_read_dens(path))
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            head = stream.readline()
        is_protochips = {"Time", "Notes"} <= {w.strip() for w in head.split(",")}
        return _checked(_read_protochips(path) if is_protochips else _read_csv(path))
    except StemscaleError:
        raise
    except Exception as error:  # RosettaSciIO's parsers raise whatever they like
        raise InputFileError(
            f"{path} cannot be read as a heating log ({one_line(error)}): give a DENSsolutions "
            f".dens, a Protochips .csv, or a CSV with a column time_s"
        ) from error


def join_log(
    log: HolderLog,
    frame_times: NDArray[np.float64],
    *,
    offset_s: float = 0.0,
    how: str = "linear",
) -> JoinedLog:
    """Give every frame the values of a log at its time.

    Parameters
    ----------
    log : HolderLog
    frame_times : ndarray, shape (n_frames,)
        Of each frame, 0 for the first [s].
    offset_s : float
        From the first sample of the log to time 0 of the frames [s]; positive where the log
        began before the series.
    how : {"linear", "nearest"}
        Between the samples around a frame, or of the nearest one.

    Returns
    -------
    JoinedLog
        Never extrapolated: frames outside the log have NaN.

    Raises
    ------
    SettingsError
        If ``how`` is another word, or the offset is no number.
    InputFileError
        If no frame lies inside the log.
    """
    if how not in HOW:
        raise SettingsError(f"--log-join is {how!r}, but must be one of {', '.join(HOW)}")
    if not np.isfinite(offset_s):
        raise SettingsError(f"--log-offset is {offset_s}, but must be a number of seconds")
    at = np.asarray(frame_times, dtype=np.float64) + offset_s
    inside = (at >= log.times[0]) & (at <= log.times[-1])
    if not inside.any():
        raise InputFileError(
            f"{log.path} covers 0 to {log.times[-1]:g} s after its first sample, but the frames "
            f"lie at {np.nanmin(at):g} to {np.nanmax(at):g} s: set --log-offset to the time from "
            f"the first sample to the first frame"
        )
    gap = 0.0
    columns = {}
    for name, column in log.columns.items():
        known = np.isfinite(column.values)
        values, bridged = _joined(at, log.times[known], column.values[known], how)
        columns[name] = replace(column, values=values)
        gap = max(gap, bridged)
    return JoinedLog(columns=columns, largest_gap_s=gap, outside=int((~inside).sum()))


def _joined(
    at: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[np.float64], how: str
) -> tuple[NDArray[np.float64], float]:
    """Values at some times, and the longest time bridged."""
    found = np.full(len(at), np.nan)
    inside = (at >= times[0]) & (at <= times[-1]) if len(times) else np.zeros(len(at), bool)
    if not inside.any():
        return found, 0.0
    wanted = at[inside]
    after = np.searchsorted(times, wanted)  # first sample at or after
    before = np.where(times[after] == wanted, after, after - 1)
    if how == "linear":
        span = times[after] - times[before]
        share = np.where(span > 0, (wanted - times[before]) / np.where(span > 0, span, 1), 0)
        found[inside] = values[before] + share * (values[after] - values[before])
        return found, float(span.max())
    nearest = np.where(wanted - times[before] <= times[after] - wanted, before, after)
    found[inside] = values[nearest]
    return found, float(np.abs(times[nearest] - wanted).max())


def _checked(log: HolderLog) -> HolderLog:
    times = log.times
    if len(times) < 1 or not np.isfinite(times).all():
        raise InputFileError(f"{log.path} has samples without a time, or none at all")
    if (np.diff(times) < 0).any():
        at = int(np.flatnonzero(np.diff(times) < 0)[0])
        raise InputFileError(
            f"{log.path}: the time goes back after sample {at}, from {times[at]:g} to "
            f"{times[at + 1]:g} s: cut the log there"
        )
    # Holders write some instants twice: the mean of both is taken.
    unique, group = np.unique(times, return_inverse=True)
    columns = {n: replace(c, values=_means(c.values, group)) for n, c in log.columns.items()}
    columns = {n: c for n, c in columns.items() if np.isfinite(c.values).any()}
    if not columns:
        raise InputFileError(f"{log.path} has no column of numbers beside the time")
    return replace(log, times=unique - unique[0], columns=columns)


def _means(values: NDArray[np.float64], group: NDArray[Any]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    sums = np.bincount(group, np.where(known, values, 0.0))
    counts = np.bincount(group, known)
    means: NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _read_dens(path: Path) -> HolderLog:
    from rsciio.dens import file_reader

    if not path.read_text(encoding="utf-8", errors="replace").strip():
        raise ValueError("it is empty")  # RosettaSciIO 0.15 would look for a line for ever
    (signal,) = file_reader(str(path))
    temperature = np.asarray(signal["data"], dtype=np.float64)
    times = _dens_times(path)
    if len(times) != len(temperature):
        raise InputFileError(f"{path}: {len(times)} times for {len(temperature)} temperatures")
    about = signal["metadata"]["General"]
    return HolderLog(
        path=path,
        kind="DENSsolutions",
        times=times,
        columns={"temperature": known_column("temperature", temperature)},
        start=f"{about['date']}T{about['time']}",
    )


def _dens_times(path: Path) -> NDArray[np.float64]:
    """Read the time of each sample [s]: RosettaSciIO gives a straight line through them."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("sample\t"))
    fields = [line.split("\t")[1] for line in lines[head + 1 :] if line.strip()]
    seconds = np.array([_dens_seconds(f) for f in fields], dtype=np.float64)
    midnights = np.cumsum(np.r_[0, np.diff(seconds) < 0])
    times: NDArray[np.float64] = seconds + _DAY_S * midnights
    return times


def _dens_seconds(text: str) -> float:
    if ":" not in text:
        return float(text)
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _read_protochips(path: Path) -> HolderLog:
    import warnings

    from rsciio.protochips import file_reader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the straight line that it puts through the times
        signals = file_reader(str(path))
    about = signals[0]["original_metadata"]["Protochips_header"]
    axis = about["Time axis"]
    factor = 1e-3 if str(axis["units"]).lower().startswith("milli") else 1.0
    columns: dict[str, FrameColumn] = {}
    for signal in signals:
        title = str(signal["metadata"]["General"]["title"])
        quantity, _, unit = title.rstrip(")").rpartition(" (")
        values = np.asarray(signal["data"], dtype=np.float64)
        name, column = _quantity(quantity, unit, values)
        columns.setdefault(name, column)
    return HolderLog(
        path=path,
        kind="Protochips",
        times=np.asarray(axis["value"], dtype=np.float64) * factor,
        columns=columns,
        start=str(about["Start time"].astype(datetime).isoformat()),
    )


def _quantity(quantity: str, unit: str, values: NDArray[np.float64]) -> tuple[str, FrameColumn]:
    units = _PROTOCHIPS_UNITS.get(unit.strip().lower(), unit.strip())
    name = re.sub(r"[^a-z0-9]+", "_", quantity.lower()).strip("_") or "quantity"
    if name.endswith("temperature") and units == "degC":
        return "temperature", known_column("temperature", values)
    return name, FrameColumn(values=values, units=units, long_name=f"{quantity} of the holder")


def _read_csv(path: Path) -> HolderLog:
    rows = read_table(path)
    columns = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    found = check_frame_metadata(columns, len(rows), source=str(path))
    if "time" not in found:
        raise InputFileError(
            f"{path} has the columns {', '.join(columns)}: a log needs a column time_s"
        )
    time = found.pop("time")
    return HolderLog(path=path, kind="table", times=time.values, columns=found, start=None)
