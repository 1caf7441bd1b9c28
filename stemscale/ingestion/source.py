"""What every reader gives: a series of known shape whose frames are read piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, ScanSettings
from stemscale.errors import InputFileError


class FrameSource(Protocol):
    """A series of frames in one file or several.

    Per-frame metadata have shape (n_frames,) and the units of `FRAME_QUANTITIES`.
    """

    @property
    def name(self) -> str:
        """File, for messages."""
        ...

    @property
    def n_frames(self) -> int:
        """Length of the series."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one pixel."""
        ...

    @property
    def settings(self) -> ScanSettings:
        """As far as the file says."""
        ...

    @property
    def per_frame(self) -> Mapping[str, NDArray[np.float64]]:
        """Metadata of each frame."""
        ...

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x)."""
        ...


class JoinedSource:
    """Several files that make one series, in the order given.

    Parameters
    ----------
    parts : sequence of FrameSource
        At least one, all of one shape and dtype.

    Raises
    ------
    InputFileError
        If shape or dtype differ.
    """

    def __init__(self, parts: Sequence[FrameSource]) -> None:
        first = parts[0]
        for part in parts[1:]:
            if part.settings.shape != first.settings.shape or part.dtype != first.dtype:
                raise InputFileError(
                    f"{part.name} holds {part.settings.shape} {part.dtype}, but {first.name} "
                    f"{first.settings.shape} {first.dtype}: ingest them as two FOVs"
                )
        self._parts = parts
        self._starts = np.cumsum([0, *(p.n_frames for p in parts)])
        self.name = first.name if len(parts) == 1 else f"{first.name} and {len(parts) - 1} more"
        self.n_frames = int(self._starts[-1])
        self.dtype = first.dtype
        self.settings = first.settings
        common = set.intersection(*(set(p.per_frame) for p in parts))
        if len(parts) > 1:
            common.discard("time")  # each file counts from its own first frame
        self.per_frame = {
            n: np.concatenate([p.per_frame[n] for p in parts]) for n in sorted(common)
        }

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x)."""
        pieces = []
        for part, first in zip(self._parts, self._starts, strict=False):
            a, b = max(start - first, 0), min(stop - first, part.n_frames)
            if a < b:
                pieces.append(part.read(int(a), int(b)))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class CorrectedSource:
    """A series whose file says too little of its scan settings, or says them wrong.

    Parameters
    ----------
    source : FrameSource
    changes : mapping
        Fields of `ScanSettings`; None leaves what the file says.
    """

    def __init__(self, source: FrameSource, changes: Mapping[str, Any]) -> None:
        self.read = source.read
        self.name = source.name
        self.n_frames = source.n_frames
        self.dtype = source.dtype
        self.per_frame = source.per_frame
        said = {k: v for k, v in changes.items() if v is not None}
        self.settings = replace(source.settings, **said)
