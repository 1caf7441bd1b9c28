"""PSNR of the frames of a series against time and temperature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.reports.plot import Plot, column
from stemscale.reports.plots.panels import WIDE_IN, WIDTH_IN
from stemscale.reports.scores import RAPID, type_label
from stemscale.reports.shots import rapid_psnr_by_frame
from stemscale.reports.style import Look, figure_text, looks, one_legend
from stemscale.store import DONE
from stemscale.views.store_view import FovView

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_POINTS = 1500  # of a series: more than a figure has pixels
_MAX_CROSSES = 300
_LEAST_FRAMES = 100  # of a series without temperatures that is worth a figure
_MOST_BINS = 60  # of temperature
_WARM = Look(colour="#d55e00", dashes="-")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Scored:
    """PSNR of some frames of a series."""

    name: str
    numbers: IntArray  # of the frames
    psnr: FloatArray  # [dB]


def series_plot(fov: FovView) -> Plot | None:
    """Draw the PSNR of a series against time and against temperature.

    Parameters
    ----------
    fov : FovView

    Returns
    -------
    Plot or None
        None where the series has neither temperatures nor 100 frames with scores. Frames that
        lie outside what their filter was trained on are crossed.

    Notes
    -----
    Source: Ihara 2022, Fig. 5 and Supplementary C (rows D6 and Q9), in numbers.
    """
    heated = fov.temperature is not None and fov.temperature.size > 1
    lines = _psnr_lines(fov)
    if not heated and (fov.shape[0] < _LEAST_FRAMES or not lines):
        return None
    against = " and temperature" if heated else ""
    crossed = "; crosses: frames outside what the filter was trained on" if _flags(fov) else ""
    after = "; the slow scan was taken afterwards, and shows its end" if fov.slow_is_after else ""
    return Plot(
        name="series",
        fov=fov.name,
        title=f"{fov.name}: PSNR against time{against}" if lines else f"{fov.name}: temperature",
        caption=f"PSNR to the slow scan of each frame{after}{crossed}.",
        paper="Fig. 5" if heated else "",
        figure=_draw(fov, lines, heated=heated),
        numbers=_numbers(fov, lines),
    )


def _draw(fov: FovView, lines: Sequence[_Scored], *, heated: bool) -> Figure:
    time = _times(fov)
    styles = looks([line.name for line in lines])
    both = heated and bool(lines)
    figure = Figure(
        figsize=(WIDE_IN if both else WIDTH_IN, 3.9 if both else 2.6), layout="constrained"
    )
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.5, 1]) if both else (figure, None)
    left, right = halves
    ratios = [3, 2] if both else [1]
    panels = np.atleast_1d(left.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
    for line in lines:
        known = line.numbers < time.size
        _line(panels[0], time[line.numbers[known]], line.psnr[known], styles[line.name], line.name)
    if lines:
        _cross(panels[0], fov, time)
        panels[0].set_ylabel("PSNR [dB]")
    if fov.temperature is not None and heated:
        _line(panels[-1], time, fov.temperature, _WARM, "")
        panels[-1].set_ylabel("temp. [°C]")
    panels[-1].set_xlabel("time [s]" if fov.time is not None else "frame")
    if right is not None and fov.temperature is not None:
        _against_temperature(right.subplots(), fov.temperature, lines, styles)
    if lines:
        one_legend(figure, [panels[0]])
    return figure


def _against_temperature(
    axes: Axes, temperature: FloatArray, lines: Sequence[_Scored], styles: dict[str, Look]
) -> None:
    """Average the frames of a degree or so: held temperatures would pile up on one point."""
    for line in lines:
        known = line.numbers < temperature.size
        degrees, psnr = temperature[line.numbers[known]], line.psnr[known]
        psnr, degrees = psnr[np.isfinite(degrees)], degrees[np.isfinite(degrees)]
        if not degrees.size:
            continue
        edges = np.linspace(degrees.min(), degrees.max(), min(_MOST_BINS, degrees.size) + 1)
        place = np.clip(np.searchsorted(edges, degrees, side="right") - 1, 0, edges.size - 2)
        count = np.bincount(place, minlength=edges.size - 1)
        there = count > 0
        mean, middle = (
            np.bincount(place, v, minlength=edges.size - 1)[there] / count[there]
            for v in (psnr, degrees)
        )
        look = styles[line.name]
        step = max(1, degrees.size // _MAX_POINTS)
        axes.plot(degrees[::step], psnr[::step], ".", color=look.colour, ms=4, alpha=0.35, mew=0)
        axes.plot(middle, mean, color=look.colour, ls=look.dashes, lw=1.3)
    axes.set_xlabel("temperature [°C]")
    axes.set_ylabel("PSNR [dB]")


def _times(fov: FovView) -> FloatArray:
    return fov.time if fov.time is not None else np.arange(fov.shape[0], dtype=np.float64)


def _line(axes: Axes, x: FloatArray, y: FloatArray, look: Look, name: str) -> None:
    size = min(x.size, y.size)
    step = max(1, -(-size // _MAX_POINTS))
    whole = size // step * step
    if step > 1:  # means of neighbours: leaving frames out would look like noise
        x = x[:whole].reshape(-1, step).mean(axis=1)
        y = y[:whole].reshape(-1, step).mean(axis=1)
    label = figure_text(type_label(name)) if name else None
    axes.plot(x[:size], y[:size], color=look.colour, ls=look.dashes, lw=1.2, label=label)


def _psnr_lines(fov: FovView) -> list[_Scored]:
    rapid = rapid_psnr_by_frame(fov)
    lines = []
    if rapid:
        numbers = np.array(sorted(rapid), dtype=np.int64)
        scores = np.array([rapid[int(n)] for n in numbers])
        lines.append(_Scored(name=RAPID, numbers=numbers, psnr=scores))
    for filtered in fov.filters:
        psnr = filtered.scores.get("psnr")
        if psnr is None or psnr.size < 2 or filtered.kind == "none":
            continue
        known = (filtered.status == DONE) & np.isfinite(psnr)
        if known.any():
            numbers = filtered.frame_numbers[known]
            lines.append(_Scored(name=filtered.name, numbers=numbers, psnr=psnr[known]))
    return lines


def _flags(fov: FovView) -> bool:
    return any(f.flagged is not None and f.flagged.frames for f in fov.filters)


def _cross(axes: Axes, fov: FovView, time: FloatArray) -> None:
    """Mark the frames that lie outside what a filter was trained on."""
    outside, heights = _outside(fov, time.size)
    if outside.size:
        axes.plot(time[outside], heights, "x", color="black", ms=4, label="out of range")


def _outside(fov: FovView, n_times: int) -> tuple[IntArray, FloatArray]:
    numbers, scores = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for filtered in fov.filters:
        psnr = filtered.scores.get("psnr")
        if filtered.flagged is None or psnr is None or psnr.size < 2:
            continue
        places = np.array(filtered.flagged.frames, dtype=np.int64)
        known = np.isfinite(psnr[places]) & (filtered.frame_numbers[places] < n_times)
        numbers.append(filtered.frame_numbers[places[known]])
        scores.append(psnr[places[known]])
    found, heights = np.concatenate(numbers), np.concatenate(scores)
    step = max(1, -(-found.size // _MAX_CROSSES))
    return found[::step], heights[::step]


def _numbers(fov: FovView, lines: Sequence[_Scored]) -> dict[str, npt.NDArray[np.generic]]:
    n_frames = fov.shape[0]
    columns: dict[str, npt.NDArray[np.generic]] = {"frame": np.arange(n_frames)}
    for name, known_at in (("time_s", fov.time), ("temperature_degC", fov.temperature)):
        if known_at is not None and known_at.size == n_frames:
            columns[name] = known_at
    for line in lines:
        values = np.full(n_frames, np.nan)
        known = line.numbers < n_frames
        values[line.numbers[known]] = line.psnr[known]
        columns[column(f"psnr_{line.name}", "dB")] = values
    return columns
