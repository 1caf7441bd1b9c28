"""Frames laid out for products of matrices: a row each, less a level, 0 where nothing is seen."""

from typing import Self

import numpy as np
import numpy.typing as npt

from stemscale.quality.common import Image

Frames = npt.NDArray[np.float32]  # (frame, y, x); NaN = not seen
Mask = npt.NDArray[np.bool_]


class FlatFrames:
    """A block of frames over the pixels that all of them see, less one level.

    float32 holds the differences from a level to seven digits, not the level and them.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Any real dtype.
    missing : ndarray of bool, shape (frame, y, x)
        Where they see nothing. A frame that sees nothing at all has no part in the rest.
    within : ndarray of bool, shape (y, x), optional
        Pixels that count at most.

    Attributes
    ----------
    known : ndarray of bool, shape (frame,)
        Frames that see something.
    seen : ndarray of bool, shape (y, x)
        Pixels that all of these see.
    n_seen : int
    pixels : ndarray of float32, shape (frame, pixel)
        Less the level; 0 where not seen.
    sums, squares : ndarray of float64, shape (frame,)
        Sum of each row, and of its squares.
    """

    def __init__(self, frames: Image, missing: Mask, *, within: Mask | None = None) -> None:
        self._frames, self._missing = frames, missing
        flat = missing.reshape(len(missing), -1)
        self.known: Mask = np.asarray(~flat.all(axis=1))
        there = flat if self.known.all() else flat[self.known]
        seen = np.asarray(~there.any(axis=0)).reshape(frames.shape[1:])
        self.seen: Mask = seen if within is None else seen & within
        self.n_seen = int(self.seen.sum())
        self.pixels = self._pixels()
        ones = np.ones(self.pixels.shape[1], dtype=np.float32)
        self.sums = (self.pixels @ ones).astype(np.float64)
        self.squares = np.array([row @ row for row in self.pixels], dtype=np.float64)

    @classmethod
    def of(cls, frames: Frames, *, within: Mask | None = None) -> Self:
        """Lay out frames of which NaN says that nothing is seen."""
        return cls(frames, np.isnan(frames), within=within)

    def within(self, seen: Mask) -> "FlatFrames":
        """Give the same over fewer pixels."""
        if np.array_equal(seen & self.seen, self.seen):
            return self
        return FlatFrames(self._frames, self._missing, within=seen & self.seen)

    @property
    def shape(self) -> tuple[int, ...]:
        """(frame, y, x)."""
        return self._frames.shape

    def _pixels(self) -> Frames:
        first = int(np.argmax(self.known))
        values = self._frames[first][self.seen] if self.known.any() else np.zeros(0)
        level = np.float32(values.mean() if values.size else 0.0)
        found = np.subtract(self._frames, level, dtype=np.float32)
        if self._frames.dtype.kind == "f":  # what is NaN stays NaN in a product
            np.copyto(found, np.float32(0), where=~self.seen)
        elif self.n_seen < self.seen.size:
            found *= self.seen.astype(np.float32)
        pixels = found.reshape(len(found), -1)
        if not self.known.all():
            pixels[~self.known] = 0.0
        return pixels
