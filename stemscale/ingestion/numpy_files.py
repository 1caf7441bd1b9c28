"""NPY files as series of frames, mapped into memory."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stemscale.acquisition import FrameColumn, Frames, ScanSettings, check_dtype
from stemscale.errors import InputFileError, one_line
from stemscale.ingestion.source import Signals


class NpySource:
    """An array (frame, y, x) or (y, x) in an NPY file.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Where the NPY part begins, for files that hold others [byte].

    Raises
    ------
    InputFileError
        If it is no NPY file of numbers, truncated, or has another number of axes.
    SeriesError
        If its numbers are no intensities.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.name = path.name
        self.detector = ""
        self._path = path
        try:
            with warnings.catch_warnings(), path.open("rb") as stream:
                warnings.simplefilter("ignore")  # about headers that Python 2 wrote
                stream.seek(offset)
                version = np.lib.format.read_magic(stream)
                header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, self._fortran, dtype = header(stream)
                self._offset = stream.tell()
            if dtype.hasobject:
                raise ValueError("it holds Python objects")
            needed = self._offset + dtype.itemsize * int(np.prod(shape, dtype=object))
            if needed > path.stat().st_size:
                raise ValueError(f"it is truncated: {path.stat().st_size} bytes of {needed}")
        except Exception as error:  # the header is Python text, parsed with all that may go wrong
            raise InputFileError(
                f"{path} cannot be read as an NPY file ({one_line(error)}): write it "
                f"again with numpy.save"
            ) from error
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise InputFileError(
                f"{path} holds an array of shape {shape}: it must be (y, x) or (frame, y, x)"
            )
        check_dtype(dtype, source=path.name)
        self._stored, self._shape = dtype, shape
        self.n_frames = int(shape[0]) if len(shape) == 3 else 1
        self.dtype = dtype.newbyteorder("=")
        self.settings = ScanSettings(n_x=int(shape[-1]), n_y=int(shape[-2]))
        self.per_frame: Mapping[str, FrameColumn] = {}
        self.start_time: int | None = None
        self.original_metadata: Mapping[str, Any] = {}

    def read(self, start: int, stop: int) -> Frames:
        """Read frames ``start`` to ``stop`` (exclusive), shape (frame, y, x).

        Raises
        ------
        InputFileError
            If the file ends before.
        """
        try:
            mapped = np.memmap(
                self._path,
                dtype=self._stored,
                mode="r",
                offset=self._offset,
                shape=self._shape,
                order="F" if self._fortran else "C",
            )
        except (OSError, ValueError) as error:
            raise InputFileError(
                f"{self._path}: frames {start} to {stop - 1} cannot be read ({error}): copy the "
                f"file again"
            ) from error
        frames = mapped[None] if mapped.ndim == 2 else mapped
        return np.array(frames[start:stop], dtype=self.dtype, order="C")


def signals(path: Path) -> Signals:
    """List the one series of an NPY file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Signals

    Raises
    ------
    InputFileError, SeriesError
        As for `NpySource`.
    """
    return Signals([NpySource(path)], left_out={})
