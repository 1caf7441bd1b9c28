"""Whether a file that a microscope's software writes is whole: then it is opened, else waited for.

A file that is still being written changes from one look to the next, or does not hold what its
own header demands, or, if it is HDF5, was not closed. What is read is never half a file. A stack of
TIFF pages that grows slowly looks whole after each of them: watch it by its own name.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscale.errors import StemscaleError
from stemscale.ingestion.hdf5_check import HDF5, check_hdf5
from stemscale.ingestion.hdf5_closed import hdf5_is_closed
from stemscale.ingestion.readers import open_one
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.tiff import TiffSource

_CHECKED = (".tif", ".tiff", ".mrc", ".npy")  # readers compare their length with the header
_STILL_CHECKED_S = 0.04  # that a file has to be left alone
_STILL_S = 0.5
_STILL_HDF5_S = 1.0
_AGAIN_S = 0.5  # until a file that did not open is tried again unchanged

Signature = tuple[int, int, int]
"""Size [byte], time of change [ns], number of the file: alike where nothing was written."""


def signature(path: Path) -> Signature | None:
    """Give size and time of change of a file, or None where it is gone."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@dataclass(slots=True)
class PendingFile:
    """A file that is not known to be whole.

    Attributes
    ----------
    path : Path
        The file.
    order : list
        Sort key of its name.
    still_s : float
        How long it has to be left alone at least, where several frames in it make it look whole
        after each [s].
    seen : Signature or None
        As it was when it was last looked at; None where it was gone.
    since : float
        When it was first seen so [s, monotonic].
    why : str
        Why it is not whole.
    """

    path: Path
    order: Any
    still_s: float = 0.0
    seen: Signature | None = field(init=False)
    since: float = field(init=False)
    why: str = "is still being written"
    _next_try: float = 0.0

    def __post_init__(self) -> None:
        self.seen, self.since = signature(self.path), time.monotonic()

    def open(self, detector: str | None, first: FrameSource | None = None) -> FrameSource | None:
        """Open it where it is whole by now.

        Parameters
        ----------
        detector : str or None
            As for `open_one`.
        first : FrameSource, optional
            The first file of the series: those that are like it need not be parsed.

        Returns
        -------
        FrameSource or None
            None where it has to be waited for.
        """
        now = time.monotonic()
        found = signature(self.path)
        if found != self.seen:
            self.seen, self.since, self._next_try = found, now, 0.0
            return None
        kind = self.path.suffix.lower()
        still_s = (
            _STILL_CHECKED_S if kind in _CHECKED else _STILL_HDF5_S if kind in HDF5 else _STILL_S
        )
        if now - self.since < max(still_s, self.still_s) or now < self._next_try:
            return None
        self._next_try = now + _AGAIN_S
        try:
            source = self._opened(kind, detector, first)
        except (StemscaleError, OSError) as error:  # gone this moment, or half of it there
            self.why = str(error)
            return None
        return source if signature(self.path) == found else None

    def _opened(
        self, kind: str, detector: str | None, first: FrameSource | None
    ) -> FrameSource | None:
        alike = first.like(self.path) if isinstance(first, TiffSource) else None
        if alike is not None:
            return alike
        if kind in (".tif", ".tiff") and detector is None:
            found = TiffSource(self.path, dialects=False)
            if found.n_channels == 1:
                return found
        if kind in HDF5:
            if not hdf5_is_closed(self.path):
                self.why = "is open for writing, or was not closed properly"
                return None
            check_hdf5([self.path])
        source = open_one(self.path, detector=detector)
        if kind not in _CHECKED:
            for i in range(source.n_frames):  # what is missing at the end is noticed here
                source.read(i, i + 1)
        return source
