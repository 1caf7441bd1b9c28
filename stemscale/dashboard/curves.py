"""What a page draws of a million blocks: a bounded number of points."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

_BINS = 512
_GROUPS = 64

T = TypeVar("T", int, float)


class Curve:
    """Mean of a value over bins of frames, at most 512 of them.

    Parameters
    ----------
    frames : int
        Frames of the series.
    """

    def __init__(self, frames: int) -> None:
        self.width = max(1, math.ceil(frames / _BINS))
        self._bins = math.ceil(frames / self.width)
        self._sums, self._counts = array("d"), array("q")

    def add(self, start: int, values: Iterable[float | None]) -> None:
        """Take the values of frames from ``start`` on; None where there is none."""
        if not self._sums:
            self._sums = array("d", bytes(8 * self._bins))
            self._counts = array("q", bytes(8 * self._bins))
        for i, value in enumerate(values, start):
            if value is not None:
                self._sums[i // self.width] += value
                self._counts[i // self.width] += 1

    def grow(self, frames: int) -> None:
        """Make room for more frames: once there are 512 bins, two become one."""
        while frames > self.width * _BINS:
            self.width *= 2
            self._sums = array("d", _in_pairs(self._sums))
            self._counts = array("q", _in_pairs(self._counts))
        self._bins = max(self._bins, math.ceil(frames / self.width))
        if self._sums:
            more = self._bins - len(self._sums)
            self._sums.extend([0.0] * more)
            self._counts.extend([0] * more)

    def points(self) -> tuple[list[float], list[float]]:
        """Give the middle frames of the bins up to the last with values, and their means or NaN."""
        known = [i for i, count in enumerate(self._counts) if count]
        bins = range(known[0], known[-1] + 1) if known else range(0)
        middles = [i * self.width + (self.width - 1) / 2 for i in bins]
        counted = [(self._sums[i], self._counts[i]) for i in bins]
        return middles, [s / n if n else math.nan for s, n in counted]


def _in_pairs(values: Sequence[T]) -> list[T]:
    return [sum(values[i + 1 : i + 2], values[i]) for i in range(0, len(values), 2)]


class StepHistory:
    """Mean seconds by step, over groups of blocks as they came: at most 64, all of one size."""

    def __init__(self) -> None:
        self.size = 1  # blocks in a group; the last one may have fewer
        self._groups: list[tuple[int, Counter[str]]] = []

    def add(self, seconds: Mapping[str, float]) -> None:
        """Take the seconds of a block."""
        if not self._groups or self._groups[-1][0] == self.size:
            if len(self._groups) == _GROUPS:
                pairs = zip(self._groups[::2], self._groups[1::2], strict=True)
                self._groups = [(n + m, a + b) for (n, a), (m, b) in pairs]
                self.size *= 2
            self._groups.append((0, Counter()))
        n, sums = self._groups[-1]
        for step, spent in seconds.items():
            sums[step] += spent  # type: ignore[assignment]  # a Counter of seconds
        self._groups[-1] = (n + 1, sums)

    def means(self) -> list[tuple[int, dict[str, float]]]:
        """Give the number of blocks of each group, and their mean seconds by step [s]."""
        return [(n, {step: s / n for step, s in sums.items()}) for n, sums in self._groups]
