"""What every reader gives: series of known shape whose frames are read piece by piece."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings


class FrameSource(Protocol):
    """A series of frames in a file.

    It can be pickled and sent to another process: it holds the path of its file, and opens it
    where `read` is called. One image is a series of one frame.

    Attributes
    ----------
    settings : ScanSettings
        As far as the file says.
    per_frame : mapping of str to FrameColumn
        Metadata of each frame.
    start_time : int or None
        Clock time at which the series began [ns since 1970-01-01, UTC], if the file says.
    original_metadata : mapping
        What the file says of its first frame, as it says it; nested, of JSON values.
    """

    settings: ScanSettings
    per_frame: Mapping[str, FrameColumn]
    start_time: int | None
    original_metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """File, for messages."""
        ...

    @property
    def detector(self) -> str:
        """Name of this signal, by which it is chosen among those of one file; may be empty."""
        ...

    @property
    def n_frames(self) -> int:
        """Length of the series."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one pixel, in native byte order."""
        ...

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before, or is damaged there.
        """
        ...


class Signals(list[FrameSource]):
    """The signals of a file, and what else it holds.

    Parameters
    ----------
    found : iterable of FrameSource
        Images and series of images.
    left_out : mapping of str to str
        Why others of its signals are none, by their names.
    """

    def __init__(self, found: Iterable[FrameSource], *, left_out: Mapping[str, str]) -> None:
        super().__init__(found)
        self.left_out = dict(left_out)


def name_apart(name: str, taken: Collection[str]) -> str:
    """Give a signal a name that no other of its file has: the second ``BF`` is ``BF-2``."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(n for n in itertools.chain([name], numbered) if n not in taken)
