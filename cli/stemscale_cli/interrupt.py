"""Ctrl-C as a wish to end, for verbs that go on until they are asked to."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_when_asked() -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C, or when the process is asked to end; a second one kills.

    Yields
    ------
    threading.Event
    """
    stop = threading.Event()
    before: dict[int, Any] = {}

    def ask(number: int, _: object) -> None:
        stop.set()
        for asked, handler in before.items():
            signal.signal(asked, handler)

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, ask)
    try:
        yield stop
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)
