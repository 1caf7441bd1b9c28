"""Draw what is wanted now: one picture at a time, and never an older one than the newest wish."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Painter:
    """Calls a function again and again, as long as something new was wished meanwhile.

    Wishes are not queued: however many come while one picture is made, one more is made then.

    Parameters
    ----------
    paint : callable
        Reads the newest wish and draws it.
    """

    def __init__(self, paint: Callable[[], Awaitable[None]]) -> None:
        self._paint = paint
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        """Whether something newer is wished than what is being drawn."""
        return self._wanted

    def request(self) -> None:
        """Wish for a picture of what is chosen now."""
        self._wanted = True
        if self._task is None or self._task.done():
            self._task = spawn(self._run())

    async def settled(self) -> None:
        """Wait until all that was wished is drawn."""
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    def close(self) -> None:
        """Draw no more."""
        self._wanted = False
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._wanted:
            self._wanted = False
            await self._paint()


def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin to work in the running loop; what goes wrong is logged, and ends only that work."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the viewer could not draw", exc_info=error)
