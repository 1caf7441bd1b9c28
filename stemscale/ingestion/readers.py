"""Which reader opens which file or folder, and which of its signals is meant."""

import importlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stemscale.acquisition import known_column
from stemscale.errors import InputFileError
from stemscale.ingestion import velox
from stemscale.ingestion.folders import files_of, times_in_names
from stemscale.ingestion.joined import JoinedSource
from stemscale.ingestion.source import FrameSource, Signals

ALL = "all"
"""What ``detector`` is to be for every signal of a file."""


class _Reader(NamedTuple):
    """A module that opens files with these extensions, if they are what it asks for."""

    module: str
    extensions: tuple[str, ...]
    opens: Callable[[Path], bool] = lambda _: True


def _is_described(path: Path) -> bool:
    return path.with_suffix(".json").is_file()


_READERS = (
    _Reader("tiff", (".tif", ".tiff")),
    _Reader("ser", (".ser", ".emi")),
    _Reader("velox", (".emd",), velox.is_velox),
    _Reader("nion", (".ndata1", ".h5")),
    _Reader("nion", (".npy",), _is_described),
    _Reader("numpy_files", (".npy",)),
)
"""The first that opens a file does; what none of them opens is left to RosettaSciIO."""


def readable_extensions() -> list[str]:
    """Extensions of the files and folders that can be ingested."""
    from stemscale.ingestion import rosetta

    ours = {extension for reader in _READERS for extension in reader.extensions}
    return sorted({*rosetta.readable_extensions(), *ours, ".zarr"})


def open_series(paths: Sequence[Path], *, detector: str | None = None) -> list[JoinedSource]:
    """Open files and folders as one series, or as one for each detector.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders of one series, in order.
    detector : str or None
        Which signal, where a file has several; "all" for a series of each.

    Returns
    -------
    list of JoinedSource
        One, or with "all" one for each signal of the first file. Each says what its files hold
        beside series of real images, unless one signal was asked for by its name.

    Raises
    ------
    InputFileError
        If there is no such file, no reader for it, it cannot be read, or it is not clear which
        of its signals is meant.
    """
    files = input_files(paths)
    first = _signals(files[0])
    if len(first) == 1 and detector in (None, ALL):
        wanted: list[str | None] = [None]
    elif detector == ALL:
        wanted = [s.detector for s in first]
    else:
        wanted = [_choose(first, files[0], detector).detector]
    found = []
    for name in wanted:
        left_out: dict[str, dict[str, str]] = {}
        joined = JoinedSource(_parts(files, first, name, left_out))
        joined.left_out = left_out if detector in (None, ALL) else {}
        times = times_in_names(files)
        if times is not None and joined.n_frames == len(files) and "time" not in joined.per_frame:
            joined.per_frame = {**joined.per_frame, "time": known_column("time", times)}
        found.append(joined)
    return found


def _parts(
    files: Sequence[Path], first: Signals, name: str | None, left_out: dict[str, dict[str, str]]
) -> Iterator[FrameSource]:
    for file in files:
        signals = first if file == files[0] else _signals(file)
        if signals.left_out:
            left_out[str(file)] = signals.left_out
        yield _choose(signals, file, name)


def open_one(path: Path, *, detector: str | None = None) -> FrameSource:
    """Open the signal that is meant in one file.

    Raises
    ------
    InputFileError, SeriesError
        As for `open_series`.
    """
    return _choose(_signals(path), path, detector)


def input_files(paths: Sequence[Path], *, leave_out: Collection[Path] = ()) -> list[Path]:
    """List files and those in folders, in order.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    leave_out : collection of Path
        Files that are no frames, though they may lie in one of the folders.

    Returns
    -------
    list of Path

    Raises
    ------
    InputFileError
        If there is no such file or folder, or nothing in it that can be read.
    """
    but = {f.resolve() for f in leave_out}
    return [f for p in paths for f in _files(p, but)]


def _files(path: Path, but: Collection[Path]) -> list[Path]:
    if not path.exists():
        raise InputFileError(f"{path} does not exist: check the path")
    if path.is_dir() and not _is_one_array(path):
        return files_of(path, readable_extensions(), but)
    return [path]


def _is_one_array(folder: Path) -> bool:
    marks = ("zarr.json", ".zarray", ".zgroup")
    return folder.suffix.lower() == ".zspy" or any((folder / m).is_file() for m in marks)


def _signals(path: Path) -> Signals:
    # Each reader brings libraries of its own: only the one that is needed is loaded.
    reader = importlib.import_module(f"stemscale.ingestion.{_reader_of(path)}")
    found: Signals = reader.signals(path)
    return found


def _reader_of(path: Path) -> str:
    kind = path.suffix.lower()
    if path.is_dir():
        return "rosetta" if kind == ".zspy" else "zarr_arrays"
    if kind == ".mdoc" or (kind == ".json" and path.with_suffix(".npy").is_file()):
        pixels = path.with_suffix("" if kind == ".mdoc" else ".npy")
        raise InputFileError(f"{path} describes {pixels.name} and has no frames: give that file")
    if kind not in readable_extensions():
        listed = " ".join(readable_extensions())
        raise InputFileError(f"{path} has no reader: stemscale reads {listed}")
    own = (r.module for r in _READERS if kind in r.extensions and r.opens(path))
    return next(own, "rosetta")


def _choose(signals: Signals, path: Path, detector: str | None) -> FrameSource:
    if detector is None and len(signals) == 1:
        return signals[0]
    named = [s for s in signals if s.detector == detector]
    sizes = (
        f"{s.detector or '(no name)'} {s.n_frames} x {s.settings.n_y} x {s.settings.n_x}"
        for s in signals
    )
    listed = ", ".join([*sizes, *(f"{n}: {r}, left out" for n, r in signals.left_out.items())])
    if detector is None:
        raise InputFileError(
            f"{path} holds {len(signals)} signals: choose one with --detector NAME, or take each "
            f"as a FOV of its own with --detector all ({listed})"
        )
    if not named and detector in signals.left_out:
        raise InputFileError(
            f"{path}: {detector} is no series of real images: choose another with "
            f"--detector NAME ({listed})"
        )
    if len(named) != 1:
        raise InputFileError(f"{path} has no signal named {detector!r}: it has {listed}")
    return named[0]


def plain_name(text: str, *, otherwise: str) -> str:
    """Make a name for a FOV out of a file's or detector's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:64] or otherwise
