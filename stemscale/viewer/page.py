"""The page of one tab: images side by side, player, trace, panes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bokeh.events import DoubleTap, Pan, PanEnd, PanStart, Tap
from bokeh.layouts import column, row
from bokeh.models import CustomJS

from stemscale.viewer.beat import Beat
from stemscale.viewer.choice import PANELS, Choice
from stemscale.viewer.controls import NO_FILTER, PANEL_NAMES, Controls
from stemscale.viewer.frame_view import Axes, FrameView
from stemscale.viewer.greys import Window
from stemscale.viewer.look import WIDE, script
from stemscale.viewer.panes import (
    FFT,
    PROFILE,
    SWIPE,
    TOOLS,
    ProfilePane,
    SpectrumPane,
    SwipePane,
    offered,
)
from stemscale.viewer.picture import Drawn
from stemscale.viewer.series import Grid, Series
from stemscale.viewer.texts import Texts
from stemscale.viewer.trace import Trace
from stemscale.viewer.words import heading, short, title

_GAP = {"gap": "10px"}
_COLUMN = {"flex": "1 1 0", "min-width": "0"}
_TALLEST = "68vh"  # of a panel: else one that is alone would not fit on the screen
_TALLEST_SWIPE = "86vh"  # it stands lower, and is looked at alone
_SHARES = 4, 5, 7  # of the width, that panes take
LATE = "reading …"


class Page:
    """All parts of a tab, and how they hang together in the browser.

    Parameters
    ----------
    store, path : str
        Name of the store, and where it is.
    """

    def __init__(self, store: str, path: str) -> None:
        self.axes = Axes()
        self.controls = Controls()
        self.panels = {role: FrameView(self.axes, role) for role in PANELS}
        self.trace = Trace()
        self.swipe, self.profile, self.spectra = SwipePane(self.axes), ProfilePane(), SpectrumPane()
        self._panes: dict[str, Any] = {SWIPE: self.swipe, PROFILE: self.profile, FFT: self.spectra}
        self.roles = list(PANELS)
        """Panels on offer, in the order of their buttons."""
        self._swiped: dict[str, Drawn] = {}
        self.beat, self.texts = Beat(), Texts()
        self._titles = {role: self.texts.new(height=40, margin=(5, 5, 5, 5)) for role in PANELS}
        self._place = self.texts.new(width=230, height=40, sizing_mode="fixed")
        self._columns = {
            role: column(
                self.texts.div(self._titles[role]),
                v.plot,
                styles=_COLUMN,
                **WIDE,
            )
            for role, v in self.panels.items()
        }
        for pane, share in zip(self._panes.values(), _SHARES, strict=True):
            pane.layout.styles = _pane(share)
        self._hang_together()
        top, player = self.controls.rows(heading(store, path), self.texts.div(self._place))
        self._root = column(
            top,
            self.controls.notice,
            row(*self._columns.values(), styles={**_GAP, "margin-top": "10px"}, **WIDE),
            player,
            self.trace.plot,
            row(
                *(pane.layout for pane in self._panes.values()),
                styles={"gap": "12px 24px", "flex-wrap": "wrap"},
                **WIDE,
            ),
            styles={"max-width": "2200px", "margin": "0 auto", "padding": "10px 20px 24px"},
            **WIDE,
        )
        self.name = store

    def attach(self, doc: Any) -> None:
        """Put the page into a document."""
        doc.title = f"{short(self.name)} · stemscale"
        with doc.models.freeze():  # else all parts are gathered anew for each root
            for part in (self._root, self.beat.sent, self.beat.drawn, self.texts.source):
                doc.add_root(part)
        args = {"slider": self.controls.frame, "play": self.controls.play}
        doc.js_on_event("document_ready", CustomJS(args=args, code=script("ready")))

    def _hang_together(self) -> None:
        self.texts.hang_together()
        profile = TOOLS.index(PROFILE)
        tools = self.controls.tools
        views = [*self.panels.values(), self.swipe.view]
        pans = [v.pan for v in views if v.pan is not None]
        tools.js_on_change(
            "active",
            CustomJS(args={"tools": tools, "pans": pans, "profile": profile}, code=script("tools")),
        )
        for view in views:
            drag = CustomJS(
                args={
                    "tools": tools,
                    "profile": profile,
                    "line": self.axes.line,
                    "plot": view.plot,
                    "divider": self.swipe.divider if view is self.swipe.view else None,
                },
                code=script("drag"),
            )
            for event in (PanStart, Pan, PanEnd):
                view.plot.js_on_event(event, drag)
            view.plot.on_event(DoubleTap, lambda _: self.axes.go_home())

    def on_view(self, act: Callable[[], None]) -> None:
        """Call when somebody pans or zooms, or when a plot gets another size."""
        for axis in (self.axes.x, self.axes.y):
            for end in ("start", "end"):
                axis.on_change(end, lambda attr, old, new: act())
        for view in (*self.panels.values(), self.swipe.view):
            view.plot.on_change("inner_width", lambda attr, old, new: act())

    def on_trace_tap(self, act: Callable[[float], None]) -> None:
        """Call with the place on x where somebody clicks on the trace."""
        self.trace.plot.on_event(Tap, lambda event: act(float(event.x)))

    def offer(
        self,
        fovs: Sequence[str],
        choice: Choice,
        series: Series,
        images: Any,
    ) -> None:
        """Offer what there is, and show what is chosen of it."""
        c = self.controls
        c.fov.options = offered((name, short(name)) for name in fovs)
        c.fov.value = choice.fov
        c.offer(series)
        c.filter.value = NO_FILTER if choice.filter is None else choice.filter
        selects = (self.swipe.left, self.swipe.right, *self.spectra.selects)
        for select, key in zip(selects, (*choice.swipe, *choice.spectra), strict=True):
            select.options = images
            select.value = key
        self.roles = [role for role in PANELS if choice.key(role) in series.images]
        c.panels.labels = [PANEL_NAMES[role] for role in self.roles]
        c.panels.active = [i for i, role in enumerate(self.roles) if role in choice.panels]
        c.tools.active = [TOOLS.index(tool) for tool in choice.tools]

    def arrange(self, choice: Choice, series: Series) -> None:
        """Open the panels and panes that are chosen, of those that there are."""
        for role, part in self._columns.items():
            part.visible = role in choice.panels and choice.key(role) in series.images
            if part.visible:  # before its image, which may take a while
                words = title(series, choice.key(role), choice.frame)
                self.texts.set(self._titles[role], words)
        for tool, pane in self._panes.items():
            pane.layout.visible = tool in choice.tools
        for view in (*self.panels.values(), self.swipe.view):
            view.show_line(PROFILE in choice.tools)

    def fit(self, grid: Grid, unit: str) -> None:
        """Show a whole view."""
        self.axes.fit(grid.width, grid.height, unit)
        for view in (*self.panels.values(), self.swipe.view):
            view.plot.aspect_ratio = self.axes.aspect
        for part in self._columns.values():
            part.styles = {**_COLUMN, **self._no_wider(_TALLEST)}
        self.swipe.layout.styles = {**_pane(_SHARES[0]), **self._no_wider(_TALLEST_SWIPE)}
        self.swipe.divider.location = grid.width / 2

    def _no_wider(self, height: str) -> dict[str, str]:
        """Limit the width of an image so that it is no taller."""
        return {"max-width": f"calc({height} * {self.axes.aspect:.3f})"}

    def show_image(self, role: str, drawn: Drawn) -> None:
        """Draw an image in its panel, with its title."""
        self.panels[role].show(drawn)
        self.texts.set(self._titles[role], drawn.title)

    def say_late(self, places: Iterable[str]) -> None:
        """Say over images that the next ones are still being read."""
        for role in places:
            if role in self.panels:
                self.panels[role].say(LATE)

    def show_swipe(self, ready: dict[str, Drawn]) -> None:
        """Draw the images of the swipe that are new."""
        if ready:
            self._swiped |= ready
            both = [self._swiped.get(f"{SWIPE}{i}") for i in (0, 1)]
            if both[0] is not None and both[1] is not None:
                self.swipe.show([both[0], both[1]])

    def show_place(self, frame: int, words: str) -> None:
        """Say which frame is shown."""
        if self.controls.frame.value != frame:
            self.controls.frame.value = frame
        self.texts.set(self._place, words)
        self.texts.send()

    def show_window(self, window: Window) -> None:
        """Set the contrast's handles to what was found."""
        self.controls.offer_window(window)

    def say(self, text: str) -> None:
        """Say what is wrong, above the images; nothing takes it away."""
        if self.controls.notice.text != text:
            self.controls.notice.text = text
            self.controls.notice.visible = bool(text)


def _pane(share: int) -> dict[str, str]:
    return {"flex": f"{share} 1 {share * 4}rem", "min-width": "18rem"}
