"""Plots that show images on common axes: linked pan and zoom, scale bar, line, hatching."""

from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import LinearColorMapper
from bokeh.models.annotations.geometry import BoxAnnotation
from bokeh.models.glyphs import Image, Line, Scatter, Segment, Text
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import PanTool, WheelZoomTool

from stemscale.viewer.greys import PALETTE
from stemscale.viewer.look import FONT, LINE, SOFT, extent, inner_width, plot, source
from stemscale.viewer.picture import Drawn
from stemscale.views.scale_bar import scale_bar

_HATCH, _LAID = "#e3e6eb", "#f8f9fb"
_MARK = "#e69f00"
_FLATTEST, _TALLEST = 2.5, 0.7  # width over height of a panel
_PLACE: Any = {"image": "image", "x": "x", "y": "y", "dw": "dw", "dh": "dh"}
_NOTHING = np.zeros((1, 1), dtype=np.uint8)


class Axes:
    """What all images of a tab share: where one looks, the scale bar and the line.

    The image's rows run downwards, so that y begins at its top.
    """

    def __init__(self) -> None:
        self.x, self.y = Range1d(start=0, end=1), Range1d(start=1, end=0)
        self.aspect = 1.0
        self.bar = source(x0=[], x1=[], y=[], label=[], middle=[])
        self.line = source(x=[], y=[])
        self.unit = "nm"
        self.home = (0.0, 1.0, 1.0, 0.0)
        self._seen: tuple[Any, ...] = ()

    def fit(self, width: float, height: float, unit: str) -> None:
        """Show a whole view, centred in panels that are neither flat nor tall.

        Parameters
        ----------
        width, height : float
            Of the view, in the units of the axes.
        unit : str
            ``nm``, or ``px``, for which there is no scale bar.
        """
        self.unit = unit
        self.aspect = min(_FLATTEST, max(_TALLEST, width / height))
        wide, tall = max(width, height * self.aspect), max(height, width / self.aspect)
        left, top = (width - wide) / 2, (height - tall) / 2
        self.home = (left, left + wide, top + tall, top)
        self.go_home()

    def go_home(self) -> None:
        """Show the whole view again."""
        self.x.update(start=self.home[0], end=self.home[1])
        self.y.update(start=self.home[2], end=self.home[3])

    @property
    def width(self) -> float:
        """What is seen along x, in the units of the axes."""
        left, right = extent(self.x)
        return abs(right - left) or 1.0

    def draw_bar(self) -> None:
        """Lay the scale bar into the lower left corner of what is seen."""
        (left, _), (bottom, top) = seen = extent(self.x), extent(self.y)
        if (self.unit, *seen) == self._seen:  # else all images would be painted again
            return
        self._seen = (self.unit, *seen)
        if self.unit != "nm":
            self.bar.data = {name: [] for name in self.bar.data}
            return
        found = scale_bar(self.width)
        x0, y = left + 0.04 * self.width, bottom - 0.06 * (bottom - top)
        x1 = x0 + found.percent / 100 * self.width
        self.bar.data = {
            "x0": [x0],
            "x1": [x1],
            "y": [y],
            "label": [found.label],
            "middle": [(x0 + x1) / 2],
        }


