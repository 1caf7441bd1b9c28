"""Files that appear whole, at once, or not at all."""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_LOCK = ".lock"  # in the folder that a file is written in, held while its process lives
_TRIES = 100


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a place to write to; what lies there in the end takes the place of ``target``.

    Nobody meets half of a file, and where writing fails, ``target`` stays as it was. What a killed
    process left of the same target is taken away; a living one, here or on another machine that
    shares the folder, keeps its own.

    Parameters
    ----------
    target : Path
        A file or a folder, replaced if there is one; a folder not in one step. On a local or
        shared disk, not in an object store.

    Yields
    ------
    Path
        Of the same name, in a hidden folder beside it; there is nothing at it yet.

    Raises
    ------
    OSError
        If nothing can be written there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from stemscale.whole_file import whole_file
    >>> with whole_file(Path("words.txt")) as made:
    ...     _ = made.write_text("whole")
    >>> Path("words.txt").read_text()
    'whole'
    """
    _remove_leftovers(target)
    folder, held = _new_folder(target)
    try:
        made = folder / target.name
        yield made
        if made.is_file():
            _flush(made)
        _put_in_place(made, target, aside=folder / ".replaced")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


def _put_in_place(made: Path, target: Path, *, aside: Path) -> None:
    if not target.is_dir():
        made.replace(target)
        return
    target.replace(aside)  # a folder is not replaced in one step
    try:
        made.replace(target)
    except OSError:
        aside.replace(target)
        raise


def _new_folder(target: Path) -> tuple[Path, BinaryIO]:
    """Make a folder beside the target and lock it: it is known for that of a living process."""
    for _ in range(_TRIES):
        folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        folder.mkdir()
        lock = folder / _LOCK
        # Another run may take the folder for a leftover before it is locked.
        with suppress(FileNotFoundError):
            held = lock.open("wb")
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock.stat().st_ino == os.fstat(held.fileno()).st_ino:
                    return folder, held
            except (BlockingIOError, FileNotFoundError):
                pass
            except OSError:  # some file systems have no locks: leftovers stay there
                return folder, held
            held.close()
    raise FileExistsError(f"other processes clear away all that is made beside {target}")


def _remove_leftovers(target: Path) -> None:
    own = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp")
    for left in [path for path in target.parent.iterdir() if own.fullmatch(path.name)]:
        # A lock ends with its process, wherever that ran.
        with suppress(OSError), (left / _LOCK).open("ab") as found:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


def _flush(file: Path) -> None:
    """Have it on the disk before its name says that it is there."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
