"""Folders of files that make one series: which files, in which order, at which times."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import natural_order
from stemscale.errors import InputFileError

# Gatan's in-situ trees: .../Hour_00/Minute_00/Second_00/<name>_Hour_00_..._Frame_0000.dm4
_GATAN = re.compile(r"Hour_(\d+).*?Minute_(\d+).*?Second_(\d+).*?Frame_(\d+)", re.DOTALL)


def files_of(
    folder: Path, extensions: Sequence[str], leave_out: Collection[Path] = ()
) -> list[Path]:
    """List the microscope files of a folder and all below it.

    Parameters
    ----------
    folder : Path
        Hidden files and files without a reader (logs, previews of other kinds) do not count.
    extensions : sequence of str
        Of files that have a reader.
    leave_out : collection of Path
        Resolved paths of files that are something else, such as the slow scan.

    Returns
    -------
    list of Path
        In natural order of their paths: frame2 before frame10, Second_09 before Second_10.

    Raises
    ------
    InputFileError
        If there are none, or files of several kinds.
    """
    found = [
        f
        for f in folder.rglob("*")
        if f.suffix.lower() in extensions
        and f.is_file()
        and (not leave_out or f.resolve() not in leave_out)
        and not any(p.startswith(".") for p in f.relative_to(folder).parts)
    ]
    kinds = Counter(f.suffix.lower() for f in found)
    if ".emi" in kinds:  # it lists its .ser files itself
        found = [f for f in found if f.suffix.lower() != ".ser"]
        del kinds[".ser"]
    if not found:
        raise InputFileError(
            f"{folder} holds no file that stemscale reads: it reads {' '.join(extensions)}"
        )
    if len(kinds) > 1:
        listed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        raise InputFileError(
            f"{folder} holds files of several kinds ({listed}): name those of one series, "
            f"such as {folder}/*{max(kinds, key=lambda k: kinds[k])}"
        )
    return sorted(found, key=lambda f: path_order(f.relative_to(folder)))


def path_order(path: Path) -> list[list[tuple[int, int | str]]]:
    """Sort key of a path that counts as people do."""
    return [natural_order(part) for part in path.parts]


def times_in_names(files: Sequence[Path]) -> NDArray[np.float64] | None:
    """Read the time of each frame from the names in a Gatan in-situ tree.

    Parameters
    ----------
    files : sequence of Path
        One frame each.

    Returns
    -------
    ndarray, shape (n_frames,), or None
        Seconds since the first frame: the second from the name, and within it the frame's
        number over the frames of a second (the largest number that any second has). None where
        a name says nothing.
    """
    matches = [_GATAN.search(f.as_posix()) for f in files]
    if not all(matches):
        return None
    fields = np.array([[int(g) for g in m.groups()] for m in matches if m], dtype=np.int64)
    hours, minutes, seconds, frames = fields.T
    rate = int(frames.max()) + 1
    times: NDArray[np.float64] = hours * 3600 + minutes * 60 + seconds + frames / rate
    times -= times[0]
    return times
