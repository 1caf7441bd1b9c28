"""One tab: what it shows, and how controls change that."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bokeh.events import DocumentReady

from stemscale.errors import StemscaleError
from stemscale.store import ObjectPath
from stemscale.viewer.choice import (
    PANELS,
    first_choice,
    middle_line,
    with_filter,
)
from stemscale.viewer.controls import NO_FILTER, image_options
from stemscale.viewer.curves import read_curves
from stemscale.viewer.drawing import Drawing
from stemscale.viewer.greys import Window
from stemscale.viewer.library import Library, Opened
from stemscale.viewer.page import Page
from stemscale.viewer.painter import Painter, spawn
from stemscale.viewer.panes import PROFILE, TOOLS
from stemscale.viewer.profiles import Line
from stemscale.viewer.reading import NotShownError
from stemscale.viewer.series import CORRECTED, RECORDED
from stemscale.viewer.tab_loop import TabLoop
from stemscale.viewer.words import notice

_LOOK_EVERY_S, _LOOK_AWAY_EVERY_S = 1.0, 5.0


class Session:
    """One opened tab.

    Parameters
    ----------
    library : Library
        The store, which all tabs share.
    doc : bokeh.document.Document
        The tab's page.
    executor : Executor
        Threads that read and compute.
    """

    def __init__(self, library: Library, doc: Any, executor: Executor) -> None:
        self._library, self._executor = library, executor
        self._loop = TabLoop(doc, executor)
        self._fovs = library.fovs()
        self._opened = library.opened(self._fovs[0])
        self._choice = first_choice(self._opened.series)
        self._painter = Painter(self._paint)
        self._quiet = False  # while the server itself moves a control
        self._tasks: list[asyncio.Task[None]] = []
        self.page = Page(library.name, str(library.store.path))
        self._drawing = Drawing(
            self.page, self._loop, quietly=self._quietly, wanted=lambda: self._painter.wanted
        )
        self._furnish()
        self._wire()
        self.page.attach(doc)
        doc.on_session_destroyed(lambda _: self.close())
        # not before: what is sent while the page is loading would be sent twice, and not answered
        doc.on_event(DocumentReady, lambda _: self._begin())
        self._prefetch(self._choice.frame)

    def close(self) -> None:
        """End all that goes on for this tab."""
        self._painter.close()
        for task in self._tasks:
            task.cancel()

    # ------------------------------------------------------------ controls

    def _wire(self) -> None:
        c, panes = self.page.controls, self.page
        on: dict[Any, Any] = {
            c.fov: self._choose_fov,
            c.filter: self._choose_filter,
            c.frame: self._choose_frame,
            c.contrast: self._choose_window,
            panes.profile.width: self._choose_width,
        }
        for widget, act in on.items():
            widget.on_change("value", partial(self._by_user, act))
        for i, select in enumerate((panes.swipe.left, panes.swipe.right)):
            select.on_change("value", partial(self._by_user, partial(self._pair, "swipe", i)))
        for i, select in enumerate(panes.spectra.selects):
            select.on_change("value", partial(self._by_user, partial(self._pair, "spectra", i)))
        for group, act in (
            (c.panels, self._choose_panels),
            (c.tools, self._choose_tools),
            (c.play, self._choose_play),
            (c.follow, self._choose_follow),
        ):
            group.on_change("active", partial(self._by_user, act))
        c.auto.on_click(self._auto)
        c.home.on_click(self.page.axes.go_home)
        for button, frame in (
            (c.first, lambda: 0),
            (c.back, lambda: self._choice.frame - 1),
            (c.forth, lambda: self._choice.frame + 1),
            (c.last, lambda: self._opened.series.n_frames - 1),
        ):
            button.on_click(partial(self._step, frame))
        self.page.on_view(self._view_changed)
        self.page.axes.line.on_change("data", partial(self._by_user, self._choose_line))
        self.page.on_trace_tap(self._tap)

    def _by_user(self, act: Callable[[Any], None], _: str, __: Any, new: Any) -> None:
        if not self._quiet:
            act(new)

    def _choose_fov(self, name: str) -> None:
        self._tasks.append(spawn(self._switch(name)))

    async def _switch(self, name: str) -> None:
        try:
            opened = await self._loop.in_thread(self._library.opened, name)
        except StemscaleError as error:
            await self._loop.locked(partial(self.page.say, notice(str(error))))
            return

        def show() -> None:
            self._opened = opened
            self._choice = first_choice(opened.series, before=self._choice)
            self.page.say("")
            self._furnish()
            self._painter.request()

        await self._loop.locked(show)

    def _choose_filter(self, name: str) -> None:
        self._choice = with_filter(self._choice, None if name == NO_FILTER else name)
        self._furnish(again=True)
        self._painter.request()

    def _choose_frame(self, frame: float) -> None:
        self._stop_playing()
        self._go(int(frame))

    def _choose_window(self, window: tuple[float, float]) -> None:
        black, white = window
        self._set(window=Window(black=black, white=max(white, black + 1e-9)))

    def _choose_width(self, width: str) -> None:
        self._set(line_width_px=int(width))

    def _choose_line(self, data: dict[str, list[float]]) -> None:
        if len(data["x"]) == 2:
            (x0, x1), (y0, y1) = data["x"], data["y"]
            self._set(line=Line(x0=x0, y0=y0, x1=x1, y1=y1))

    def _pair(self, which: str, at: int, key: str) -> None:
        pair = list(getattr(self._choice, which))
        pair[at] = key
        self._set(**{which: tuple(pair)})

    def _choose_panels(self, active: list[int]) -> None:
        roles = self.page.roles
        chosen = {roles[i] for i in active}
        kept = [r for r in self._choice.panels if r not in roles]  # of images of other series
        self._set(panels=tuple(r for r in PANELS if r in chosen or r in kept))
        self.page.arrange(self._choice, self._opened.series)

    def _choose_tools(self, active: list[int]) -> None:
        self._choice = replace(self._choice, tools=tuple(TOOLS[i] for i in sorted(active)))
        if PROFILE in self._choice.tools and self._choice.line is None:
            self._choice = replace(self._choice, line=middle_line(self._opened.series))
        self._show_line()
        self.page.arrange(self._choice, self._opened.series)
        self._painter.request()

    def _choose_play(self, active: bool) -> None:
        self.page.controls.play.label = "❚❚ Pause" if active else "▶ Play"
        if active:
            self._tasks.append(spawn(self._play()))

    def _choose_follow(self, active: bool) -> None:
        if active:
            self._stop_playing()
            self._go(self._opened.series.newest)

    def _auto(self) -> None:
        self._choice = replace(self._choice, window=None)
        self._drawing.scales.forget_window(self._choice, self._opened)
        self._painter.request()

    def _step(self, frame: Callable[[], int]) -> None:
        self._stop_playing()
        self._go(frame())

    def _tap(self, x: float) -> None:
        curves = self.page.trace.curves
        if curves is not None:
            self._stop_playing()
            self._go(curves.nearest(x))

    def _view_changed(self) -> None:
        self._painter.request()

    def _set(self, **changes: Any) -> None:
        self._choice = replace(self._choice, **changes)
        self._painter.request()

    def _go(self, frame: int) -> None:
        self._choice = self._choice.at(frame, self._opened.series)
        if self._choice.frame != self._opened.series.newest:
            self.page.controls.follow.active = False
        self._painter.request()

    # ------------------------------------------------------------ time

    def _begin(self) -> None:
        self._painter.request()
        self._tasks.append(spawn(self._look()))

    def _stop_playing(self) -> None:
        self.page.controls.play.active = False

    async def _play(self) -> None:
        controls = self.page.controls
        if self._choice.frame >= self._opened.series.n_frames - 1:
            self._go(0)
            await self._painter.settled()
        recent: list[float] = []
        due = time.perf_counter()
        while controls.play.active and self._choice.frame < self._opened.series.n_frames - 1:
            recent = [*recent[-9:], time.perf_counter()]
            if len(recent) > 2:
                self._drawing.rate = (len(recent) - 1) / (recent[-1] - recent[0])
            self._go(self._choice.frame + 1)
            self._prefetch(self._choice.frame + 1)
            await self._painter.settled()
            due = max(due + 1 / float(controls.rate.value), time.perf_counter() - 1.0)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        self._drawing.rate = None
        await self._loop.locked(self._stop_playing)
        self._painter.request()

    def _prefetch(self, frame: int) -> None:
        opened, choice = self._opened, self._choice
        if frame < opened.series.n_frames:
            for key in choice.needed(opened.series):
                self._executor.submit(_fetch, opened, key, frame)

    async def _look(self) -> None:
        away = isinstance(self._library.store.path, ObjectPath)
        while True:
            await asyncio.sleep(_LOOK_AWAY_EVERY_S if away else _LOOK_EVERY_S)
            try:
                fovs = await self._loop.in_thread(self._library.fovs)
                opened = await self._loop.in_thread(self._library.refresh, self._choice.fov)
            except (StemscaleError, OSError) as error:
                await self._loop.locked(partial(self.page.say, notice(str(error))))
                continue
            if fovs != self._fovs or opened is not self._opened:
                await self._loop.locked(partial(self._grown, fovs, opened))

    def _grown(self, fovs: list[str], opened: Opened) -> None:
        if opened.series.fov.name != self._choice.fov:  # another was chosen meanwhile
            return
        self._fovs, self._opened = fovs, opened
        if self._choice.filter not in opened.series.filters:
            self._choice = first_choice(opened.series, before=self._choice)
        self.page.say("")
        self._furnish(again=True)
        if self.page.controls.follow.active:
            self._choice = self._choice.at(opened.series.newest, opened.series)
        self._painter.request()

    # ------------------------------------------------------------ drawing

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Hear no control meanwhile: the server itself moves it."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    async def _paint(self) -> None:
        await self._drawing.paint(self._choice, self._opened)

    def _furnish(self, *, again: bool = False) -> None:
        """Bring all controls in line with what is chosen; anew, or after a change of the series."""
        choice, series = self._choice, self._opened.series
        with self._quietly():
            self.page.offer(self._fovs, choice, series, image_options(series.images))
            self.page.arrange(choice, series)
            self.page.trace.show(read_curves(series, choice.filter))
            if not again:
                grid = series.grid(CORRECTED if CORRECTED in series.images else RECORDED)
                self.page.fit(grid, series.unit)
                if PROFILE in choice.tools:
                    self._choice = replace(choice, line=middle_line(series))
                self._show_line()

    def _show_line(self) -> None:
        line = self._choice.line
        shown = line is not None and PROFILE in self._choice.tools
        ends = [(line.x0, line.x1), (line.y0, line.y1)] if shown and line else [(), ()]
        with self._quietly():
            self.page.axes.line.data = {"x": list(ends[0]), "y": list(ends[1])}


def _fetch(opened: Opened, key: str, frame: int) -> None:
    try:
        opened.reader.image(opened.series, key, frame)
    except NotShownError:  # said when it is looked at
        return
