"""The folder that a study has for itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemscale.errors import StoreConflictError
from stemscale.store import read_json, write_json

_MARK = "study.json"


def take_folder(folder: Path, study: Mapping[str, Any], *, told_by: str) -> Mapping[str, Any]:
    """Make a folder that of a study, or go on with the study that is in it.

    Parameters
    ----------
    folder : Path
    study : mapping
        JSON values that say which study it is, and what else is to be kept of it.
    told_by : str
        Which of them tells it from another one.

    Returns
    -------
    mapping
        What is kept: ``study``, or what was said when the study that is there was begun.

    Raises
    ------
    StoreConflictError
        If the folder holds something else, or another study.
    """
    before = read_json(folder / _MARK)
    if before is None:
        if folder.exists() and any(folder.iterdir()):
            raise StoreConflictError(
                f"{folder} is not empty and not of an earlier study: name another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _MARK, study)
        return study
    if before.get(told_by) != study[told_by]:
        there = before.get(told_by)
        words = "another study" if there is None else f"the study of --{told_by} {there}"
        raise StoreConflictError(f"{folder} holds {words}: name another folder")
    return before
