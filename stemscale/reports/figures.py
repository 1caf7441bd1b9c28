"""The figures of a page about the whole store: scores, distortion, in-situ series."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.reports.pixels import rapid_psnr_by_frame
from stemscale.reports.scores import AFTER, RAPID, TRAINED, ScoreRow, type_label
from stemscale.reports.store_view import DONE, FovView
from stemscale.reports.style import Look, figure_style, figure_text, legend_above, looks, svg_uri

FloatArray = npt.NDArray[np.float64]

WIDTH_IN = 6.4
_MAX_POINTS = 1500  # of a series: more than a figure has pixels
_MAX_CROSSES = 300
_MAX_LEGEND = 8


def psnr_figure(rows: Sequence[ScoreRow]) -> str | None:
    """Draw mean and standard deviation of the PSNR by type of image.

    Parameters
    ----------
    rows : sequence of ScoreRow

    Returns
    -------
    str or None
        SVG in a data URI; None without any finite score.

    Notes
    -----
    Source: Ihara 2022, Fig. 4a (row Q2). Bars of FOVs that a filter was trained on are hatched.
    """
    # a slow scan taken after a series scores its last frames only: see the series' own figure
    rows = [r for r in rows if r.fov_group != AFTER] or rows
    columns = [
        ("PSNR to the slow scan [dB]", [(r, r.psnr_mean_db, r.psnr_std_db) for r in rows]),
        (
            "PSNR to the truth [dB]",
            [(r, r.truth_mean_db or np.nan, r.truth_std_db or np.nan) for r in rows],
        ),
    ]
    drawn = [(t, [b for b in bars if np.isfinite(b[1])]) for t, bars in columns]
    drawn = [(title, bars) for title, bars in drawn if bars]
    if not drawn:
        return None
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 3.3), layout="constrained")
        for axes, (title, bars) in zip(
            np.atleast_1d(figure.subplots(1, len(drawn))), drawn, strict=True
        ):
            _bars(axes, bars)
            axes.set_title(title)
        return svg_uri(figure)


def distortion_figure(fovs: Sequence[FovView]) -> str | None:
    """Draw how far the rapid scan lies off along the line.

    Parameters
    ----------
    fovs : sequence of FovView

    Returns
    -------
    str or None
        SVG in a data URI; None where no FOV has a calibration.

    Notes
    -----
    Source: Ihara 2022, Fig. 7 (row C6).
    """
    calibrated = [(f.name, f.calibration) for f in fovs if f.calibration is not None]
    if not calibrated:
        return None
    styles = looks([name for name, _ in calibrated])
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 3.0), layout="constrained")
        axes = figure.subplots()
        for name, calibration in calibrated:
            offset = calibration.departure_px
            x = np.arange(offset.size)
            look = styles[name]
            axes.plot(x, offset, color=look.colour, ls=look.dashes, lw=1.3, label=figure_text(name))
            std = calibration.source_x_std
            if std is not None and std.shape == offset.shape:
                axes.fill_between(x, offset - std, offset + std, color=look.colour, alpha=0.2, lw=0)
        axes.axhline(0, color="0.6", lw=0.6)
        axes.set_xlim(0, max(c.source_x.size for _, c in calibrated) - 1)
        axes.set_xlabel("column x of the corrected image [px]")
        axes.set_ylabel("rapid column − nominal one [px]")
        if len(calibrated) <= _MAX_LEGEND:
            legend_above(figure, axes)
        return svg_uri(figure)


def series_figure(fov: FovView) -> str | None:
    """Draw PSNR and temperature of an in-situ series against time.

    Parameters
    ----------
    fov : FovView

    Returns
    -------
    str or None
        SVG in a data URI; None where the series has no temperatures. Frames that lie outside what
        their filter was trained on are crossed.
    """
    if fov.temperature is None or fov.temperature.size < 2:
        return None
    time = fov.time if fov.time is not None else np.arange(fov.shape[0], dtype=np.float64)
    lines = _psnr_lines(fov)
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 4.0 if lines else 2.2), layout="constrained")
        ratios = [3, 2] if lines else [1]
        panels = np.atleast_1d(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
        styles = looks([name for name, _, _ in lines])
        for name, numbers, psnr in lines:
            known = numbers[numbers < time.size]
            _series_line(
                panels[0], time[known], psnr[numbers < time.size], styles[name], type_label(name)
            )
        outside, heights = _outside(fov, time.size)
        if outside.size:
            panels[0].plot(time[outside], heights, "x", color="black", ms=4, label="out of range")
        if lines:
            panels[0].set_ylabel("PSNR [dB]")
            legend_above(figure, panels[0])
        warm = Look(colour="#d55e00", dashes="-")
        _series_line(panels[-1], time, fov.temperature, warm, "temperature")
        panels[-1].set_ylabel("temp. [°C]")
        panels[-1].set_xlabel("time [s]" if fov.time is not None else "frame")
        return svg_uri(figure)


def _bars(axes: Axes, bars: Sequence[tuple[ScoreRow, float, float]]) -> None:
    types = list(dict.fromkeys(row.type for row, _, _ in bars))
    groups = list(dict.fromkeys(row.fov_group for row, _, _ in bars))
    styles = looks(types)
    width = 0.8 / len(groups)
    for row, mean, std in bars:
        at = types.index(row.type) + (groups.index(row.fov_group) - (len(groups) - 1) / 2) * width
        seen_in_training = row.fov_group == TRAINED
        scatter = std if np.isfinite(std) else 0.0
        axes.bar(
            at,
            mean,
            0.92 * width,
            color="white" if seen_in_training else styles[row.type].colour,
            edgecolor=styles[row.type].colour,
            hatch="////" if seen_in_training else None,
        )
        axes.errorbar(at, mean, scatter, color="black", capsize=3, lw=1)
        axes.annotate(
            f"{mean:.1f}",
            (at, mean + scatter),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8 if len(bars) <= 8 else 6.5,
        )
    labels = [figure_text(type_label(t), longest=14) for t in types]
    slanted = len(types) > 4 or max(map(len, labels)) > 9
    axes.set_xticks(
        range(len(types)),
        labels,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
    )
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, max(len(types), 4) - 0.4)  # two bars need not fill the width
    axes.margins(y=0.12)


def _series_line(axes: Axes, x: FloatArray, y: FloatArray, look: Look, label: str) -> None:
    step = -(-x.size // _MAX_POINTS)
    whole = x.size // step * step
    if step > 1:  # means of neighbours: leaving frames out would look like noise
        x = x[:whole].reshape(-1, step).mean(axis=1)
        y = y[:whole].reshape(-1, step).mean(axis=1)
    axes.plot(x, y, color=look.colour, ls=look.dashes, lw=1.2, label=figure_text(label))


def _psnr_lines(fov: FovView) -> list[tuple[str, npt.NDArray[np.int64], FloatArray]]:
    rapid = rapid_psnr_by_frame(fov)
    lines = []
    if rapid:
        numbers = np.array(sorted(rapid), dtype=np.int64)
        lines.append((RAPID, numbers, np.array([rapid[int(n)] for n in numbers])))
    for filtered in fov.filters:
        psnr = filtered.scores.get("psnr")
        if psnr is None or psnr.size < 2 or filtered.kind == "none":
            continue
        known = (filtered.status == DONE) & np.isfinite(psnr)
        if known.any():
            lines.append((filtered.name, filtered.frame_numbers[known], psnr[known]))
    return lines


def _outside(fov: FovView, n_times: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Numbers and PSNR of the frames that lie outside what a filter was trained on."""
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
