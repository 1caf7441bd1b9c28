"""How long frames take, from the file that a microscope writes to the filtered frame."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Of frames that arrived while they were waited for: how long until each was filtered.

    Attributes
    ----------
    frames : int
        How many of them.
    median_s, p95_s, worst_s : float
        Half of them, and 95 %, took no longer; and the longest [s].
    """

    frames: int
    median_s: float
    p95_s: float
    worst_s: float

    def words(self) -> str:
        """Say it in a line."""
        return (
            f"latency {self.median_s:.2f} s (median), {self.p95_s:.2f} s (95 %), "
            f"{self.worst_s:.2f} s (worst)"
        )


class Latencies:
    """Takes the latency of each frame, one after the other."""

    def __init__(self) -> None:
        self._seconds = array("f")

    def add(self, seconds: Iterable[float]) -> None:
        """Take those of some frames [s]."""
        self._seconds.extend(seconds)

    def summary(self, last: int = 0) -> Latency | None:
        """Give the figures of all of them, or of the last ones; None where there is none."""
        seconds = np.asarray(self._seconds[-last:])
        if not len(seconds):
            return None
        median, p95, worst = np.percentile(seconds, [50, 95, 100]).tolist()
        return Latency(frames=len(seconds), median_s=median, p95_s=p95, worst_s=worst)
