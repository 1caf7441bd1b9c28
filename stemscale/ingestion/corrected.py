"""A source whose file errs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stemscale.acquisition import Frames, ScanSettings
from stemscale.ingestion.source import FrameSource


class CorrectedSource:
    """A series whose file says too little of its scan settings, or says them wrong.

    Parameters
    ----------
    source : FrameSource
    changes : mapping
        Fields of `ScanSettings`; None leaves what the file says.
    """

    def __init__(self, source: FrameSource, changes: Mapping[str, Any]) -> None:
        self._source = source
        self.name = source.name
        self.detector = source.detector
        self.n_frames = source.n_frames
        self.dtype = source.dtype
        self.per_frame = source.per_frame
        self.start_time = source.start_time
        self.original_metadata = source.original_metadata
        said = {k: v for k, v in changes.items() if v is not None}
        self.settings: ScanSettings = replace(source.settings, **said)

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x)."""
        return self._source.read(start, stop)
