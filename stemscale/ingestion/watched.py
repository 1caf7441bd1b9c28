"""What every watched source gives: frames that are whole, and what it waits for."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings
from stemscale.ingestion.joined import JoinedSource
from stemscale.ingestion.source import FrameSource


class Watched(Protocol):
    """A file or folder that gets more frames while it is read.

    Attributes
    ----------
    left_out : dict of str to str
        Files that were not taken, and why.
    """

    left_out: dict[str, str]

    @property
    def n_frames(self) -> int:
        """Frames that are whole."""
        ...

    @property
    def first(self) -> FrameSource:
        """What says shape, dtype and scan settings; there once there is a frame."""
        ...

    @property
    def waiting_for(self) -> str:
        """What has to happen before there are more frames."""
        ...

    @property
    def pending_why(self) -> str:
        """Why a file that is there is not taken yet; empty where none waits."""
        ...

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look, so that looking takes little of a core [s]."""
        ...

    def look(self) -> list[str]:
        """See which frames are whole by now.

        Returns
        -------
        list of str
            What a user should know.

        Raises
        ------
        InputFileError
            If what was taken is no longer what it was.
        """
        ...

    def read(self, start: int, stop: int) -> Frames:
        """Read frames that are whole."""
        ...

    def arrived_ns(self, start: int, stop: int) -> list[int]:
        """When the file of each of these frames had all of it, by its time of change [ns]."""
        ...

    def opened(self) -> list[JoinedSource]:
        """Open all frames so far as an ordinary ingest does, with all that files say of them.

        Raises
        ------
        InputFileError
            If what was taken is no longer what it was.
        """
        ...


class TakenSource:
    """The frames that a watch has taken, with what the files say of them.

    Parameters
    ----------
    source : FrameSource
        What says so; it may count more or fewer frames.
    watched : Watched
        What reads them.
    """

    def __init__(self, source: FrameSource, watched: Watched) -> None:
        self._watched = watched
        self.n_frames = n = watched.n_frames
        self.name, self.detector = source.name, source.detector
        self.dtype: np.dtype[Any] = source.dtype
        self.settings: ScanSettings = source.settings
        self.start_time = source.start_time
        self.original_metadata: Mapping[str, Any] = source.original_metadata
        self.per_frame: Mapping[str, FrameColumn] = source.per_frame if source.n_frames == n else {}

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x)."""
        return self._watched.read(start, stop)
