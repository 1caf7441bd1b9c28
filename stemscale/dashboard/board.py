"""All runs on one scheduler: those going on, and the last ones that ended."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stemscale.dashboard.figures import RunFigures, SeriesFigures


class Board:
    """Sorts events to the runs that they are of.

    Parameters
    ----------
    clock : callable
        Gives the time [s].
    is_there : callable
        Tells whether a driver, by its name, is connected to the scheduler.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        is_there: Callable[[str], bool] = lambda client: True,
    ) -> None:
        self.clock, self._is_there = clock, is_there
        self._runs: dict[str, RunFigures] = {}
        self._left: set[str] = set()  # runs whose drivers went without a word

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of a run; one that is not known, as it was replaced, says nothing."""
        now = self.clock()
        if event["kind"] == "run":
            self._start(event, now)
            return
        run = self._runs.get(event["run"])
        if run is None:
            return
        if run.run in self._left and self._is_there(run.client):  # its connection was lost
            self._left.discard(run.run)
            run.ended = None
        if event["kind"] == "block":
            run.block(event, now)
        elif event["kind"] == "waiting":
            run.wait(event["reason"], now)
        elif event["kind"] == "end":
            run.end(now)
            self._left.discard(run.run)

    def client_left(self, client: str) -> None:
        """Take that a driver is gone, with or without a word."""
        for run in self._runs.values():
            if run.client == client and run.ended is None:
                run.end(self.clock())
                self._left.add(run.run)

    def runs(self) -> list[RunFigures]:
        """Give all runs, in the order in which they began."""
        return list(self._runs.values())

    def shown(self) -> RunFigures | None:
        """Give the run to be shown: the newest that goes on, or else the newest."""
        runs = self.runs()
        return next((r for r in reversed(runs) if r.ended is None), runs[-1] if runs else None)

    def series(self) -> Iterator[tuple[RunFigures, SeriesFigures]]:
        """Give each series of each store once; of two runs, as the one begun last has it."""
        found = {
            (run.store, name): (run, s)
            for run in self._runs.values()
            for name, s in run.series.items()
        }
        yield from found.values()

    def _start(self, event: Mapping[str, Any], now: float) -> None:
        names = {s["series"] for s in event["series"]}
        # whoever holds the lease of a series now, the one before has lost it
        earlier = [
            r for r in self._runs.values() if r.store == event["store"] and names & r.series.keys()
        ]
        new = RunFigures(event, now, before=earlier[-1] if earlier else None)
        kept = [r for r in self._runs.values() if r.ended is None and r not in earlier]
        self._runs = {r.run: r for r in [*kept, new]}
        self._left &= self._runs.keys()
