"""Work for a tab goes into threads, and what comes of it into its page, in turn."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class TabLoop:
    """Where one tab's work is done; to be used in its running loop.

    Parameters
    ----------
    doc : bokeh.document.Document
        The tab's page.
    executor : Executor
        Threads that read and compute.
    """

    def __init__(self, doc: Any, executor: Executor) -> None:
        self._doc, self._executor = doc, executor

    def begin_in_thread(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Begin to read or compute."""
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Read or compute, and wait for it."""
        return await self.begin_in_thread(partial(work, *args))

    async def locked(self, act: Callable[[], None]) -> None:
        """Change the page in its turn: Bokeh takes changes from its own callbacks only."""
        done = asyncio.get_running_loop().create_future()

        def run() -> None:
            try:
                act()
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

        self._doc.add_next_tick_callback(run)
        await done
