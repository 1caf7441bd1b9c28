"""Check where a page or a picture is to go, and put it there at once or not at all."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from stemscale.errors import SettingsError
from stemscale.store import store_path
from stemscale.whole_file import whole_file


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
    """Write a file so that no reader meets half of it (`whole_file`).

    Parameters
    ----------
    target : Path
        The file; replaced if there is one.
    write : callable
        Given the path to write to, which has the name of the target; there is nothing at it yet.

    Raises
    ------
    SettingsError
        If nothing can be written there.
    """
    with ExitStack() as stack:
        try:
            made = stack.enter_context(whole_file(target))
        except OSError as error:
            raise SettingsError(
                f"output {target} cannot be written ({error.strerror}): name another place"
            ) from error
        write(made)
