"""What is to be ingested, opened and checked before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscale.acquisition import (
    FrameColumn,
    Image,
    ScanSettings,
    check_name,
    check_pixels,
    check_same_view,
    frame_coordinates,
)
from stemscale.errors import InputFileError
from stemscale.ingestion.corrected import corrected_source
from stemscale.ingestion.files import content_hash
from stemscale.ingestion.frame_log import read_frame_log
from stemscale.ingestion.heating_log import join_log, read_log
from stemscale.ingestion.joined import JoinedSource
from stemscale.ingestion.manifest import ManifestRow
from stemscale.ingestion.readers import ALL, input_files, open_series, plain_name
from stemscale.ingestion.source import FrameSource


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestOptions:
    """How files are to be read, the same for all FOVs of an ingest.

    Attributes
    ----------
    detector : str or None
        Which signal, where a file has several; "all" for a FOV of each.
    rapid_settings, slow_settings : mapping
        Scan settings that replace what the files say; None leaves it.
    log : Path or None
        Log of a heating holder, joined by time.
    log_offset_s : float
        From the first sample of the log to the first frame [s].
    log_how : {"linear", "nearest"}
        How a frame gets its values from the samples around it.
    """

    detector: str | None = None
    rapid_settings: Mapping[str, Any] = field(default_factory=dict)
    slow_settings: Mapping[str, Any] = field(default_factory=dict)
    log: Path | None = None
    log_offset_s: float = 0.0
    log_how: str = "linear"


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
class LogReport:
    """What joining a log came to.

    Attributes
    ----------
    file : str
        The log.
    columns : list of str
        What the frames got from it.
    largest_gap_s : float
        Longest time between samples that a frame's values were taken across [s].
    outside : int
        Frames before the first or after the last sample; their values are missing.
    """

    file: str
    columns: list[str]
    largest_gap_s: float
    outside: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FovPlan:
    """One FOV, ready to be written.

    Attributes
    ----------
    fov : str
        Its name.
    source : FrameSource
        The rapid frames.
    per_frame : mapping of str to FrameColumn
        From the files, the log and the table of per-frame metadata.
    slow : SlowScan or None
        Its slow scan.
    use : str or None
        "train" or "test".
    files : list of Path
        Of the rapid frames, as they were given.
    side_files : list of Path
        Log and table.
    options : IngestOptions
        How they were read.
    together : list of str
        FOVs that other detectors recorded in the same scan, this one among them.
    log : LogReport or None
        What joining the log came to.
    left_out : mapping of str to mapping
        By file, which of its signals are no series of real images, and why.
    """

    fov: str
    source: FrameSource
    per_frame: Mapping[str, FrameColumn]
    slow: SlowScan | None
    use: str | None
    files: list[Path]
    side_files: list[Path]
    options: IngestOptions
    together: list[str]
    log: LogReport | None
    left_out: Mapping[str, Mapping[str, str]]

    def sha256(self, *without: str) -> str:
        """Name what goes into the store by its content: reads all files but the slow scan.

        Parameters
        ----------
        *without : str
            Names of files in the folders that did not go in.

        Returns
        -------
        str
        """
        how = f"{self.source.detector} {self.options.log_offset_s} {self.options.log_how}"
        return content_hash([*self.files, *self.side_files], how, *without)


def plan_fovs(
    row: ManifestRow,
    more_rapid: Sequence[Path],
    options: IngestOptions,
    *,
    opened: Sequence[JoinedSource] | None = None,
) -> list[FovPlan]:
    """Open and check all files of one FOV, or of one for each detector.

    Parameters
    ----------
    row : ManifestRow
        What to ingest.
    more_rapid : sequence of Path
        Files that continue the series.
    options : IngestOptions
        How to read them.
    opened : sequence of JoinedSource, optional
        The series in these files, where they are open already.

    Returns
    -------
    list of FovPlan

    Raises
    ------
    InputFileError
        If a file cannot be read or is not what it should be.
    SeriesError
        If the slow scan shows another field of view, or has pixels that are no numbers.
    """
    files = [row.rapid, *more_rapid]
    if opened is None:
        named = [f for f in (row.slow, row.frame_metadata, options.log) if f is not None]
        opened = open_series(input_files(files, leave_out=named), detector=options.detector)
    joined = list(opened)
    slow_scans = {} if row.slow is None else _open_slow(row.slow, row, options, joined)
    names = _names(row.fov, joined)
    return [
        _plan(row, files, options, one, name, slow_scans.get(one.detector), names)
        for one, name in zip(joined, names, strict=True)
    ]


def _plan(
    row: ManifestRow,
    files: list[Path],
    options: IngestOptions,
    joined: JoinedSource,
    name: str,
    slow: SlowScan | None,
    together: list[str],
) -> FovPlan:
    source = corrected_source(joined, options.rapid_settings)
    if slow is not None:
        check_same_view(source.settings, slow.settings, slow_source=str(row.slow))
    per_frame = dict(source.per_frame)
    table = (
        {} if row.frame_metadata is None else read_frame_log(row.frame_metadata, source.n_frames)
    )
    report = None
    if options.log is not None:
        times = _frame_times(source, {**per_frame, **table}, options.log)
        found = join_log(
            read_log(options.log), times, offset_s=options.log_offset_s, how=options.log_how
        )
        per_frame |= found.columns
        report = LogReport(
            file=options.log.name,
            columns=sorted(found.columns),
            largest_gap_s=found.largest_gap_s,
            outside=found.outside,
        )
    return FovPlan(
        fov=name,
        source=source,
        per_frame=per_frame | table,
        slow=slow,
        use=row.use,
        files=files,
        side_files=[f for f in (options.log, row.frame_metadata) if f is not None],
        options=options,
        together=together if len(together) > 1 else [],
        log=report,
        left_out=joined.left_out,
    )


def _names(fov: str, joined: Sequence[JoinedSource]) -> list[str]:
    if len(joined) == 1:
        return [fov]
    names = [f"{fov}_{plain_name(j.detector, otherwise='signal')}" for j in joined]
    return [check_name(n, kind="FOV") for n in names]


def _frame_times(
    source: FrameSource, per_frame: Mapping[str, FrameColumn], log: Path
) -> Any:  # shape (n_frames,) [s]
    coordinates = frame_coordinates(source.settings, per_frame, source.n_frames)
    if "time" not in coordinates:
        raise InputFileError(
            f"{log} cannot be joined: {source.name} does not say when its frames were taken; "
            f"give --dwell-time (and --flyback), or times with --frame-metadata"
        )
    return coordinates["time"][1]


def _open_slow(
    file: Path, row: ManifestRow, options: IngestOptions, rapid: Sequence[JoinedSource]
) -> dict[str, SlowScan]:
    """Read the slow scan of each detector."""
    several = len(rapid) > 1
    opened = open_series([file], detector=ALL)
    if options.detector not in (None, ALL) and len(opened) > 1:
        opened = open_series([file], detector=options.detector)
    if len(opened) > 1 and not several:
        open_series([file])  # says what there is to choose from
    if not several:
        return {rapid[0].detector: _read_slow(opened[0], file, row, options)}
    names = {r.detector for r in rapid}
    found = {s.detector: s for s in opened if s.detector in names}
    if not found:
        raise InputFileError(
            f"{file} has {', '.join(s.detector or '(no name)' for s in opened)}, but the rapid "
            f"frames {', '.join(sorted(names))}: give the slow scan of one of these detectors"
        )
    return {name: _read_slow(s, file, row, options) for name, s in found.items()}


def _read_slow(
    opened: FrameSource, file: Path, row: ManifestRow, options: IngestOptions
) -> SlowScan:
    source = corrected_source(opened, options.slow_settings)
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
        relation=row.slow_is,
        file=file.name,
        sha256=content_hash([file], source.detector),
    )
