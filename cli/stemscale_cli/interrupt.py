"""Ctrl-C: what it leaves of a verb's work; and as a wish to end, for verbs that go on till then."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_GOES_ON = ("ingest", "train", "process", "live", "compact", "reproduce")
_BEGINS_ANEW = ("calibrate", "summarize", "verify", "report", "export", "movie", "demo")


def what_remains(verb: str, *, overwrite: bool = False) -> str:
    """Say what becomes of work that Ctrl-C ended.

    Parameters
    ----------
    verb : str
        Name of the command, as typed.
    overwrite : bool
        Whether ``--overwrite`` was among its options: typed once more, it would begin anew.

    Returns
    -------
    str
        One line.
    """
    if verb == "train" and overwrite:  # what it replaces may still be there
        return "Interrupted. The same command with --resume as well goes on where it was."
    if verb in _GOES_ON and overwrite:
        return "Interrupted. The same command without --overwrite goes on where it was."
    if verb in _GOES_ON:
        return "Interrupted. The same command goes on where it was."
    if verb in _BEGINS_ANEW:
        return "Interrupted. The same command begins anew."
    if verb == "simulate":
        return "Interrupted. The same command with --overwrite begins anew."
    return "Interrupted."


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
