"""A list of the FOVs of an acquisition, as a CSV file beside their microscope files."""

import re
from dataclasses import dataclass
from pathlib import Path

from stemscale.acquisition import check_name
from stemscale.errors import InputFileError, SettingsError
from stemscale.ingestion.frame_log import read_table
from stemscale.ingestion.readers import plain_name

SLOW_IS = ("same", "after")
"""What a slow scan may be to the series: of the same still FOV, or taken after it."""

USES = ("train", "test")
"""What a FOV may be kept for."""

_COLUMNS = ("fov", "rapid", "slow", "slow_is", "frame_metadata", "use")


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """One FOV to ingest.

    Attributes
    ----------
    fov : str
        Its name.
    rapid : Path
        File of the rapid frames.
    slow : Path or None
        File of the slow scan.
    slow_is : str
        "same": of the same still FOV; "after": taken after an in-situ series.
    frame_metadata : Path or None
        Table of per-frame metadata.
    use : str or None
        "train" or "test".
    """

    fov: str
    rapid: Path
    slow: Path | None = None
    slow_is: str = "same"
    frame_metadata: Path | None = None
    use: str | None = None


def row_of(
    rapid: Path,
    *,
    fov: str | None,
    slow: str | Path | None,
    slow_is: str,
    frame_metadata: str | Path | None,
    use: str | None,
) -> ManifestRow:
    """Say of one FOV what a manifest would say of it.

    Parameters
    ----------
    rapid : Path
        File of the rapid frames.
    fov : str or None
        Its name; None for that of the file.
    slow, slow_is, frame_metadata, use
        As in `ManifestRow`.

    Returns
    -------
    ManifestRow

    Raises
    ------
    SettingsError
        If a FOV name cannot be used, or a value is not one of its words.
    """
    if slow_is not in SLOW_IS:
        raise SettingsError(f"--slow-is is {slow_is!r}, but must be {' or '.join(SLOW_IS)}")
    if use not in (None, *USES):
        raise SettingsError(f"--use is {use!r}, but must be {' or '.join(USES)}")
    return ManifestRow(
        fov=fov_name(rapid) if fov is None else check_name(fov, kind="FOV"),
        rapid=rapid,
        slow=None if slow is None else Path(slow),
        slow_is=slow_is,
        frame_metadata=None if frame_metadata is None else Path(frame_metadata),
        use=use,
    )


def fov_name(rapid: Path) -> str:
    """Make a FOV name from a file name: ``fov01_rapid.tif`` gives ``fov01``."""
    name = re.sub(r"_rapid$", "", plain_name(rapid.stem, otherwise="fov"))
    return check_name(name, kind="FOV")


def read_manifest(path: Path) -> list[ManifestRow]:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        CSV with the columns fov, rapid, slow[, slow_is][, frame_metadata][, use]; paths are
        relative to the CSV and stay below its folder.

    Returns
    -------
    list of ManifestRow

    Raises
    ------
    InputFileError
        If a column is missing or unknown, a FOV is named twice, a value is not one of its words,
        or a path leads out of the folder.
    SettingsError
        If a FOV name cannot be used.
    """
    rows = read_table(path)
    unknown = set(rows[0]) - set(_COLUMNS)
    missing = {"fov", "rapid"} - set(rows[0])
    if unknown or missing:
        raise InputFileError(
            f"{path}: columns must be fov,rapid,slow[,slow_is][,frame_metadata][,use]; "
            f"missing: {', '.join(sorted(missing)) or 'none'}, "
            f"unknown: {', '.join(sorted(unknown)) or 'none'}"
        )
    found = [_row(path, number, row) for number, row in enumerate(rows, start=2)]
    names = [row.fov for row in found]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputFileError(f"{path} names FOV {', '.join(twice)} more than once")
    return found


def _row(path: Path, number: int, row: dict[str, str]) -> ManifestRow:
    where = f"{path}: line {number}"
    slow_is = row.get("slow_is") or "same"
    use = row.get("use") or None
    if slow_is not in SLOW_IS:
        raise InputFileError(f"{where}: slow_is is {slow_is!r}, but must be {' or '.join(SLOW_IS)}")
    if use not in (None, *USES):
        raise InputFileError(f"{where}: use is {use!r}, but must be {' or '.join(USES)}")
    rapid = _inside(path, number, row["rapid"])
    if rapid is None:
        raise InputFileError(f"{where}: no rapid file is named")
    return ManifestRow(
        fov=check_name(row["fov"], kind="FOV"),
        rapid=rapid,
        slow=_inside(path, number, row.get("slow", "")),
        slow_is=slow_is,
        frame_metadata=_inside(path, number, row.get("frame_metadata", "")),
        use=use,
    )


def _inside(manifest: Path, number: int, name: str) -> Path | None:
    if not name:
        return None
    root = manifest.parent.resolve()
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise InputFileError(
            f"{manifest}: line {number}: {name} leads out of the manifest's folder: put the "
            f"manifest into the folder above all its files"
        )
    return file
