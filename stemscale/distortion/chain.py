"""Put groups of aligned frames on one grid, one after the other, and add them up."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion.accumulator import Accumulator, Shift, move_mean, weight_map
from stemscale.distortion.arrays import FloatArray
from stemscale.distortion.drift import Correlator, DriftSearch
from stemscale.distortion.group import FrameGroup
from stemscale.distortion.shift import shift_image

_MEMORY = 256  # frames that the running mean remembers: an in-situ scene changes
_REANCHOR = 0.2  # of the frame's length: the running mean follows a drift beyond


class GroupChain:
    """Aligns each group's mean with a running mean of the groups before it.

    Parameters
    ----------
    search : DriftSearch
    """

    def __init__(self, search: DriftSearch) -> None:
        self._search = search
        self._total: Accumulator | None = None
        self._running: _Running | None = None
        self._shifts: list[FloatArray] = []
        self._weights: list[FloatArray] = []

    def add(self, group: FrameGroup) -> None:
        """Take the next group in."""
        self._weights.append(group.weights)
        if group.mean is None:
            self._shifts.append(group.shifts)
            return
        known = np.isfinite(group.shifts[:, 0])
        pairs = [(float(y), float(x)) for y, x in group.shifts[known]]
        weights = weight_map(group.mean.shape, pairs, group.weights[known].tolist())
        at: Shift = (0.0, 0.0)
        if self._running is None or self._total is None:
            self._total = Accumulator(group.mean.shape)
            self._running = _Running(group.mean, int(known.sum()), self._search)
        else:
            last = next(s for s in self._last() if np.isfinite(s[0]))
            at = self._running.align(
                group.mean,
                weights,
                guess=(last[0] - pairs[0][0], last[1] - pairs[0][1]),
                count=int(known.sum()),
            )
        self._total.add_mean(group.mean, weights, at)
        self._shifts.append(group.shifts + at)

    def _last(self) -> Any:
        for shifts in reversed(self._shifts):
            yield from shifts[::-1]

    @property
    def shifts(self) -> FloatArray:
        """Of all frames so far, shape (frame, 2) [px]; NaN for those without contrast."""
        return np.concatenate([np.empty((0, 2)), *self._shifts])

    @property
    def weights(self) -> FloatArray:
        """Of all frames so far."""
        return np.concatenate([np.empty(0), *self._weights])

    def mean(self) -> NDArray[np.float32] | None:
        """Return the mean so far; None where no frame had contrast."""
        return None if self._total is None else self._total.mean()


class _Running:
    """A mean of the last groups, which follows the drift in whole pixels."""

    def __init__(self, mean: NDArray[np.float32], count: int, search: DriftSearch) -> None:
        self._mean = mean.copy()
        self._count = count
        self._search = search
        self._origin = (0, 0)  # the running mean shows at (y, x) what the grid has at origin + that

    def align(
        self, mean: NDArray[np.float32], weights: NDArray[np.float32], *, guess: Shift, count: int
    ) -> Shift:
        """Return where the grid's scene lies in a group's mean, and take that in."""
        near = (guess[0] + self._origin[0], guess[1] + self._origin[1])
        self._follow(near)
        near = (guess[0] + self._origin[0], guess[1] + self._origin[1])
        found = Correlator(self._mean, self._search).shift(mean, near) or near
        moved, weight, rows, columns = move_mean(mean, weights, found)
        self._count += count
        part = self._mean[rows, columns]
        seen = weight > 0
        new = np.isnan(part) & seen
        share = min(1.0, count / min(self._count, _MEMORY))
        np.add(part, share * (moved - part), out=part, where=seen)
        part[new] = moved[new]
        return (found[0] - self._origin[0], found[1] - self._origin[1])

    def _follow(self, near: Shift) -> None:
        """Move on to a grid that what comes shares largely."""
        if all(abs(s) <= _REANCHOR * n for s, n in zip(near, self._mean.shape, strict=True)):
            return
        step = (round(near[0]), round(near[1]))
        moved, rows, columns = shift_image(self._mean, -step[0], -step[1])
        self._mean = np.full(self._mean.shape, np.nan, dtype=np.float32)
        self._mean[rows, columns] = moved
        self._origin = (self._origin[0] - step[0], self._origin[1] - step[1])
