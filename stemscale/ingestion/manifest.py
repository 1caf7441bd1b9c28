"""A list of the FOVs of an acquisition, as a CSV file beside their microscope files."""

from dataclasses import dataclass
from pathlib import Path

from stemscale.acquisition import check_name
from stemscale.errors import InputFileError
from stemscale.ingestion.frame_log import read_table

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
    if slow_is not in ("same", "after"):
        raise InputFileError(f"{where}: slow_is is {slow_is!r}, but must be same or after")
    if use not in (None, "train", "test"):
        raise InputFileError(f"{where}: use is {use!r}, but must be train or test")
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
