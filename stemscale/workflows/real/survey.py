"""Which files of a folder hold series, what these are like, and why the others are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, ScanSettings, check_pixels
from stemscale.distortion import integrate_frames
from stemscale.errors import DistortionError, StemscaleError
from stemscale.ingestion import FrameSource, fov_name
from stemscale.ingestion.folders import path_order
from stemscale.ingestion.hdf5_check import check_hdf5
from stemscale.ingestion.readers import ALL, open_series, plain_name, readable_extensions
from stemscale.ingestion.source import name_apart
from stemscale.store import frames_per_block

LEAST_FRAMES, LEAST_PX = 2, 16
STILL_PX = 1.0  # a scene that moves by less over a series is left where it is
_LEAST_ALIGNED_PX = 64  # a side: smaller frames have too few pixels to outvote the noise
_ONE_ARRAY = (".zarr", ".zspy")  # folders that are one file to a reader


@dataclass(frozen=True, kw_only=True, slots=True)
class RealSeries:
    """A series in a file.

    Attributes
    ----------
    fov : str
        Name it gets in the store.
    file : Path
    detector : str or None
        Which signal of the file, where it holds several.
    n_frames : int
    settings : ScanSettings
        As far as the file tells.
    moved_px : float or None
        How far apart the scene lies in two frames, at most, along y or x [px]; None where the
        frames are too small, or show too little, to tell.
    repeats : int
        Frames that are, pixel by pixel, the one before.
    levels : int or None
        Steps from the darkest to the brightest pixel of all frames; None where pixels are no whole
        counts.
    """

    fov: str
    file: Path
    detector: str | None
    n_frames: int
    settings: ScanSettings
    moved_px: float | None
    repeats: int
    levels: int | None

    @property
    def drifts(self) -> bool:
        """Whether its frames are to be brought onto one grid."""
        return self.moved_px is not None and self.moved_px > STILL_PX


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A file, or one signal of it, that is no series.

    Attributes
    ----------
    file : Path
    signal : str
        Empty for the whole file.
    why : str
    """

    file: Path
    signal: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What there is in a folder.

    Attributes
    ----------
    folder : Path
    series : tuple of RealSeries
    left_out : tuple of LeftOut
    """

    folder: Path
    series: tuple[RealSeries, ...]
    left_out: tuple[LeftOut, ...]


def survey(folder: Path) -> Survey:
    """Look at all files of a folder, and of those below it, that there is a reader for.

    Parameters
    ----------
    folder : Path
        Every file is a series of its own: single images are not joined.

    Returns
    -------
    Survey
        In natural order of the paths. Each series has been read to its end, so that damaged files
        are left out here, and not found out later.
    """
    series: list[RealSeries] = []
    left_out: list[LeftOut] = []
    for file in microscope_files(folder):
        try:
            check_hdf5([file])
            signals = open_series([file], detector=ALL)
        except StemscaleError as error:
            left_out.append(LeftOut(file=file, signal="", why=str(error)))
            continue
        for what, why in signals[0].left_out.get(str(file), {}).items():
            left_out.append(LeftOut(file=file, signal=what, why=why))
        several = len(signals) > 1
        for source in signals:
            why = _too_little(source)
            if not why:
                name = _name(file, source.detector if several else "", series)
                try:
                    series.append(_look(file, source, name, several=several))
                except StemscaleError as error:
                    why = str(error)
            if why:
                signal = source.detector if several else ""
                left_out.append(LeftOut(file=file, signal=signal, why=why))
    return Survey(folder=folder, series=tuple(series), left_out=tuple(left_out))


def microscope_files(folder: Path) -> list[Path]:
    """List the files, and the folders that are one array, that there is a reader for.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Path
        Without hidden ones, and without ``.ser`` files that an ``.emi`` file beside them lists.
    """
    readable = readable_extensions()
    found = []
    for path in sorted(folder.rglob("*"), key=lambda p: path_order(p.relative_to(folder))):
        parts = path.relative_to(folder).parts
        inside = any(Path(part).suffix.lower() in _ONE_ARRAY for part in parts[:-1])
        listed = path.suffix.lower() == ".ser" and _emi_of(path).is_file()
        is_one = path.is_file() or path.suffix.lower() in _ONE_ARRAY
        hidden = any(part.startswith(".") for part in parts)
        if path.suffix.lower() in readable and is_one and not (inside or listed or hidden):
            found.append(path)
    return found


def _emi_of(ser: Path) -> Path:
    """Name the file that describes ``scan_1.ser``: ``scan.emi``."""
    return ser.with_name(f"{ser.stem.rpartition('_')[0]}.emi")


def _too_little(source: FrameSource) -> str:
    n_y, n_x = source.settings.shape
    if source.n_frames < LEAST_FRAMES:
        return f"a single image of {n_y} × {n_x} px"
    if min(n_y, n_x) < LEAST_PX:
        return f"{source.n_frames} frames of {n_y} × {n_x} px: smaller than {LEAST_PX} px"
    return ""


def _name(file: Path, signal: str, taken: Sequence[RealSeries]) -> str:
    name = fov_name(file)
    if signal:
        name = f"{name}_{plain_name(signal, otherwise='signal')}"
    return name_apart(name, [one.fov for one in taken])


def _look(file: Path, source: FrameSource, name: str, *, several: bool) -> RealSeries:
    frames = _Reading(source)
    try:
        moved = _moved(integrate_frames(frames).shifts)
    except DistortionError:  # no contrast at all
        moved = None
    return RealSeries(
        fov=name,
        file=file,
        detector=source.detector if several else None,
        n_frames=source.n_frames,
        settings=source.settings,
        moved_px=moved if min(source.settings.shape) >= _LEAST_ALIGNED_PX else None,
        repeats=frames.repeats,
        levels=frames.levels,
    )


class _Reading:
    """Reads a series once, block by block, and looks at what it reads."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._darkest, self._brightest = float("inf"), float("-inf")
        self.repeats = 0  # of the frame before

    @property
    def levels(self) -> int | None:
        whole = self._source.dtype.kind in "iu"
        return int(self._brightest - self._darkest) if whole else None

    def __iter__(self) -> Iterator[Frames]:
        source, before = self._source, None
        size = frames_per_block(source.n_frames, *source.settings.shape)
        for start in range(0, source.n_frames, size):
            frames = source.read(start, min(start + size, source.n_frames))
            check_pixels(frames, source=source.name, first_frame=start)
            for frame in frames:
                self.repeats += before is not None and np.array_equal(before, frame)
                before = frame
            self._darkest = min(self._darkest, float(frames.min()))
            self._brightest = max(self._brightest, float(frames.max()))
            yield frames


def _moved(shifts: NDArray[np.float64]) -> float | None:
    known = shifts[np.isfinite(shifts).all(axis=1)]
    return float(np.ptp(known, axis=0).max()) if len(known) > 1 else None
