"""Pieces of HTML that change with every frame."""

from typing import Any

from bokeh.models import CustomJS
from bokeh.models.sources import ColumnDataSource
from bokeh.models.widgets import Div

from stemscale.viewer.look import div, script


class Texts:
    """Changes text in the browser without having Bokeh lay out the page anew, which takes 13 ms.

    Each piece has a size of its own that its text does not change.
    """

    def __init__(self) -> None:
        self.source = ColumnDataSource({"text": []})
        self._divs: list[Div] = []
        self._texts: list[str] = []
        self._changed = False

    def new(self, **options: Any) -> int:
        """Make a piece, see `div`; give its number."""
        self._divs.append(div(**options))
        self._texts.append("")
        return len(self._divs) - 1

    def div(self, at: int) -> Div:
        """Give the part of the page that holds a piece."""
        return self._divs[at]

    def set(self, at: int, text: str) -> None:
        """Change the HTML of a piece, at the next `send`."""
        self._changed |= self._texts[at] != text
        self._texts[at] = text

    def send(self) -> None:
        """Bring what has changed to the browser."""
        if self._changed:
            self._changed = False
            self.source.data = {"text": list(self._texts)}

    def hang_together(self) -> None:
        """Have the browser write what comes; after the last piece is made."""
        args = {"source": self.source, "divs": self._divs}
        self.source.js_on_change("data", CustomJS(args=args, code=script("texts")))
