"""Whether frames in a store are, bit for bit, those that a file has now."""

from collections.abc import Iterable
from typing import Protocol

from stemscale.acquisition import Frames
from stemscale.store import FramesArray


class ReadsFrames(Protocol):
    """What pixels are compared with: `FrameSource`, without all that it says of them."""

    @property
    def n_frames(self) -> int:
        """Frames that can be read."""
        ...

    def read(self, start: int, stop: int) -> Frames:
        """Read frames, shape (frame, y, x)."""
        ...


def same_pixels(
    source: ReadsFrames, frames: FramesArray, *, base: int, blocks: Iterable[int]
) -> bool:
    """Tell whether the blocks on disk hold what a source gives now.

    Parameters
    ----------
    source : ReadsFrames
        Reads the series from frame ``base`` on.
    frames : FramesArray
        Those in the store.
    base : int
        Frame of the store at which the source begins.
    blocks : iterable of int
        Those to compare.

    Returns
    -------
    bool
        True where every frame that both have is equal, bit for bit.
    """
    for index in blocks:
        first, last = frames.bounds(index)
        start, stop = max(first, base), min(last, base + source.n_frames)
        if start >= stop:
            continue
        read = source.read(start - base, stop - base).astype(frames.dtype, copy=False)
        if frames.read(start, stop).tobytes() != read.tobytes():
            return False
    return True
