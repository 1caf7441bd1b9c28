"""The stemscale page among those of the Dask dashboard, drawn by Bokeh in the scheduler."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models.annotations import Legend, LegendItem
from bokeh.models.css import InlineStyleSheet
from bokeh.models.formatters import NumeralTickFormatter
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import HoverTool
from bokeh.models.widgets import Div, Select
from bokeh.plotting import figure
from bokeh.server.tornado import BokehTornado
from distributed.dashboard.components.scheduler import env
from distributed.dashboard.core import BokehApplication
from distributed.dashboard.scheduler import template_variables
from tornado.ioloop import IOLoop

from stemscale.dashboard import words
from stemscale.dashboard.attach import ROUTE
from stemscale.dashboard.board import Board
from stemscale.dashboard.figures import RunFigures

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Scheduler

_CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_FONT = 'system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif'
_INK, _SOFT, _LINE = "#1d2330", "#5a6372", "#d8dce3"
_EVERY_MS = 1000
_NEWEST = "the newest"

# Okabe and Ito's palette, as in the reports
_STEPS = {
    "read": ("read", "#56b4e9"),
    "correct": ("correct", "#009e73"),
    "wait": ("wait for the filter", "#c9ced6"),
    "filter": ("filter", "#0072b2"),
    "convert": ("round", "#f0e442"),
    "score": ("score", "#cc79a7"),
    "write": ("write", "#d55e00"),
}


def add_page(scheduler: "Scheduler", board: Board) -> bool:
    """Add the page to a scheduler, and its name to the links on Dask's pages.

    Parameters
    ----------
    scheduler : distributed.Scheduler
    board : Board
        What is shown.

    Returns
    -------
    bool
        False where the scheduler shows no dashboard.
    """
    applications = scheduler.http_application.applications
    dask = next((a for a in applications if isinstance(a, BokehTornado)), None)
    if dask is None:
        return False
    variables = template_variables(scheduler)  # all of Dask's pages have this very list of links
    if ROUTE not in variables["pages"]:
        variables["pages"].insert(0, ROUTE)

    def document(scheduler: "Scheduler", extra: dict[str, Any], doc: "Document") -> None:
        Page(board, doc, extra)

    application = BokehApplication(
        {f"/{ROUTE}": document}, scheduler, prefix=dask.prefix, template_variables=variables
    )
    scheduler.http_application.add_application(application)
    application.initialize(IOLoop.current())
    application.start()
    return True


class Page:
    """One opened page.

    Parameters
    ----------
    board : Board
        What is shown, now and then anew.
    doc : bokeh.document.Document
        Where.
    extra : dict
        What Dask's template asks for.
    """

    def __init__(self, board: Board, doc: "Document", extra: dict[str, Any]) -> None:
        self.board = board
        self._seen: tuple[str, int, str] | None = None
        self._drawn = ("", "")
        self._head, self._tiles, self._pictures, self._table = (_div() for _ in range(4))
        self._steps, self._steps_source = _steps_plot()
        self._psnr, self._psnr_sources = _psnr_plot()
        self._select = Select(value=_NEWEST, title="", width=320, stylesheets=[_sheet()])
        self._select.on_change("value", lambda attr, old, new: self.update())
        self.update()
        wide: Any = {"sizing_mode": "stretch_width"}
        steps = column(_div("<h2>Seconds a block, by step</h2>"), self._steps, **wide)
        title = row(_div("<h2>PSNR against frame</h2>"), self._select, **wide)
        psnr = column(title, self._psnr, **wide)
        parts = (
            self._head,
            self._tiles,
            _side_by_side(steps, psnr),
            _side_by_side(self._pictures, self._table),
        )
        styles = {"max-width": "1500px", "margin": "0 auto", "padding": "0 1.5rem 2rem"}
        doc.add_root(column(*parts, styles=styles, **wide))
        doc.title = "stemscale"
        doc.template = env.get_template("simple.html")
        doc.template_variables.update(extra)
        doc.add_periodic_callback(self.update, _EVERY_MS)

    def update(self) -> None:
        """Show what is known now."""
        run, now = self.board.shown(), self.board.clock()
        if run is None:
            self._head.text = words.NOTHING_YET
            return
        self._tiles.text = words.tiles(run, now)
        seen = (run.run, run.events, self._select.value)
        if seen == self._seen:
            return
        self._seen = seen
        self._head.text = words.head(run)
        self._pictures.text = words.pictures(run.picture)
        self._table.text = words.table(run)
        self._draw_steps(run)
        self._draw_psnr(run)

    def _draw_steps(self, run: RunFigures) -> None:
        means, at = run.steps.means(), 0
        data: dict[str, list[float]] = {name: [] for name in ("x", "width", "blocks", *_STEPS)}
        for n, seconds in means:
            data["x"].append(at + n / 2)
            data["width"].append(0.9 * n if len(means) > 1 else 0.5 * n)
            data["blocks"].append(at + n)
            for step in _STEPS:
                data[step].append(seconds.get(step, 0.0))
            at += n
        self._steps_source.data = data

    def _draw_psnr(self, run: RunFigures) -> None:
        options = [_NEWEST, *run.series]
        if self._select.options != options:
            self._select.options = options
            if self._select.value not in options:
                self._select.value = _NEWEST
        name = self._select.value
        series = run.series.get(run.newest if name == _NEWEST else name)
        if series is None:
            return
        if (
            run.run,
            series.name,
        ) != self._drawn:  # else, where somebody has zoomed in is left alone
            self._drawn = (run.run, series.name)
            self._psnr.x_range.start, self._psnr.x_range.end = -0.5, max(series.frames, 2) - 0.5
        for key, curve in (("psnr", series.psnr), ("psnr_rapid", series.psnr_rapid)):
            frames, values = curve.points()
            self._psnr_sources[key].data = {"frame": frames, "psnr": values}


def _sheet() -> InlineStyleSheet:
    return InlineStyleSheet(css=_CSS)


def _div(text: str = "") -> Div:
    return Div(text=text, sizing_mode="stretch_width", stylesheets=[_sheet()])


def _side_by_side(*parts: Any) -> Any:
    """Set parts beside one another where there is room, else below."""
    for part in parts:
        part.styles = {"flex": "1 1 30rem", "min-width": "min(30rem, 100%)"}
    styles = {"flex-wrap": "wrap", "gap": "1.5rem 2rem", "margin-top": "1.5rem"}
    return row(*parts, sizing_mode="stretch_width", styles=styles)


def _plot(**options: Any) -> Any:
    plot = figure(
        height=300,
        sizing_mode="stretch_width",
        tools="pan,xwheel_zoom,box_zoom,reset,save",
        toolbar_location="right",
        background_fill_color="#ffffff",
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.grid.grid_line_color = _LINE
    plot.grid.grid_line_alpha = 0.7
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = _SOFT
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = _SOFT
        axis.major_label_text_font = axis.axis_label_text_font = _FONT
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    return plot


def _legend(plot: Any, items: list[tuple[str, list[Any]]]) -> None:
    legend = Legend(
        items=[LegendItem(label=label, renderers=glyphs) for label, glyphs in items],
        orientation="horizontal",
        border_line_color=None,
        background_fill_color=None,
        label_text_font=_FONT,
        label_text_font_size="12px",
        label_text_color=_INK,
        glyph_width=14,
        glyph_height=14,
        spacing=10,
        margin=4,
        label_standoff=4,
        ncols="auto",
    )
    plot.add_layout(legend, "above")


def _steps_plot() -> tuple[Any, ColumnDataSource]:
    source = ColumnDataSource({name: [] for name in ("x", "width", "blocks", *_STEPS)})
    plot = _plot(x_axis_label="blocks made in this run", y_axis_label="seconds")
    plot.y_range.start = 0
    plot.xgrid.grid_line_color = None
    colours = [colour for _, colour in _STEPS.values()]
    bars = plot.vbar_stack(
        list(_STEPS), x="x", width="width", color=colours, line_color=None, source=source
    )
    _legend(plot, [(name, [bar]) for (name, _), bar in zip(_STEPS.values(), bars, strict=True)])
    tips = [(name, f"@{step}{{0.000}} s") for step, (name, _) in _STEPS.items()]
    plot.add_tools(HoverTool(tooltips=[("up to block", "@blocks"), *tips], renderers=[bars[-1]]))
    return plot, source


def _psnr_plot() -> tuple[Any, dict[str, ColumnDataSource]]:
    plot = _plot(x_axis_label="frame", y_axis_label="dB", x_range=(-0.5, 1.5))
    sources, items = {}, []
    for key, label, colour in (
        ("psnr_rapid", "corrected rapid frame", "#8a8f98"),
        ("psnr", "filtered frame", "#0072b2"),
    ):
        sources[key] = ColumnDataSource({"frame": [], "psnr": []})
        line = plot.line("frame", "psnr", source=sources[key], color=colour, line_width=1.5)
        dots = plot.scatter("frame", "psnr", source=sources[key], color=colour, size=3)
        items.append((label, [line, dots]))
        tips = [("frame", "@frame{0,0}"), (label, "@psnr{0.00} dB")]
        plot.add_tools(HoverTool(tooltips=tips, renderers=[dots]))
    _legend(plot, items)
    return plot, sources
