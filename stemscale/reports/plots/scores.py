"""Bars of the scores by type of image, with their scatter."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.reports.plot import Column, Plot
from stemscale.reports.plots.panels import WIDE_IN
from stemscale.reports.scores import AFTER, TRAINED, ScoreRow, type_label
from stemscale.reports.style import figure_text, looks

Bar = tuple[ScoreRow, float, float]  # row, mean, std

_PANEL_IN = 2.875
_HEIGHT_IN = 2.9
_NAMES = {
    "psnr": "PSNR to the slow scan",
    "psnr_matched": "PSNR to the slow scan, matched",
    "psnr_truth": "PSNR to the truth",
    "upsnr": "uPSNR, without a slow scan",
    "streak": "streak of the smear",
    "streak_rapid": "streak, to the rapid frames",
    "streak_truth": "streak, to the truth",
    "psnr_band": "PSNR to the slow scan",
}


def scores_plot(rows: Sequence[ScoreRow]) -> Plot | None:
    """Draw mean and standard deviation of the PSNR by type of image.

    Parameters
    ----------
    rows : sequence of ScoreRow

    Returns
    -------
    Plot or None
        Every score in decibels has a panel; None without any finite one.

    Notes
    -----
    Source: Ihara 2022, Fig. 4a (row Q2). Bars of FOVs that a filter was trained on are hatched.
    """
    rows = _that_count(rows)
    panels = {
        "psnr": (f"{_NAMES['psnr']} [dB]", [(r, r.psnr_mean_db, r.psnr_std_db) for r in rows]),
        "psnr_truth": (
            f"{_NAMES['psnr_truth']} [dB]",
            [(r, _or_nan(r.truth_mean_db), _or_nan(r.truth_std_db)) for r in rows],
        ),
    }
    for score, _ in _decibels(rows, banded=False):
        panels.setdefault(score, (_title(score), _bars_of(rows, score, "")))
    return _plot(
        panels,
        name="psnr",
        title="Scores in dB by type of image",
        caption="Mean and standard deviation over frames"
        f"{'; hatched: FOVs that a filter was trained on' if _has_trained(rows) else ''}.",
        paper="Fig. 4a",
    )


def bands_plot(rows: Sequence[ScoreRow]) -> Plot | None:
    """Draw the PSNR of pixels whose intensity in the slow scan lies in a band.

    Parameters
    ----------
    rows : sequence of ScoreRow

    Returns
    -------
    Plot or None
        None where the store's summary has none.

    Notes
    -----
    Source: Ihara 2022, Results (row Q3).
    """
    rows = _that_count(rows)
    panels = {
        f"{score} {band}": (f"{band} [dB]", _bars_of(rows, score, band))
        for score, band in _decibels(rows, banded=True)
    }
    return _plot(
        panels,
        name="psnr_bands",
        title="PSNR by band of intensity",
        caption="To the slow scan, over the pixels where its intensity, scaled to 0 … 65 535, lies "
        "in the band; mean and standard deviation over frames.",
        paper="the text to Fig. 4",
    )


def _that_count(rows: Sequence[ScoreRow]) -> Sequence[ScoreRow]:
    # a slow scan taken after a series scores its last frames only: see the series' own figure
    return [r for r in rows if r.fov_group != AFTER] or rows


def _has_trained(rows: Sequence[ScoreRow]) -> bool:
    return any(r.fov_group == TRAINED for r in rows)


def _decibels(rows: Sequence[ScoreRow], *, banded: bool) -> list[tuple[str, str]]:
    """Keys of all scores in decibels, with or without bands, in the summary's order."""
    keys = [s.key for r in rows for s in r.statistics if s.units == "dB" and bool(s.band) == banded]
    return list(dict.fromkeys(keys))


def _title(score: str) -> str:
    return f"{_NAMES.get(score, score.replace('_', ' '))} [dB]"


def _bars_of(rows: Sequence[ScoreRow], score: str, band: str) -> list[Bar]:
    return [(r, s.mean, s.std) for r in rows for s in r.statistics if s.key == (score, band)]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _plot(
    panels: dict[str, tuple[str, list[Bar]]], *, name: str, title: str, caption: str, paper: str
) -> Plot | None:
    known = {k: (t, [b for b in bars if np.isfinite(b[1])]) for k, (t, bars) in panels.items()}
    known = {k: (t, bars) for k, (t, bars) in known.items() if bars}
    if not known:
        return None
    panel_in = _panel_width(known)
    columns = min(len(known), int(WIDE_IN / panel_in))
    size = (columns * panel_in, _HEIGHT_IN * math.ceil(len(known) / columns))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(math.ceil(len(known) / columns), columns, squeeze=False).ravel()
    for panel, (heading, bars) in zip(axes, known.values(), strict=False):
        _draw(panel, bars)
        panel.set_title(figure_text(heading, longest=44))
    for unused in axes[len(known) :]:
        unused.set_axis_off()
    return Plot(
        name=name,
        title=title,
        caption=caption,
        paper=paper,
        figure=figure,
        numbers=_numbers(known),
    )


def _panel_width(panels: dict[str, tuple[str, list[Bar]]]) -> float:
    """Give each bar the width that its number needs [inch]."""
    most = max(len(bars) for _, bars in panels.values())
    return min(WIDE_IN, max(_PANEL_IN, 0.7 + 0.4 * most))


def _draw(axes: Axes, bars: Sequence[Bar]) -> None:
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
        above = mean >= 0
        axes.annotate(
            f"{round(mean, 1) + 0.0:.1f}",
            (at, mean + (scatter if above else -scatter)),
            xytext=(0, 3 if above else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8 if len(bars) <= 8 else 6.5,
        )
    labels = [figure_text(type_label(t), longest=14) for t in types]
    slanted = len(types) > 4 or max(map(len, labels)) > 9
    axes.set_xticks(
        range(len(types)),
        labels,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
    )
    axes.tick_params(axis="x", length=0)
    axes.axhline(0, color="#1d2330", lw=0.8)
    axes.set_xlim(-0.6, max(len(types), 4) - 0.4)  # two bars need not fill the width
    axes.margins(y=0.12)


def _numbers(panels: dict[str, tuple[str, list[Bar]]]) -> dict[str, Column]:
    lines = [(score, *bar) for score, (_, bars) in panels.items() for bar in bars]
    return {
        "score": [score for score, _, _, _ in lines],
        "image": [row.type for _, row, _, _ in lines],
        "fov_group": [row.fov_group for _, row, _, _ in lines],
        "n_fovs": [row.n_fovs for _, row, _, _ in lines],
        "n_frames": [row.n_frames for _, row, _, _ in lines],
        "mean_dB": [mean for _, _, mean, _ in lines],
        "std_dB": [std for _, _, _, std in lines],
    }
