"""Frames laid out for products of matrices: less a level, 0 where nothing is seen, in strips."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stemscale.quality.common_pixels import Image

Frames = npt.NDArray[np.float32]  # (frame, y, x); NaN = not seen
Mask = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_STRIP_PX = 8192  # of each frame: those of 32 are 1 MB, which stays in a core's cache


class StripSums(Protocol):
    """Sums over the pixels of each frame, strip by strip."""

    @property
    def over(self) -> "FlatFrames":
        """The frames that are summed."""

    def add(self, rows: slice, strip: Frames) -> None:
        """Add what these rows, (frame, row, x), have to give."""


def gather(*sums: StripSums) -> None:
    """Go through all frames that sums are of, once for all sums of the same frames."""
    flats = {id(one.over): one.over for one in sums}
    for key, flat in flats.items():
        flat.gather([one for one in sums if id(one.over) == key])


class FlatFrames:
    """A block of frames over the pixels that all of them see, less one level.

    float32 holds the differences from a level to seven digits, not the level and them. They are
    made a strip of rows at a time, each time anew: to make them in the cache takes less time than
    to bring them there.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Any real dtype; NaN = not seen. A frame that sees nothing at all has no part in the rest.
    unseen : float, optional
        The value that says so in integers.
    within : ndarray of bool, shape (y, x), optional
        Pixels that count at most.

    Attributes
    ----------
    known : ndarray of bool, shape (frame,)
        Frames that see something.
    seen : ndarray of bool, shape (y, x)
        Pixels that all of these see.
    n_seen : int
    sums, squares : ndarray of float64, shape (frame,)
        Sum of each frame, and of its squares; NaN before `gather` has gone through them.
    """

    def __init__(
        self, frames: Image, *, unseen: float | None = None, within: Mask | None = None
    ) -> None:
        self._frames, self._unseen = frames, unseen
        self.known, self.seen = _seen(frames, unseen)
        if within is not None:
            self.seen &= within
        self.n_seen = int(self.seen.sum())
        self._level = self._mean_of_first()
        self.sums, self.squares = np.full((2, len(frames)), np.nan)

    def within(self, seen: Mask) -> "FlatFrames":
        """Give the same over fewer pixels."""
        if np.array_equal(seen & self.seen, self.seen):
            return self
        return FlatFrames(self._frames, unseen=self._unseen, within=seen & self.seen)

    @property
    def shape(self) -> tuple[int, ...]:
        """(frame, y, x)."""
        return self._frames.shape

    def strips(self) -> Iterator[tuple[slice, Frames]]:
        """Go through all rows once.

        Yields
        ------
        rows : slice
        strip : ndarray of float32, shape (frame, row, x)
            In memory that the next strip takes.
        """
        n_frames, n_y, n_x = self.shape
        rows = max(1, _STRIP_PX // max(1, n_x))
        held = np.empty(n_frames * rows * n_x, dtype=np.float32)
        for top in range(0, n_y, rows):
            part = slice(top, min(top + rows, n_y))
            shape = (n_frames, part.stop - top, n_x)
            yield part, self._fill(held[: np.prod(shape)].reshape(shape), part)

    def gather(self, sums: Sequence[StripSums]) -> None:
        """Go through all rows once, for all that is to be summed."""
        self.sums, self.squares = np.zeros((2, len(self._frames)))
        for rows, strip in self.strips():
            pixels = strip.reshape(len(strip), -1)
            self.sums += pixels @ np.ones(pixels.shape[1], dtype=np.float32)
            self.squares += np.vecdot(pixels, pixels)
            for one in sums:
                one.add(rows, strip)

    def _mean_of_first(self) -> np.float32:
        if not self.n_seen or not self.known.any():
            return np.float32(0)
        return np.float32(self._frames[int(np.argmax(self.known))][self.seen].mean())

    def _fill(self, strip: Frames, rows: slice) -> Frames:
        np.subtract(self._frames[:, rows], self._level, out=strip, dtype=np.float32)
        if self._frames.dtype.kind == "f":  # what is NaN stays NaN in a product
            np.copyto(strip, np.float32(0), where=~self.seen[rows])
        elif self.n_seen < self.seen.size:
            strip *= self.seen[rows].astype(np.float32)
        if not self.known.all():
            strip[~self.known] = 0.0
        return strip


def _seen(frames: Image, unseen: float | None) -> tuple[Mask, Mask]:
    """Find the frames that see something, and the pixels that all of these see."""
    known = np.ones(len(frames), dtype=bool)
    missing = np.zeros(frames.shape[1:], dtype=bool)
    floats = frames.dtype.kind == "f"
    if floats or unseen is not None:
        for index, frame in enumerate(frames):
            here = np.isnan(frame) if floats else frame == unseen
            known[index] = not here.all()
            if known[index]:
                missing |= here
    return known, ~missing
