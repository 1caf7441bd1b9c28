"""How far the work on a store is, seen from outside, whether it runs or not."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from stemscale.dashboard import recent_rate
from stemscale.store import (
    FRAME_STATUS,
    AcquisitionStore,
    BlockRecord,
    Ledger,
    filtered_group,
    lease_holder,
    rapid_group,
    was_left,
)

State = Literal["running", "interrupted", "partial", "complete"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesStatus:
    """How far one series of frames is.

    Attributes
    ----------
    fov : str
        Field of view.
    name : str
        Of what is written: "rapid", or the name that `process` writes under.
    state : str
        ``running``; ``interrupted`` if its driver has died; ``partial`` if it ended with frames
        missing; ``complete``.
    frames, done, failed, damaged : int
        In all; made; given up; not made since their raw data are damaged.
    frames_per_s : float or None
        Lately, of a running one: see `stemscale.dashboard.recent_rate`.
    eta_s : float or None
        Time left at that rate [s].
    psnr : float or None
        Mean over the frames made so far, against the slow scan [dB]; None of a complete series, of
        which the store itself tells.
    driver : dict or None
        Of a running one: ``pid``, ``host``, ``started``, and the ``dashboard``.
    """

    fov: str
    name: str
    state: State
    frames: int
    done: int
    failed: int
    damaged: int
    frames_per_s: float | None
    eta_s: float | None
    psnr: float | None
    driver: dict[str, Any] | None

    @property
    def left(self) -> int:
        """Frames to be made yet."""
        return self.frames - self.done - self.failed - self.damaged


def status(store: str | Path) -> list[SeriesStatus]:
    """Tell how far the work on a store is.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only read.

    Returns
    -------
    list of SeriesStatus
        For each FOV, its rapid frames and then each name that they are filtered under.

    Raises
    ------
    StoreError
        If there is no store.

    Examples
    --------
    >>> import stemscale
    >>> for series in stemscale.status("run.zarr"):
    ...     print(series.fov, series.name, series.state, series.done, "of", series.frames)
    fov01 rapid complete 24 of 24
    fov01 live complete 24 of 24
    fov01 standard complete 24 of 24
    """
    target = AcquisitionStore(store)
    return list(_series(target))


def _series(store: AcquisitionStore) -> Iterator[SeriesStatus]:
    for fov in store.fovs():
        yield _status_of(store, fov, "rapid", rapid_group(fov))
        for name in store.filters(fov):
            yield _status_of(store, fov, name, filtered_group(fov, name))


def _status_of(store: AcquisitionStore, fov: str, name: str, group: str) -> SeriesStatus:
    frames, ledger = store.frames(group), store.ledger(group)
    n_frames = frames.shape[0]
    holder = lease_holder(ledger.lease_file)
    records: dict[int, BlockRecord] = {}
    state: State = "partial"
    if holder is not None:
        state = "running"
    elif store.attrs(group).get("state") == "complete":
        state = "complete"
    elif was_left(ledger.lease_file):
        state = "interrupted"
    if state == "complete":
        done, failed, damaged, scores = n_frames, 0, 0, []
    else:
        records = ledger.records()
        # a run that follows a growing series is ahead of the length that it shows
        n_frames = max([n_frames, *(r.stop for r in records.values())])
        done = _count(records, "done")
        damaged = _count(records, "damaged_input")
        bounds = (frames.bounds(i) for i in ledger.failures() if i not in records)
        failed = sum(stop - start for start, stop in bounds)
        scores = [s for r in records.values() for s in r.scores.get("psnr", []) if s is not None]
    rate = None if holder is None else _rate(ledger, records, holder)
    left = n_frames - done - failed - damaged
    return SeriesStatus(
        fov=fov,
        name=name,
        state=state,
        frames=n_frames,
        done=done,
        failed=failed,
        damaged=damaged,
        frames_per_s=rate,
        eta_s=left / rate if rate else None,
        psnr=sum(scores) / len(scores) if scores else None,
        driver=None if holder is None else _driver(holder),
    )


def _count(records: dict[int, BlockRecord], word: str) -> int:
    wanted = FRAME_STATUS[word]
    if word == "done":  # raw frames have no status
        return sum(
            r.status.count(wanted) if r.status else r.stop - r.start for r in records.values()
        )
    return sum(r.status.count(wanted) for r in records.values())


def _rate(ledger: Ledger, records: dict[int, BlockRecord], holder: dict[str, Any]) -> float | None:
    """Frames/s of what this driver had recorded; what it found there says nothing of its rate."""
    began = datetime.fromisoformat(holder["started"]).timestamp()
    commits = [
        (when, records[i].stop - records[i].start)
        for i, when in ledger.commit_times().items()
        if i in records and when >= began
    ]
    return recent_rate(sorted(commits), time.time())


def _driver(holder: dict[str, Any]) -> dict[str, Any]:
    return {k: holder[k] for k in ("pid", "host", "started", "dashboard") if k in holder}
