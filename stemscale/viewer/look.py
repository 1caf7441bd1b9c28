"""Colours, type and bare parts of the page, as on the reports' pages and the dashboard."""

from pathlib import Path
from typing import Any

from bokeh.core.property.descriptors import UnsetValueError
from bokeh.models.annotations.legends import Legend
from bokeh.models.css import InlineStyleSheet
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.widgets import Div
from bokeh.plotting import figure

from stemscale.viewer.series import CORRECTED, RECORDED, SLOW

FONT = 'system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif'
INK, SOFT, LINE, ACCENT, WARN = "#1d2330", "#5a6372", "#d8dce3", "#0072b2", "#e69f00"
WARM = "#d55e00"
WIDE: Any = {"sizing_mode": "stretch_width"}
_FIXED = {RECORDED: "#c0c5cd", CORRECTED: "#8a8f98", SLOW: "#000000"}
_HERE = Path(__file__).parent
_CSS = (_HERE / "page.css").read_text(encoding="utf-8")

_GUESS_PX = 300.0


def colour(key: str) -> str:
    """Colour of an image's curves: Okabe and Ito's palette, as in the reports."""
    return _FIXED.get(key, ACCENT)


def sheet() -> InlineStyleSheet:
    """Style of one part: each part of a Bokeh page has a style of its own."""
    return InlineStyleSheet(css=_CSS)


def script(name: str) -> str:
    """Read a script of the page."""
    return (_HERE / "scripts" / f"{name}.js").read_text(encoding="utf-8")


def div(text: str = "", **options: Any) -> Div:
    """Make a piece of HTML; dollar signs in it stay what they are."""
    return Div(text=text, disable_math=True, stylesheets=[sheet()], **{**WIDE, **options})


def source(**columns: Any) -> ColumnDataSource:
    """Make the data of a glyph."""
    return ColumnDataSource({name: list(values) for name, values in columns.items()})


def plot(**options: Any) -> Any:
    """Make a plot with quiet axes and without tools."""
    found = figure(
        **{
            "tools": "",
            "toolbar_location": None,
            "background_fill_color": "#ffffff",
            "border_fill_color": None,
            "outline_line_color": None,
            **WIDE,
            **options,
        }
    )
    found.grid.grid_line_color = LINE
    found.grid.grid_line_alpha = 0.7
    for axis in found.axis:
        quiet(axis)
    return found


def legend(**options: Any) -> Legend:
    """Make a quiet legend in a row, without entries."""
    return Legend(
        **{
            "items": [],
            "orientation": "horizontal",
            "border_line_color": None,
            "background_fill_color": None,
            "label_text_font": FONT,
            "label_text_font_size": "12px",
            "label_text_color": INK,
            "glyph_width": 16,
            "glyph_height": 14,
            "spacing": 14,
            "margin": 0,
            "padding": 2,
            **options,
        }
    )


def unit_range() -> Range1d:
    """Make a range that is set later."""
    return Range1d(start=0, end=1)


def extent(shown: Range1d) -> tuple[float, float]:
    """Give the ends of a range; Bokeh's may be dates."""
    start: Any = shown.start
    end: Any = shown.end
    return float(start), float(end)


def quiet(axis: Any) -> None:
    """Give an axis the type and colour of the page."""
    axis.axis_line_color = axis.major_tick_line_color = SOFT
    axis.minor_tick_line_color = None
    axis.major_label_text_color = axis.axis_label_text_color = SOFT
    axis.major_label_text_font = axis.axis_label_text_font = FONT
    axis.axis_label_text_font_style = "normal"
    axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
    axis.axis_label_standoff = 4


def inner_width(shown: Any) -> float:
    """Width of what a plot's axes enclose, as the browser says; at first, a guess [px].

    Of a plot that is not laid out yet, or hidden, the browser says 0: a picture made for that
    would be a single pixel.
    """
    try:
        found = float(shown.inner_width)
    except UnsetValueError:
        return _GUESS_PX
    return found if found >= 1 else _GUESS_PX
