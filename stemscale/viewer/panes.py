"""The panes below the images: two images swept over each other, line profiles, power spectra."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import BasicTicker, CustomJS, LinearColorMapper
from bokeh.models.annotations.geometry import Span
from bokeh.models.annotations.legends import LegendItem
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import PanTool, WheelZoomTool
from bokeh.models.widgets import Select

from stemscale.viewer.curves import FloatArray
from stemscale.viewer.frame_view import Axes, FrameView
from stemscale.viewer.greys import PALETTE
from stemscale.viewer.look import (
    SOFT,
    WARN,
    WIDE,
    colour,
    div,
    extent,
    inner_width,
    legend,
    plot,
    script,
    sheet,
    source,
)
from stemscale.viewer.picture import Drawn, DrawnSpectrum
from stemscale.viewer.series import CORRECTED, RECORDED, SLOW, filter_of
from stemscale.viewer.words import name_of

SWIPE, PROFILE, FFT = TOOLS = ("swipe", "profile", "fft")
WIDTHS = ("1", "3", "5", "9", "15", "31")


def offered(pairs: Iterable[tuple[str, str]]) -> Any:
    """Give a list's options as Bokeh's types want them: value, and what is read."""
    return list(pairs)


def chooser(title: str, width: int | None = None) -> Select:
    """Make a list to choose from, of a width, or as wide as there is room."""
    wide = WIDE if width is None else {"width": width}
    return Select(title=title, stylesheets=[sheet()], **wide)


class SwipePane:
    """Two images in one plot, on either side of a divider that is dragged."""

    def __init__(self, axes: Axes) -> None:
        self.left, self.right = chooser("left of the divider"), chooser("right of it")
        self.view = FrameView(axes, SWIPE, images=2, pans=False)
        for one in self.view.sources:
            one.syncable = False  # cut in the browser, and of no use to the server
        self.wholes = [ColumnDataSource(s.data) for s in self.view.sources]
        self.divider = Span(dimension="height", location=0, line_color=WARN, line_width=3)
        self.view.plot.add_layout(self.divider)
        cut = CustomJS(
            args={"wholes": self.wholes, "shown": self.view.sources, "divider": self.divider},
            code=script("cut"),
        )
        for whole in self.wholes:
            whole.js_on_change("data", cut)
        self.divider.js_on_change("location", cut)
        self.layout = column(
            _head("Swipe", "drag the divider"),
            row(self.left, self.right, styles={"gap": "4px"}, **WIDE),
            self.view.plot,
            **WIDE,
        )

    def show(self, drawn: list[Drawn]) -> None:
        """Draw both images; of one that is not there, the word."""
        for whole, one in zip(self.wholes, drawn, strict=True):
            pixels = np.zeros((1, 1), np.uint8) if one.pixels is None else one.pixels
            whole.data = {
                "image": [pixels],
                "x": [0],
                "y": [0],
                "dw": [one.grid.width],
                "dh": [one.grid.height],
            }
        self.view.say(next((f"{name_of(d.key)}: {d.word}" for d in drawn if d.word), ""))


class ProfilePane:
    """Intensities of all shown images along one line."""

    def __init__(self) -> None:
        self.width = Select(
            title="averaged across, px",
            value="5",
            options=offered([(w, w) for w in WIDTHS]),
            width=170,
            stylesheets=[sheet()],
        )
        p = self.plot = plot(
            height=330,
            css_classes=[PROFILE],
            x_range=Range1d(start=0, end=1),
            y_range=Range1d(start=0, end=1),
        )
        p.yaxis.axis_label = "intensity [counts]"
        p.xaxis.axis_label = "along the line [nm]"
        p.yaxis.formatter.use_scientific = False
        self._sources: dict[str, ColumnDataSource] = {}
        self._legend = legend(ncols=2)
        p.add_layout(self._legend, "above")
        self._glyphs: dict[str, Any] = {}
        self._shown: tuple[str, ...] = ()
        for key in (RECORDED, CORRECTED, SLOW):  # drawn in this order, below the filters'
            self._source(key)
        self.layout = column(
            _head("Line profile", "drag a line in any image"), self.width, p, **WIDE
        )

    def show(self, found: Mapping[str, tuple[FloatArray, FloatArray]], unit: str) -> None:
        """Draw profiles by key of their image."""
        self.plot.xaxis.axis_label = f"along the line [{unit}]"
        for key, (distance, intensity) in found.items():
            self._source(key).data = {"x": distance, "y": intensity}
        for key in set(self._sources) - set(found):
            self._sources[key].data = {"x": [], "y": []}
        self._fit(found)
        if tuple(found) != self._shown:
            self._shown = tuple(found)
            self._legend.items = [
                LegendItem(label=name_of(key), renderers=[self._glyphs[key]]) for key in found
            ]

    def _fit(self, found: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
        """Keep the axis of intensities still while a series plays, unless the curves leave it."""
        values = np.concatenate([[], *(v[np.isfinite(v)] for _, v in found.values())])
        if not values.size:
            return
        self.plot.x_range.update(start=0, end=max(float(d[-1]) for d, _ in found.values()) or 1.0)
        low, high = float(values.min()), float(values.max())
        start, end = extent(self.plot.y_range)
        if not (start <= low and high <= end and high - low > 0.5 * (end - start)):
            margin = 0.1 * (high - low) or 1.0
            self.plot.y_range.update(start=low - margin, end=high + margin)

    def _source(self, key: str) -> ColumnDataSource:
        if key not in self._sources:
            one = self._sources[key] = source(x=[], y=[])
            clean = key == SLOW or filter_of(key) is not None
            self._glyphs[key] = self.plot.line(
                "x", "y", source=one, color=colour(key), line_width=2 if clean else 1.2
            )
        return self._sources[key]


class SpectrumPane:
    """ln |F|² of two images, with wave numbers on the axes."""

    def __init__(self) -> None:
        self._x, self._y = Range1d(start=-1, end=1), Range1d(start=1, end=-1)
        self.selects = [chooser("left"), chooser("right")]
        self.plots: list[Any] = []
        self._sources: list[ColumnDataSource] = []
        self._words: list[ColumnDataSource] = []
        self._bounds: tuple[float, ...] = ()
        for side in ("left", "right"):
            p = plot(
                x_range=self._x,
                y_range=self._y,
                sizing_mode="scale_width",
                aspect_ratio=1,
                css_classes=[FFT, side],
                min_border_left=56,
                min_border_right=8,
                min_border_top=8,
                min_border_bottom=56,
            )
            p.grid.visible = False
            one = ColumnDataSource(
                {"image": [np.zeros((1, 1), np.uint8)], "x": [-1], "y": [-1], "dw": [2], "dh": [2]}
            )
            p.image(
                image="image",
                x="x",
                y="y",
                dw="dw",
                dh="dh",
                source=one,
                color_mapper=LinearColorMapper(palette=PALETTE, low=0, high=255),
            )
            word = source(x=[], y=[], word=[])
            p.text("x", "y", "word", source=word, text_align="center", text_color=SOFT)
            wheel = WheelZoomTool()
            p.add_tools(PanTool(), wheel)
            p.toolbar.active_scroll = wheel
            p.axis.ticker = BasicTicker(desired_num_ticks=5)
            self.plots.append(p)
            self._sources.append(one)
            self._words.append(word)
        sides = [column(s, p, **WIDE) for s, p in zip(self.selects, self.plots, strict=True)]
        self.layout = column(
            _head("FFT", "ln |F|² after a Hann window, one grey scale"),
            row(*sides, styles={"gap": "8px"}, **WIDE),
            **WIDE,
        )

    @property
    def across_px(self) -> float:
        """Width of one spectrum on the page, as the browser says."""
        return inner_width(self.plots[0])

    def show(self, drawn: list[DrawnSpectrum], unit: str) -> None:
        """Draw both spectra; of one that is not there, the word."""
        for p in self.plots:
            if p.xaxis.axis_label != unit:
                p.xaxis.axis_label = unit
            p.yaxis.axis_label = p.xaxis.axis_label
        first = next((d for d in drawn if d.pixels is not None), None)
        if first is not None and first.bounds != self._bounds:
            self._bounds = first.bounds
            left, top, width, height = first.bounds
            self._x.update(start=left, end=left + width)
            self._y.update(start=top + height, end=top)
        for one, into, word in zip(drawn, self._sources, self._words, strict=True):
            left, top, width, height = one.bounds
            pixels = np.zeros((1, 1), np.uint8) if one.pixels is None else one.pixels
            into.data = {
                "image": [pixels],
                "x": [left],
                "y": [top],
                "dw": [width],
                "dh": [height],
            }
            word.data = {"x": [0], "y": [0], "word": [one.word]}


def _head(name: str, hint: str) -> Any:
    return div(f"<h2>{name} <span class='soft'>{hint}</span></h2>")
