"""The part that lives in the scheduler: it listens, and puts up page and metrics."""

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from distributed import SchedulerPlugin

from stemscale.dashboard.board import Board
from stemscale.dashboard.events import TOPIC
from stemscale.dashboard.metrics import expose, hide
from stemscale.errors import ProcessingError

if TYPE_CHECKING:
    from distributed import Scheduler

logger = logging.getLogger(__name__)

NAME = "stemscale-dashboard"


class DashboardPlugin(SchedulerPlugin):
    """Keeps the figures of all runs on a scheduler, from its first run on."""

    name = NAME
    idempotent = True  # a second driver adds to what the first one began

    def __init__(self) -> None:
        self.version = version("stemscale")
        self.board: Board | None = None
        self.page = False
        self._pictured: dict[str, Any] | None = None

    async def start(self, scheduler: "Scheduler") -> None:
        """Put up page and metrics; called by Dask.

        Raises
        ------
        ProcessingError
            If the scheduler has another version of stemscale.
        """
        here = version("stemscale")
        if here != self.version:
            raise ProcessingError(
                f"the scheduler has stemscale {here}, and this is {self.version}: install the "
                "same version on both"
            )
        self.board = Board(is_there=lambda client: client in scheduler.clients)
        expose(self.board)
        try:
            from stemscale.dashboard.page import add_page
        except ImportError:  # a scheduler without bokeh has no dashboard at all
            logger.info("no stemscale page: this scheduler has no bokeh")
        else:
            self.page = add_page(scheduler, self.board)

    async def close(self) -> None:
        """Take the metrics down; called by Dask."""
        if self.board is not None:
            hide(self.board)

    def log_event(self, topic: str, msg: Any) -> None:
        """Take an event, before the scheduler's own log of the last 1,000 or so forgets it."""
        if topic != TOPIC or self.board is None:
            return
        self.board.take(msg)
        if msg.get("picture") is not None:
            # The log keeps the dict itself: one picture is enough of it.
            if self._pictured is not None:
                self._pictured["picture"] = None
            self._pictured = msg

    def remove_client(self, scheduler: "Scheduler", client: str) -> None:
        """Take that a driver is gone."""
        if self.board is not None:
            self.board.client_left(client)
