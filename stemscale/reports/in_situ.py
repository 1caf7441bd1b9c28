"""In-situ series against time and temperature; their last frames against the slow scan after."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from stemscale.quality import mean_and_std
from stemscale.reports.scores import RAPID
from stemscale.reports.store_view import (
    UNREADABLE,
    FloatArray,
    FovView,
    StoreView,
    open_group,
    read_store,
)
from stemscale.store import SUMMARY

PARTS = 6  # as the paper has six ranges of temperature
_LEAST = 2  # frames in a part


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesRow:
    """One stretch of time of an in-situ series.

    Attributes
    ----------
    fov : str
    first_frame, last_frame : int
        Numbers of the rapid frames.
    time_s : tuple of float, or None
        When the first and the last were taken [s].
    temperature_degc : tuple of float, or None
        Lowest and highest [°C].
    psnr_db : mapping of str to (float, float)
        By type of image, mean and standard deviation over these frames [dB]; uPSNR where there is
        no slow scan.
    score : str
        ``psnr`` or ``upsnr``.
    """

    fov: str
    first_frame: int
    last_frame: int
    time_s: tuple[float, float] | None
    temperature_degc: tuple[float, float] | None
    psnr_db: Mapping[str, tuple[float, float]]
    score: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LastFrameRow:
    """The last frame of a series against the slow scan taken after it (row Q9).

    Attributes
    ----------
    fov, type : str
    frame : int
        Its number.
    psnr_db : float
    over_rapid_db, over_rapid_percent : float or None
        By how much that is above the rapid frame's; the paper gives it in %.
    """

    fov: str
    type: str
    frame: int
    psnr_db: float
    over_rapid_db: float | None
    over_rapid_percent: float | None


def series_table(store: str | Path | StoreView) -> list[SeriesRow]:
    """Cut in-situ series into stretches of time, with the PSNR of each.

    Parameters
    ----------
    store : str or Path
        Folder of the store, after `summarize`.

    Returns
    -------
    list of SeriesRow
        Six for each series whose frames have temperatures; none without.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    return [row for fov in view.fovs for row in _stretches(fov, _scores(view, fov))]


def last_frame_table(store: str | Path | StoreView) -> list[LastFrameRow]:
    """Compare the last frames of series with the slow scans taken after them.

    Parameters
    ----------
    store : str or Path
        Folder of the store, after `summarize`.

    Returns
    -------
    list of LastFrameRow
        Of each such series, of the last frame that all types have; averages are left out.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.

    Notes
    -----
    Source: Ihara 2022, Application to in-situ observation (row Q9): +14 % for 90 to 150 °C.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    return [row for fov in view.fovs if fov.slow_is_after for row in _last(fov, _scores(view, fov))]


def _scores(view: StoreView, fov: FovView) -> dict[str, xr.Dataset]:
    """Read what `summarize` found of each frame, by type of image."""
    found = {}
    for name in (RAPID, *(f.name for f in fov.filters)):
        try:
            with open_group(view.path, f"{SUMMARY}/{fov.name}/{name}") as group:
                if group.sizes.get("frame", 0) > 1:  # no average of all frames
                    found[name] = group.load()
        except UNREADABLE:  # not summarised yet, or without a score
            continue
    return found


def _stretches(fov: FovView, scores: Mapping[str, xr.Dataset]) -> Iterator[SeriesRow]:
    if fov.temperature is None or not scores:
        return
    name = "psnr" if any("psnr" in s for s in scores.values()) else "upsnr"
    columns = {t: _by_number(s, name, fov.shape[0]) for t, s in scores.items() if name in s}
    parts = min(PARTS, fov.shape[0] // _LEAST)
    if not columns or not parts:
        return
    for numbers in np.array_split(np.arange(fov.shape[0]), parts):
        means = {t: mean_and_std(values[numbers]) for t, values in columns.items()}
        yield SeriesRow(
            fov=fov.name,
            first_frame=int(numbers[0]),
            last_frame=int(numbers[-1]),
            time_s=None if fov.time is None else _ends(fov.time[numbers]),
            temperature_degc=_limits(fov.temperature[numbers]),
            psnr_db={t: (m.mean, m.std) for t, m in means.items() if m.n},
            score=name,
        )


def _last(fov: FovView, scores: Mapping[str, xr.Dataset]) -> Iterator[LastFrameRow]:
    columns = {t: _by_number(s, "psnr", fov.shape[0]) for t, s in scores.items() if "psnr" in s}
    if not columns:
        return
    common = np.flatnonzero(np.isfinite(np.stack(list(columns.values()))).all(axis=0))
    if not common.size:
        return
    frame = int(common[-1])
    rapid = float(columns[RAPID][frame]) if RAPID in columns else None
    for type_, values in columns.items():
        psnr = float(values[frame])
        known = rapid is not None and type_ != RAPID
        yield LastFrameRow(
            fov=fov.name,
            type=type_,
            frame=frame,
            psnr_db=psnr,
            over_rapid_db=psnr - rapid if known and rapid is not None else None,
            over_rapid_percent=100 * (psnr / rapid - 1) if known and rapid else None,
        )


def _by_number(scores: xr.Dataset, name: str, count: int) -> FloatArray:
    """Bring scores to the numbers of the rapid frames; NaN where there are none."""
    found = np.full(count, np.nan)
    numbers = scores["frame"].values.astype(np.int64)
    inside = (numbers >= 0) & (numbers < count)
    found[numbers[inside]] = scores[name].values[inside]
    return found


def _ends(values: FloatArray) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _limits(values: FloatArray) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None
