"""Check where a page or a picture is to go, and put it there at once or not at all."""

import fcntl
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from stemscale.errors import SettingsError
from stemscale.store import store_path

_TRIES, _PAUSE_S = 100, 0.01


def checked_output(store: str | Path, target: Path, endings: Sequence[str] = ()) -> Path:
    """Refuse a file that cannot be written, before anything is read.

    Parameters
    ----------
    store : str or Path
        Folder of the store, in which no page may lie.
    target : Path
        The file to write.
    endings : sequence of str
        Endings that choose a format, as ``.png``; by default any.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    SettingsError
        If ``target`` is a folder, lies in the store, its folder does not exist, or its ending is
        not one of those.
    """
    if endings and target.suffix.lower() not in endings:
        ending = f"ends in {target.suffix}" if target.suffix else "has no ending"
        raise SettingsError(
            f"output {target} {ending}, which is no known format: choose {', '.join(endings)}"
        )
    if target.is_dir():
        raise SettingsError(f"output {target} is a folder: name a file")
    if not target.parent.is_dir():
        raise SettingsError(f"output {target}: there is no folder {target.parent}; make it first")
    at = store_path(store)
    if isinstance(at, Path) and at.resolve() in target.resolve().parents:
        raise SettingsError(f"output {target} lies in the store: put it beside it")
    return target


def page_beside(store: str | Path) -> Path:
    """Name the page of a store: beside it, or here where that is in an object store."""
    at = store_path(store)
    return at.with_suffix(".html") if isinstance(at, Path) else Path(f"{at.stem}.html")


def write_at_once(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name first, so that no reader meets half of it.

    What a killed process left of the same file is taken away; a living one keeps its own.

    Parameters
    ----------
    target : Path
        The file; replaced if there is one.
    write : callable
        Given the path to write to, at which there is an empty file.

    Raises
    ------
    SettingsError
        If nothing can be written there.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _remove_leftovers(target)
        held = _locked(temporary)
    except OSError as error:
        raise SettingsError(
            f"output {target} cannot be written ({error.strerror}): name another place"
        ) from error
    with held:
        try:
            write(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO:
    """Open a file, and lock it: it is known for that of a living process."""
    for _ in range(_TRIES):
        held = path.open("wb")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # another run may have taken it for a leftover before it was locked
            if path.exists() and path.stat().st_ino == os.fstat(held.fileno()).st_ino:
                return held
        except BlockingIOError:  # that run is just looking at it
            time.sleep(_PAUSE_S)
        except OSError:  # some file systems have no locks: leftovers stay there
            return held
        held.close()
    return path.open("wb")


def _remove_leftovers(target: Path) -> None:
    own = re.compile(rf"\.{re.escape(target.name)}\.\d+\.tmp")
    for left in (path for path in target.parent.iterdir() if own.fullmatch(path.name)):
        # A lock ends with its process, wherever that ran; the number may be another's by now.
        with suppress(OSError), left.open("r+b") as found:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)
