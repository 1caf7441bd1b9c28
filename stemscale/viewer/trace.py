"""The course of a series below its images, with a cursor at the frame that is shown."""

from typing import Any

import numpy as np
from bokeh.models import CrosshairTool, LinearAxis
from bokeh.models.annotations.geometry import Span
from bokeh.models.annotations.legends import LegendItem
from bokeh.models.formatters import NumeralTickFormatter
from bokeh.models.glyphs import Line, Scatter
from bokeh.models.ranges import Range1d

from stemscale.viewer.curves import Curves
from stemscale.viewer.look import (
    ACCENT,
    INK,
    LINE,
    SOFT,
    WARM,
    WARN,
    legend,
    plot,
    quiet,
    source,
    unit_range,
)

_CURVES = (
    ("rapid", "PSNR of the rapid frame", "#8a8f98", "default"),
    ("filtered", "PSNR of the filtered frame", ACCENT, "default"),
    ("temperature", "temperature", WARM, "warm"),
)
_MARKS = (
    ("outside", "out of the filter's range", "triangle", WARN),
    ("lost", "failed or damaged", "x", "#a3003c"),
)
_FEW = 100


class Trace:
    """PSNR and temperature against time, or against the frame's number."""

    def __init__(self) -> None:
        self.curves: Curves | None = None
        p = self.plot = plot(
            height=170,
            css_classes=["trace"],
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=0, end=1),
        )
        p.extra_y_ranges = {"warm": unit_range(), "flags": unit_range()}
        p.yaxis.axis_label = "PSNR [dB]"
        p.yaxis.formatter = NumeralTickFormatter(format="0.[0]")
        p.ygrid.grid_line_color = None
        self._warm = LinearAxis(y_range_name="warm", axis_label="temperature [°C]")
        quiet(self._warm)
        p.add_layout(self._warm, "right")
        self._sources = {n: source(x=[], y=[]) for n in ("rapid", "filtered", "temperature")}
        self._marks = {n: source(x=[], y=[]) for n, *_ in _MARKS}
        self._missing = source(left=[], right=[])
        self._dots: list[Any] = []
        self._draw(p)
        self._cursor = Span(dimension="height", location=0, line_color=INK, line_width=1.5)
        p.add_layout(self._cursor)
        p.add_tools(
            CrosshairTool(dimensions="height", line_color=SOFT, line_alpha=0.5, line_width=1)
        )

    def _draw(self, p: Any) -> None:
        gaps = p.quad(
            left="left",
            right="right",
            bottom=0,
            top=1,
            y_range_name="flags",
            source=self._missing,
            fill_color="#f8f9fb",
            line_color=None,
            hatch_pattern="/",
            hatch_color=LINE,
            hatch_scale=8,
        )
        self._items = {"missing": LegendItem(label="not filtered yet", renderers=[gaps])}
        for name, label, colour, axis in _CURVES:
            one = self._sources[name]
            glyph = p.add_glyph(
                one, Line(x="x", y="y", line_color=colour, line_width=1.6), y_range_name=axis
            )
            few = Scatter(x="x", y="y", fill_color=colour, line_color=None, size=3)
            dots = p.add_glyph(one, few, y_range_name=axis)
            self._dots.append(dots)
            self._items[name] = LegendItem(label=label, renderers=[glyph])
        for name, label, marker, colour in _MARKS:
            glyph = p.scatter(
                "x",
                "y",
                source=self._marks[name],
                marker=marker,
                color=colour,
                size=7,
                y_range_name="flags",
            )
            self._items[name] = LegendItem(label=label, renderers=[glyph])
        self._legend = legend()
        p.add_layout(self._legend, "above")

    def show(self, curves: Curves) -> None:
        """Draw the curves of a series, or those of one that has grown."""
        self.curves = curves
        p = self.plot
        p.xaxis.axis_label = "time [s]" if curves.in_time else "frame"
        first, last = (float(curves.x[i]) for i in (0, -1)) if curves.x.size else (0.0, 1.0)
        margin = (last - first) / 100 or 0.5
        p.x_range.update(start=first - margin, end=last + margin)
        there = {}
        for name in self._sources:
            values = getattr(curves, name)
            good = np.isfinite(values)
            there[name] = bool(good.any())
            # NaN stays within: a line must not run over frames without a value
            shown = {"x": curves.x, "y": values} if there[name] else {"x": [], "y": []}
            self._sources[name].data = shown
        for dots in self._dots:  # of many frames they would cover the line, and take time to paint
            dots.visible = curves.x.size <= _FEW
        _fit(p.y_range, curves.rapid, curves.filtered)
        _fit(p.extra_y_ranges["warm"], curves.temperature)
        self._warm.visible = there["temperature"]
        p.yaxis[0].visible = there["rapid"] or there["filtered"]
        for name in self._marks:
            where = getattr(curves, name)
            there[name] = where.size > 0
            self._marks[name].data = {"x": where, "y": np.full(where.size, 0.05)}
        there["missing"] = bool(curves.missing)
        self._missing.data = {
            "left": [a for a, _ in curves.missing],
            "right": [b for _, b in curves.missing],
        }
        self._legend.items = [item for name, item in self._items.items() if there[name]]
        p.visible = any(there.values())  # else it would be a cursor over nothing

    def point_at(self, frame: int) -> None:
        """Move the cursor to a frame."""
        if self.curves is not None and frame < self.curves.x.size:
            self._cursor.location = float(self.curves.x[frame])


def _fit(axis: Range1d, *curves: Any) -> None:
    values = np.concatenate([c[np.isfinite(c)] for c in curves])
    if values.size:
        low, high = float(values.min()), float(values.max())
        margin = 0.12 * (high - low) or 1.0
        axis.update(start=low - margin, end=high + margin)
