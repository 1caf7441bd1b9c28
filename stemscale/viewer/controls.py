"""What a tab is steered with: lists, buttons, sliders."""

from collections.abc import Sequence
from typing import Any

from bokeh.layouts import column, row
from bokeh.models.widgets import (
    Button,
    CheckboxButtonGroup,
    Div,
    RangeSlider,
    Select,
    Slider,
    Toggle,
)

from stemscale.viewer.choice import PANELS
from stemscale.viewer.greys import Window
from stemscale.viewer.look import WIDE, div, sheet
from stemscale.viewer.panes import TOOLS, chooser, offered
from stemscale.viewer.series import FILTERED, Series
from stemscale.viewer.words import name_of, short

PANEL_NAMES = {"recorded": "As recorded", "corrected": "Corrected", FILTERED: "Filtered"}
PANEL_NAMES["slow"] = "Slow scan"
TOOL_NAMES = {"swipe": "Swipe", "profile": "Line profile", "fft": "FFT"}
_HINT = (
    "<p class='label'>Arrow keys step, space plays. Drag to pan, turn the wheel to zoom, "
    "double-click for the whole view.</p>"
)
NO_FILTER = "(none)"
RATES = ("1", "2", "5", "10", "15", "25", "50")


class Controls:
    """All widgets of a tab."""

    def __init__(self) -> None:
        self.fov = chooser("field of view", 150)
        self.filter = chooser("filter", 170)
        self.panels = _group([PANEL_NAMES[p] for p in PANELS])
        self.tools = _group([TOOL_NAMES[t] for t in TOOLS])
        self.contrast = RangeSlider(
            start=0,
            end=1,
            value=(0, 1),
            step=1,
            title="black and white [counts]",
            css_classes=["contrast"],
            width=250,
            format="0",
            stylesheets=[sheet()],
        )
        self.auto = _button("Auto", 62, "black and white from this frame")
        self.home = _button("Whole view", 96, "undo pan and zoom")
        self.first = _button("|◀", 42, "first frame")
        self.back = _button("◀", 42, "one frame back")
        self.play = Toggle(label="▶ Play", width=84, stylesheets=[sheet()], css_classes=["play"])
        self.forth = _button("▶", 42, "one frame on")
        self.last = _button("▶|", 42, "newest frame")
        self.frame = Slider(
            start=0,
            end=1,
            value=0,
            step=1,
            show_value=False,
            tooltips=False,
            name="frame",
            css_classes=["frame"],
            title="",
            stylesheets=[sheet()],
            **WIDE,
        )
        self.rate = Select(
            title="", value="10", options=offered((r, f"{r} frames/s") for r in RATES), width=128,
            stylesheets=[sheet()],
        )  # fmt: skip
        self.follow = Toggle(label="Follow newest", width=116, stylesheets=[sheet()])
        self.notice = div(visible=False)

    def rows(self, heading: str, place: Div) -> list[object]:
        """Lay the widgets out: what is shown, and the player."""
        gap = {"gap": "8px 14px", "flex-wrap": "wrap", "align-items": "flex-end"}
        titled = [_titled("images", self.panels), _titled("panes below", self.tools)]
        contrast = row(self.contrast, self.auto, self.home, styles={**gap, "gap": "8px"})
        head = div(heading, width=190, height=40, sizing_mode="fixed")
        hint = div(_HINT, min_width=300, styles={"flex": "1 1 300px"})
        top = row(head, self.fov, self.filter, *titled, contrast, hint, styles=gap, **WIDE)
        buttons = row(
            self.first, self.back, self.play, self.forth, self.last, styles={"gap": "4px"}
        )
        player = row(
            buttons,
            self.frame,
            self.rate,
            self.follow,
            place,
            styles={"gap": "12px", "align-items": "center"},
            **WIDE,
        )
        return [top, player]

    def offer(self, series: Series) -> None:
        """Offer the filters and the frames that a series has by now."""
        names = list(series.filters)
        options = offered([(n, short(n)) for n in names] or [(NO_FILTER, "none yet")])
        if self.filter.options != options:
            self.filter.options = options
        self.filter.disabled = not names
        end = max(1, series.n_frames - 1)
        if self.frame.end != end:
            self.frame.end = end
        self.frame.disabled = self.play.disabled = series.n_frames < 2

    def offer_window(self, window: Window) -> None:
        """Set the contrast's ends around a window, and its handles to it."""
        span = max(window.white - window.black, 1e-6)
        low, high = window.black - 0.75 * span, window.white + 0.75 * span
        step = _round_step(span)
        self.contrast.update(
            start=_down(low, step),
            end=_down(high, step) + step,
            step=step,
            format="0" if step >= 1 else "0.0[00000]",
            value=(_down(window.black, step), _down(window.white, step) + step),
        )


def image_options(keys: Sequence[str]) -> Any:
    """Offer images by name."""
    return offered((k, name_of(k)) for k in keys)


def _round_step(span: float) -> float:
    step = 10.0 ** int(f"{span / 400:e}".partition("e")[2])
    return max(step, 1.0) if span > 40 else step


def _down(value: float, step: float) -> float:
    return round(value // step * step, 9)


def _titled(text: str, part: CheckboxButtonGroup) -> object:
    label = div(
        f"<p class='label'>{text}</p>",
        sizing_mode="fixed",
        width=120,
        height=17,
        margin=(5, 5, 0, 5),
    )
    part.margin = (0, 5, 5, 5)
    return column(label, part)


def _group(labels: list[str]) -> CheckboxButtonGroup:
    return CheckboxButtonGroup(labels=labels, stylesheets=[sheet()])


def _button(label: str, width: int, hint: str) -> Button:
    return Button(label=label, width=width, stylesheets=[sheet()], html_attributes={"title": hint})
