"""In-situ series against time and temperature; their last frames against the slow scan after."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from stemscale.quality import mean_and_std
from stemscale.reports.scores import RAPID
from stemscale.reports.shots import per_frame_filters
from stemscale.store import DONE, SUMMARY, filtered_group
from stemscale.views.store_view import (
    UNREADABLE,
    FloatArray,
    FovView,
    StoreView,
    open_group,
    read_store,
)

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
class EndScore:
    """PSNR of the last frame of a series against the slow scan taken after it (row Q9).

    Attributes
    ----------
    fov : str
        Field of view.
    filter : str
        Name of the filter's output.
    frame : int
        Number of the frame.
    rapid_db, filtered_db : float
        PSNR of the rapid frame, and of the filtered one [dB].
    """

    fov: str
    filter: str
    frame: int
    rapid_db: float
    filtered_db: float

    @property
    def gain_db(self) -> float:
        """Filtered over rapid [dB]."""
        return self.filtered_db - self.rapid_db

    @property
    def gain_percent(self) -> float:
        """Filtered over rapid, of the rapid frame's decibels [%], as the paper gives it."""
        return 100 * self.gain_db / self.rapid_db if self.rapid_db else float("nan")


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


def last_frame_table(store: str | Path | StoreView) -> list[EndScore]:
    """Compare the last frames of series with the slow scans taken after them.

    Parameters
    ----------
    store : str or Path
        Folder of the store.

    Returns
    -------
    list of EndScore
        Of all fields of view, see :func:`end_scores`.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.
    """
    view = store if isinstance(store, StoreView) else read_store(store)
    return [score for fov in view.fovs for score in end_scores(view, fov)]


def end_scores(view: StoreView, fov: FovView) -> list[EndScore]:
    """Score the last frame of a series against the slow scan taken after it.

    Parameters
    ----------
    view : StoreView
        The store.
    fov : FovView
        One of its FOVs.

    Returns
    -------
    list of EndScore
        Of each filter that made the frame: as `summarize` scored it and the rapid one, else as
        `process` did, if that was done. Empty where the slow scan was not taken after the series.

    Notes
    -----
    Source: Ihara 2022, "Application to in-situ observation" (row Q9).
    """
    if not fov.slow_is_after:
        return []
    summary = {
        name: _by_number(scores, "psnr", fov.shape[0])
        for name, scores in _scores(view, fov).items()
        if "psnr" in scores
    }
    found = []
    for filtered in per_frame_filters(fov):
        done = np.flatnonzero(filtered.status == DONE)
        if not done.size or filtered.kind == "none":
            continue
        last = int(done[np.argmax(filtered.frame_numbers[done])])
        frame = int(filtered.frame_numbers[last])
        summarized = _at(summary.get(RAPID), frame), _at(summary.get(filtered.name), frame)
        processed = (_at(filtered.scores.get(name), last) for name in ("psnr_rapid", "psnr"))
        rapid, psnr = summarized if np.isfinite(summarized).all() else processed
        if np.isfinite(rapid + psnr):
            found.append(
                EndScore(
                    fov=fov.name,
                    filter=filtered.name,
                    frame=frame,
                    rapid_db=rapid,
                    filtered_db=psnr,
                )
            )
    return found


def _at(values: FloatArray | None, index: int) -> float:
    return float(values[index]) if values is not None and index < values.size else float("nan")


def _scores(view: StoreView, fov: FovView) -> dict[str, xr.Dataset]:
    """Read what `summarize` found of each frame, by type of image; not of runs before these."""
    found = {}
    for name in (RAPID, *(f.name for f in fov.filters)):
        try:
            with open_group(view.store, f"{SUMMARY}/{fov.name}/{name}") as group:
                scores = group.load()
            if name != RAPID:
                with open_group(view.store, filtered_group(fov.name, name)) as frames:
                    if frames.attrs.get("fingerprint") != scores.attrs.get("fingerprint"):
                        continue
            if scores.sizes.get("frame", 0) > 1:  # no average of all frames
                found[name] = scores
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
