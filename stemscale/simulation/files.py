"""Files as a microscope leaves them, written one frame at a time."""

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from stemscale.errors import StoreConflictError
from stemscale.simulation.settings import SimulationSettings

MANIFEST = "fovs.csv"
TRUTH = "truth.zarr"
_OURS = (
    "fov*_rapid.tif",
    "fov*_rapid.mrc",
    "fov*_rapid.mrc.mdoc",
    "fov*_rapid/frame_*.tif",
    "fov*_slow.tif",
    "fov*_frames.csv",
    MANIFEST,
)


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Make an empty folder, or clear it of an earlier simulation.

    Parameters
    ----------
    folder : Path
    overwrite : bool
        Delete the files of an earlier simulation, and nothing else.

    Raises
    ------
    StoreConflictError
        If the folder is a file, or holds something and ``overwrite`` is not asked for.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreConflictError(f"{folder} is a file: name a folder to simulate into")
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise StoreConflictError(
            f"{folder} is not empty: name a new folder, or overwrite the simulation in it"
        )
    for pattern in _OURS:
        for path in folder.glob(pattern):
            path.unlink()
    for path in folder.glob("fov*_rapid"):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if (folder / TRUTH).exists():
        shutil.rmtree(folder / TRUTH)


def write_tiff(
    path: Path | IO[bytes],
    pages: Iterable[NDArray[np.uint16]],
    shape: tuple[int, int, int],
    settings: SimulationSettings,
    *,
    dwell_ns: float,
) -> None:
    """Write an ImageJ TIFF of 16 bit, one page a frame.

    Parameters
    ----------
    path : Path or binary file
    pages : iterable of ndarray of uint16, shape (y, x)
        Taken one by one, so that a series of any length needs the memory of one frame.
    shape : tuple of int
        (frame, y, x).
    settings : SimulationSettings
        For pixel size and flyback.
    dwell_ns : float
        Of these frames [ns].
    """
    n_frames, n_y, n_x = shape
    line_s = n_x * dwell_ns * 1e-9 + settings.flyback_us * 1e-6
    facts = {
        "dwell_time_ns": f"{dwell_ns:g}",
        "flyback_time_us": f"{settings.flyback_us:g}",
        "detector": "BF",
        "instrument": "stemscale simulation",
    }
    per_nm = 1.0 / settings.pixel_size_nm
    metadata: dict[str, Any] = {
        "axes": "TYX" if n_frames > 1 else "YX",
        "unit": "nm",
        "finterval": n_y * line_s,
        "Info": "\n".join(f"{name}={value}" for name, value in facts.items()),
    }
    with tifffile.TiffWriter(path, imagej=True) as tiff:
        tiff.write(
            iter(pages),
            shape=shape if n_frames > 1 else (n_y, n_x),
            dtype=np.uint16,
            photometric="minisblack",
            resolution=(per_nm, per_nm),
            metadata=metadata,
            extratags=_dm_tags(settings.pixel_size_nm, n_y * line_s),
        )


def _dm_tags(pixel_size_nm: float, interval_s: float) -> list[tuple[int, str, int, Any, bool]]:
    """Say pixel size and interval once more as DigitalMicrograph does.

    RosettaSciIO takes scales from ImageJ's metadata, but no other unit than the micron.
    """
    axes = ((pixel_size_nm, "nm"), (pixel_size_nm, "nm"), (interval_s, "s"))
    units = [(65003 + i, "s", 0, unit, False) for i, (_, unit) in enumerate(axes)]
    return units + [(65009 + i, "d", 1, scale, False) for i, (scale, _) in enumerate(axes)]


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
