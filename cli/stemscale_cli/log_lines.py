"""What a run says in lines, where there is no bar; and the words that bars share with them."""

import sys
from collections.abc import Callable
from typing import Any

from stemscale_cli.output import talk

Listener = Callable[[Any], None]


def what_it_waits_for() -> Listener:
    """Say in a line what work waits for, so that a log tells why nothing goes on."""
    said: list[str] = []

    def listen(event: Any) -> None:
        if is_a(event, "stemscale.ingestion", "WatchNotice"):
            talk(event.text)
        elif is_a(event, "stemscale.pipeline", "Ready"):
            announce(event.dashboard, talk)
        elif is_a(event, "stemscale.pipeline", "Following"):
            if event.keeps_up != (said[-1:] != ["slow"]):
                said.append("" if event.keeps_up else "slow")
                talk("keeps up again" if event.keeps_up else f"cannot keep up: {_rates(event)}")
        elif is_a(event, "stemscale.pipeline", "Waiting") and said[-1:] != [event.reason]:
            said.append(event.reason)
            talk(f"waiting: {event.reason}")

    return listen


def announce(dashboard: str, say: Callable[[str], Any]) -> None:
    """Say where the dashboard is, if there is one."""
    if dashboard:
        say(f"dashboard: {dashboard}")


def _rates(event: Any) -> str:
    return (
        f"{event.made_per_s:.0f} of {event.arriving_per_s:.0f} frames/s, newest first, "
        f"{event.behind} frames behind"
    )


def kept_up(event: Any) -> str:
    """Say in a note how a run keeps up with what comes."""
    if not event.keeps_up:
        return f"cannot keep up: {_rates(event)}"
    late = "" if event.latency_s is None else f", latency {event.latency_s:.2f} s"
    return f"{event.behind} frames behind{late}"


def is_a(event: Any, room: str, name: str) -> bool:
    """Tell whether an event is of a class, without importing its room."""
    # A room that was not imported sends no events, and takes seconds to import.
    found = sys.modules.get(room)
    return found is not None and isinstance(event, getattr(found, name))
