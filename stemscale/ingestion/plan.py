"""What is to be ingested, opened and checked before anything is written."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import (
    Image,
    ScanSettings,
    check_name,
    check_pixels,
    check_same_view,
)
from stemscale.errors import InputFileError
from stemscale.ingestion.frame_log import read_frame_log
from stemscale.ingestion.manifest import ManifestRow
from stemscale.ingestion.readers import open_source
from stemscale.ingestion.source import CorrectedSource, FrameSource, JoinedSource


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowScan:
    """A slow scan, read and checked.

    Attributes
    ----------
    image : ndarray, shape (y, x)
        As recorded.
    settings : ScanSettings
        Its own.
    relation : str
        "same" or "after".
    file, sha256 : str
        Where it came from.
    """

    image: Image
    settings: ScanSettings
    relation: str
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FovPlan:
    """One FOV, ready to be written.

    Attributes
    ----------
    fov : str
        Its name.
    source : FrameSource
        The rapid frames.
    per_frame : mapping of str to ndarray, shape (n_frames,)
        From the files and the table of per-frame metadata.
    slow : SlowScan or None
        Its slow scan.
    use : str or None
        "train" or "test".
    files : list of str
        Names of the files of the rapid frames.
    sha256 : str
        Over the contents of all files but the slow scan.
    """

    fov: str
    source: FrameSource
    per_frame: Mapping[str, NDArray[np.float64]]
    slow: SlowScan | None
    use: str | None
    files: list[str]
    sha256: str


def plan_fov(
    row: ManifestRow,
    more_rapid: Sequence[Path] = (),
    *,
    detector: str | None = None,
    rapid_settings: Mapping[str, Any],
    slow_settings: Mapping[str, Any],
) -> FovPlan:
    """Open and check all files of one FOV.

    Parameters
    ----------
    row : ManifestRow
        What to ingest.
    more_rapid : sequence of Path
        Files that continue the series.
    detector : str or None
        Which signal, where a file has several.
    rapid_settings, slow_settings : mapping
        Scan settings that replace what the files say; None leaves it.

    Returns
    -------
    FovPlan

    Raises
    ------
    InputFileError
        If a file cannot be read or is not what it should be.
    SeriesError
        If the slow scan shows another field of view, or has pixels that are no numbers.
    """
    files = [row.rapid, *more_rapid]
    joined = JoinedSource([open_source(f, detector=detector) for f in files])
    source = CorrectedSource(joined, rapid_settings)
    per_frame = dict(source.per_frame)
    tables = [row.frame_metadata] if row.frame_metadata else []
    for table in tables:
        per_frame |= read_frame_log(table, source.n_frames)
    slow = None
    if row.slow is not None:
        slow = _read_slow(row.slow, row.slow_is, detector, slow_settings)
        check_same_view(source.settings, slow.settings, slow_source=str(row.slow))
    return FovPlan(
        fov=row.fov,
        source=source,
        per_frame=per_frame,
        slow=slow,
        use=row.use,
        files=[f.name for f in files],
        sha256=_content_hash([*files, *tables]),
    )


def fov_name(rapid: Path) -> str:
    """Make a FOV name from a file name: ``fov01_rapid.tif`` gives ``fov01``."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", rapid.stem).strip("_")
    return check_name(re.sub(r"_rapid$", "", stem)[:64] or "fov", kind="FOV")


def _read_slow(
    file: Path, relation: str, detector: str | None, settings: Mapping[str, Any]
) -> SlowScan:
    source = CorrectedSource(open_source(file, detector=detector), settings)
    if source.n_frames != 1:
        raise InputFileError(
            f"{file} holds {source.n_frames} images, but a slow scan is one: "
            f"export the one to be used, or average them"
        )
    frames = source.read(0, 1)
    check_pixels(frames, source=str(file))
    return SlowScan(
        image=frames[0],
        settings=source.settings,
        relation=relation,
        file=file.name,
        sha256=_content_hash([file]),
    )


def _content_hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(2**22):
                digest.update(piece)
    return digest.hexdigest()
