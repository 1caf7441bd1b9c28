"""What driver and workers tell the scheduler of a run: plain values under one topic."""

from collections.abc import Mapping, Sequence
from typing import Any

TOPIC = "stemscale"
"""Topic of `distributed.Client.log_event`; a client may subscribe to it as well."""

Event = dict[str, Any]


def run_started(
    *, run: str, store: str, label: str, client: str, series: Sequence[Mapping[str, Any]]
) -> Event:
    """Say what a driver is going to make.

    Parameters
    ----------
    run : str
        Names the run in all events of its blocks.
    store : str
        Path of the store.
    label : str
        Of the filter.
    client : str
        The driver's name at the scheduler: when it leaves, the run is over.
    series : sequence of mapping
        In the order in which they are made: ``series`` "fov01/filtered/standard", ``frames`` in
        all, ``block`` frames in a block, ``done`` and ``failed`` frames of earlier runs, and a
        ``fingerprint`` of what the frames are made with.
    """
    return {
        "kind": "run",
        "run": run,
        "store": store,
        "label": label,
        "client": client,
        "series": [dict(s) for s in series],
    }


def block_made(
    *,
    run: str,
    series: str,
    block: int,
    start: int,
    stop: int,
    status: str,
    seconds: Mapping[str, float],
    psnr: Sequence[float | None] = (),
    psnr_rapid: Sequence[float | None] = (),
    picture: Mapping[str, Any] | None = None,
) -> Event:
    """Say that a block is recorded.

    Parameters
    ----------
    run, series : str
        As in `run_started`.
    block : int
        Its number.
    start, stop : int
        Its frames: from ``start`` up to, not including, ``stop``.
    status : str
        "done", or "damaged" where the raw data are.
    seconds : mapping of str to float
        Time spent, by step [s].
    psnr, psnr_rapid : sequence of float or None
        Of each frame after and before the filter, against the slow scan [dB].
    picture : mapping, optional
        ``frame``, its number; ``before`` and ``after``, see `thumbnail`.
    """
    return {
        "kind": "block",
        "run": run,
        "series": series,
        "block": block,
        "start": start,
        "stop": stop,
        "frames": stop - start,
        "status": status,
        "seconds": dict(seconds),
        "psnr": list(psnr),
        "psnr_rapid": list(psnr_rapid),
        "picture": None if picture is None else dict(picture),
    }


def given_up(*, run: str, series: str, block: int, frames: int, reason: str) -> Event:
    """Say that a block will not be made in this run, and why; in the form of `block_made`."""
    return {
        "kind": "block",
        "run": run,
        "series": series,
        "block": block,
        "frames": frames,
        "status": "failed",
        "reason": reason,
    }


def waiting(*, run: str, reason: str) -> Event:
    """Say that a run cannot go on for the moment, and why."""
    return {"kind": "waiting", "run": run, "reason": reason}


def run_ended(*, run: str) -> Event:
    """Say that a run is over."""
    return {"kind": "end", "run": run}
