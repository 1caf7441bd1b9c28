"""Know when a browser has drawn what was sent to it, so that frames never queue up."""

import asyncio
from contextlib import suppress
from typing import Any

from bokeh.models import CustomJS
from bokeh.models.sources import ColumnDataSource

from stemscale.viewer.look import script

_PATIENCE_S = 5.0  # after which a browser is not waited for, as of a tab in the background


class Beat:
    """Numbers what is sent; the browser sends the number back when it is on the screen."""

    def __init__(self) -> None:
        self.sent = ColumnDataSource({"number": [0], "frame": [0]})
        self.drawn = ColumnDataSource({"number": [0], "ratio": [1.0]})
        self._came = asyncio.Event()
        self.sent.js_on_change(
            "data", CustomJS(args={"sent": self.sent, "drawn": self.drawn}, code=script("drawn"))
        )
        self.drawn.on_change("data", self._answered)

    @property
    def ratio(self) -> float:
        """Pixels of the screen for one of the page."""
        return float(self.drawn.data["ratio"][0])

    def send(self, frame: int) -> None:
        """Say, after all that belongs to a picture, that this was all.

        Parameters
        ----------
        frame : int
            Number of the frame shown.
        """
        self._came.clear()
        self.sent.data = {"number": [self._number + 1], "frame": [frame]}

    async def answered(self) -> None:
        """Wait until the browser has drawn it, but not forever."""
        with suppress(TimeoutError):
            while self.drawn.data["number"][0] < self._number:
                await asyncio.wait_for(self._came.wait(), _PATIENCE_S)
                self._came.clear()

    @property
    def _number(self) -> int:
        return int(self.sent.data["number"][0])

    def _answered(self, attr: str, old: Any, new: Any) -> None:
        self._came.set()
