"""A scheduler that counts as idle only while no driver is connected."""

from typing import TYPE_CHECKING

from distributed import SchedulerPlugin
from tornado.ioloop import PeriodicCallback

if TYPE_CHECKING:
    from distributed import Scheduler

_EVERY_MS = 1000


class AwakeWhileDriven(SchedulerPlugin):
    """Keeps an idle timeout from ending a run, and lets it end what a dead driver left.

    A driver may be busy for minutes before its first block, as it tunes a filter; for Dask, its
    scheduler is idle then.
    """

    name = "stemscale-awake"
    idempotent = True

    async def start(self, scheduler: "Scheduler") -> None:
        """Look at the clients, again and again; called by Dask."""

        def look() -> None:
            if drivers(scheduler):
                scheduler.idle_since = None

        scheduler.periodic_callbacks[self.name] = looking = PeriodicCallback(look, _EVERY_MS)
        looking.start()


def drivers(dask_scheduler: "Scheduler") -> int:
    """Count the clients that are connected to a scheduler."""
    return len([name for name in dask_scheduler.clients if name != "fire-and-forget"])
