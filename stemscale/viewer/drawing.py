"""What is chosen in a tab is drawn into its page."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from stemscale.viewer.choice import Choice
from stemscale.viewer.greys import Window
from stemscale.viewer.library import Opened
from stemscale.viewer.page import Page
from stemscale.viewer.panes import FFT, PROFILE, SWIPE
from stemscale.viewer.picture import Drawn, Scales, draw, draw_profiles, draw_spectra
from stemscale.viewer.series import SLOW
from stemscale.viewer.tab_loop import TabLoop
from stemscale.viewer.words import place, title

_FIRST_S = 0.25  # images that take longer come behind the others


class Drawing:
    """Draws into one page what differs from what is on the screen already.

    Parameters
    ----------
    page : Page
    loop : TabLoop
        Of its tab.
    quietly : callable
        Gives a context in which the server may move a control that nobody has touched.
    wanted : callable
        Tells whether something newer is wished.
    """

    def __init__(
        self,
        page: Page,
        loop: TabLoop,
        *,
        quietly: Callable[[], AbstractContextManager[None]],
        wanted: Callable[[], bool],
    ) -> None:
        self._page, self._loop, self._quietly, self._wanted = page, loop, quietly, wanted
        self._signatures: dict[str, Any] = {}
        self.scales = Scales()
        self.rate: float | None = None  # frames that are played a second

    async def paint(self, choice: Choice, opened: Opened) -> None:
        """Draw what is chosen: images, then what is told by them."""
        jobs = self._jobs(choice, opened)
        if jobs:
            await asyncio.wait(jobs.values(), timeout=_FIRST_S)
        window = await self._loop.in_thread(self.scales.window, opened, choice)
        ready = {k: job.result() for k, job in jobs.items() if job.done()}
        await self._loop.locked(partial(self._show, choice, opened, ready, window))
        await self._paint_late(choice, opened, {k: j for k, j in jobs.items() if k not in ready})
        if not self._wanted() or self._page.controls.play.active:
            await self._analyse(choice, opened)
        await self._page.beat.answered()

    async def _paint_late(
        self, choice: Choice, opened: Opened, late: dict[str, "asyncio.Future[Drawn]"]
    ) -> None:
        """Draw images that took longer, unless something newer is wished meanwhile."""
        if late:
            await self._loop.locked(partial(self._page.say_late, late))
        while late and not self._wanted():
            done, _ = await asyncio.wait(
                late.values(), timeout=_FIRST_S, return_when=asyncio.FIRST_COMPLETED
            )
            ready = {k: job.result() for k, job in late.items() if job in done}
            late = {k: job for k, job in late.items() if k not in ready}
            await self._loop.locked(partial(self._show, choice, opened, ready, None))
        for role in late:  # not drawn
            self._signatures.pop(role, None)

    def _jobs(self, choice: Choice, opened: Opened) -> dict[str, asyncio.Future[Drawn]]:
        """Begin to draw the images that differ from what is on the screen already."""
        series, jobs = opened.series, dict[str, asyncio.Future[Drawn]]()
        places = {role: choice.key(role) for role in choice.panels}
        if SWIPE in choice.tools:
            places |= {f"{SWIPE}{i}": key for i, key in enumerate(choice.swipe)}
        for at, key in places.items():
            if key not in series.images:
                continue
            view = self._page.swipe.view if at.startswith(SWIPE) else self._page.panels[at]
            zoom = round(view.per_unit * self._page.beat.ratio, 4)
            still = 0 if key == SLOW else choice.frame
            word, words = series.why_not(key, choice.frame), title(series, key, choice.frame)
            signature = (
                *(id(opened.reader), key, still, word, words),
                *(choice.window, self.scales.version, zoom),
            )
            if self._signatures.get(at) != signature:
                self._signatures[at] = signature
                work = partial(draw, opened, choice, key, self.scales, per_unit=zoom)
                jobs[at] = self._loop.begin_in_thread(work)
        return jobs

    def _show(
        self, choice: Choice, opened: Opened, ready: dict[str, Drawn], window: Window | None
    ) -> None:
        with self._quietly():
            for role, one in ready.items():
                if role in self._page.panels:
                    self._page.show_image(role, one)
            self._page.show_swipe({k: d for k, d in ready.items() if k.startswith(SWIPE)})
            self._page.axes.draw_bar()
            self._page.trace.point_at(choice.frame)
            self._page.show_place(choice.frame, place(opened.series, choice.frame, self.rate))
            if window is not None and choice.window is None:
                self._page.show_window(window)
        self._page.beat.send(choice.frame)

    async def _analyse(self, choice: Choice, opened: Opened) -> None:
        series, scales = opened.series, self.scales
        if PROFILE in choice.tools:
            found = await self._loop.in_thread(draw_profiles, opened, choice, scales)
            await self._loop.locked(partial(self._page.profile.show, found, series.unit))
        if FFT in choice.tools:
            across = self._page.spectra.across_px * self._page.beat.ratio
            work = partial(draw_spectra, opened, choice, scales, across_px=across)
            spectra = await self._loop.in_thread(work)
            unit = "wave number [1/µm]" if series.known_size else "wave number [1/px]"
            await self._loop.locked(partial(self._page.spectra.show, spectra, unit))
        if {PROFILE, FFT} & set(choice.tools):
            await self._loop.locked(partial(self._page.beat.send, choice.frame))