class FrameView:
    """One plot on the common axes.

    Parameters
    ----------
    axes : Axes
    name : str
        By which styles and scripts find it.
    images : int
        How many images lie over each other in it.
    pans : bool
        Whether dragging pans.
    """

    def __init__(self, axes: Axes, name: str, *, images: int = 1, pans: bool = True) -> None:
        self._axes = axes
        self.plot = plot(
            x_range=axes.x,
            y_range=axes.y,
            x_axis_type=None,
            y_axis_type=None,
            sizing_mode="scale_width",
            aspect_ratio=axes.aspect,
            min_border=0,
            css_classes=[name],
        )
        self.plot.outline_line_color = LINE
        self.plot.add_layout(
            BoxAnnotation(
                fill_color=_LAID,
                fill_alpha=1,
                hatch_pattern="/",
                hatch_color=_HATCH,
                hatch_scale=8,
                line_color=None,
                level="image",
            )
        )
        self.sources = [
            ColumnDataSource({"image": [_NOTHING], "x": [0], "y": [0], "dw": [1], "dh": [1]})
            for _ in range(images)
        ]
        mapper = LinearColorMapper(palette=PALETTE, low=0, high=255)
        for one in self.sources:
            self.plot.add_glyph(one, Image(**_PLACE, color_mapper=mapper))
        self._word = source(x=[], y=[], word=[])
        self._furnish()
        self.pan = PanTool() if pans else None
        wheel = WheelZoomTool(zoom_on_axis=False, maintain_focus=False)
        self.plot.add_tools(*([self.pan] if self.pan else []), wheel)
        self.plot.toolbar.active_scroll = wheel

    def _furnish(self) -> None:
        # not by p.line and the like, which make five glyphs of each: a page takes twice as long
        p = self.plot
        line, bar = self._axes.line, self._axes.bar
        ends: Any = {"x0": "x0", "y0": "y", "x1": "x1", "y1": "y"}
        self._line = [
            p.add_glyph(line, glyph)
            for glyph in (
                Line(x="x", y="y", line_color="#000000", line_alpha=0.7, line_width=4),
                Line(x="x", y="y", line_color=_MARK, line_width=2),
                Scatter(x="x", y="y", size=7, fill_color=_MARK, line_color="#000000"),
            )
        ]
        p.add_glyph(bar, Segment(**ends, line_color="#000000", line_alpha=0.8, line_width=7))
        p.add_glyph(bar, Segment(**ends, line_color="#ffffff", line_width=4))
        label: Any = {
            "x": "middle",
            "y": "y",
            "text": "label",
            "y_offset": -6,
            "text_align": "center",
            "text_baseline": "bottom",
            "text_color": "#ffffff",
            "background_fill_color": "#000000",
            "background_fill_alpha": 0.6,
            "padding": 3,
            "text_font": value(FONT),
            "text_font_size": "12px",
            "text_font_style": "bold",
        }
        word: Any = {
            "x": "x",
            "y": "y",
            "text": "word",
            "text_align": "center",
            "text_baseline": "middle",
            "text_color": SOFT,
            "text_font": value(FONT),
            "text_font_size": "14px",
            "background_fill_color": "#ffffff",
            "background_fill_alpha": 0.85,
        }
        p.add_glyph(bar, Text(**label))
        self._word_glyph = p.add_glyph(self._word, Text(**word))

    def show(self, drawn: Drawn) -> None:
        """Draw an image, or the word that stands in its place."""
        self.sources[0].data = {
            "image": [_NOTHING if drawn.pixels is None else drawn.pixels],
            "x": [0],
            "y": [0],
            "dw": [drawn.grid.width],
            "dh": [drawn.grid.height],
        }
        self.say("" if drawn.pixels is not None else drawn.word)

    def say(self, word: str) -> None:
        """Write a word into the middle of what is seen; none takes it away."""
        self._word_glyph.visible = bool(word)
        if word:
            x, y = (sum(extent(r)) / 2 for r in (self._axes.x, self._axes.y))
            self._word.data = {"x": [x], "y": [y], "word": [_wrapped(word)]}

    def show_line(self, shown: bool) -> None:
        """Show or hide the line of the profiles: what is hidden costs no time to paint."""
        for glyph in self._line:
            glyph.visible = shown

    @property
    def per_unit(self) -> float:
        """Pixels of the screen for a unit of the axes, as the browser says."""
        return inner_width(self.plot) / self._axes.width


def _wrapped(word: str, longest: int = 28) -> str:
    lines = [""]
    for part in word.split():
        if lines[-1] and len(lines[-1]) + len(part) >= longest:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part}".strip()
    return "\n".join(f" {line} " for line in lines)
