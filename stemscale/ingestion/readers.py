"""Which reader opens which file."""

from pathlib import Path

from stemscale.errors import InputFileError
from stemscale.ingestion.rosetta import RosettaSource, readable_extensions
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.tiff import TiffSource


def open_source(path: Path, *, detector: str | None = None) -> FrameSource:
    """Open a microscope file as a series of frames.

    Parameters
    ----------
    path : Path
        A file of one of `readable_extensions`.
    detector : str or None
        Which signal, where the file has several.

    Returns
    -------
    FrameSource
        One image is a series of one frame.

    Raises
    ------
    InputFileError
        If there is no such file, no reader for it, or it cannot be read.
    """
    if not path.is_file():
        raise InputFileError(f"{path} does not exist: check the path")
    if path.suffix.lower() not in readable_extensions():
        listed = " ".join(readable_extensions())
        raise InputFileError(f"{path} has no reader: stemscale reads {listed}")
    if path.suffix.lower() in (".tif", ".tiff"):
        return TiffSource(path)
    return RosettaSource(path, detector)
