"""Frames out of a store, into one file for other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stemscale.errors import SettingsError, StoreConflictError, StoreError
from stemscale.exporting.series import open_series
from stemscale.store import AcquisitionStore
from stemscale.whole_file import whole_file

_KINDS = (".hspy", ".zspy", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportProgress:
    """How far an export has come.

    Attributes
    ----------
    fov : str
        Field of view.
    frames : int
        Frames just written.
    frames_in_all : int
        Frames of the series.
    """

    fov: str
    frames: int
    frames_in_all: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedSeries:
    """What was written.

    Attributes
    ----------
    path : Path
        The file or, for ``.zspy``, the folder.
    fov : str
        Field of view.
    group : str
        Path of the group in the store.
    n_frames : int
        Frames.
    shape : tuple of int
        (n_y, n_x).
    dtype : str
        Of a pixel, as in the store.
    dialect : str
        "HyperSpy"; "ImageJ" or "OME" for TIFF.
    unwritten_frames : int
        Filtered frames that are not made yet, or failed: all fill value.
    """

    path: Path
    fov: str
    group: str
    n_frames: int
    shape: tuple[int, int]
    dtype: str
    dialect: str
    unwritten_frames: int = 0


def export(
    store: str | Path,
    to: str | Path,
    *,
    fov: str | None = None,
    filtered: str | None = None,
    slow: bool = False,
    overwrite: bool = False,
    listener: Callable[[ExportProgress], None] = lambda _: None,
) -> ExportedSeries:
    """Write the frames of one FOV into a file, block by block.

    Parameters
    ----------
    store : str or Path
        Folder of the store; only read.
    to : str or Path
        ``.hspy`` or ``.zspy`` for HyperSpy, ``.tif`` for ImageJ.
    fov : str, optional
        Field of view; may be left out where there is only one.
    filtered : str, optional
        Name of filtered frames instead of those recorded; pixels that were not seen have the
        fill value of the store.
    slow : bool
        The slow scan instead.
    overwrite : bool
        Whether to replace what is there.
    listener : callable
        Told of each block.

    Returns
    -------
    ExportedSeries

    Raises
    ------
    SettingsError
        If the extension is another, the place is inside the store, TIFF has no such pixels, or it
        is not clear what is meant.
    StoreError
        If the frames are not there, or the file cannot be written.
    StoreConflictError
        If the file exists, or a folder that is no export.
    DamagedDataError
        If a block is damaged or missing; no file is left behind.

    Examples
    --------
    >>> import stemscale
    >>> import tifffile
    >>> written = stemscale.export("run.zarr", "fov01.tif", filtered="standard")
    >>> tifffile.imread(written.path).shape, written.dialect
    ((24, 64, 64), 'ImageJ')
    """
    path = Path(to)
    kind = path.suffix.lower()
    source = AcquisitionStore(store)
    _check_target(path, source, overwrite)
    series = open_series(source, fov, filtered, slow)

    def tell(frames: int) -> None:
        listener(ExportProgress(fov=series.fov, frames=frames, frames_in_all=series.n_frames))

    dialect = "HyperSpy"
    try:
        with whole_file(path) as made:  # nobody takes half a series for all of it
            if kind == ".hspy":
                from stemscale.exporting.hyperspy_files import write_hspy

                write_hspy(series, made, tell)
            elif kind == ".zspy":
                from stemscale.exporting.hyperspy_files import write_zspy

                write_zspy(series, made, tell)
            else:
                from stemscale.exporting.tiff_files import write_tiff

                dialect = write_tiff(series, made, tell)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error}): choose another place") from error
    return ExportedSeries(
        path=path,
        fov=series.fov,
        group=series.group,
        n_frames=series.n_frames,
        shape=series.settings.shape,
        dtype=str(series.dtype),
        dialect=dialect,
        unwritten_frames=series.unwritten_frames,
    )


def _check_target(path: Path, store: AcquisitionStore, overwrite: bool) -> None:
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise SettingsError(f"--to {path} must end in one of {' '.join(_KINDS)}")
    at = store.path
    if isinstance(at, Path) and path.resolve().is_relative_to(at.resolve()):
        raise SettingsError(f"--to {path} lies inside the store: choose a place outside of it")
    if not path.exists():
        return
    if not overwrite:
        raise StoreConflictError(f"{path} exists: name another file, or replace it by --overwrite")
    if path.is_dir() and not (kind == ".zspy" and (path / ".zgroup").is_file()):
        raise StoreConflictError(f"{path} is a folder of something else: name another file")
