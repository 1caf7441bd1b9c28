"""Tables of per-frame metadata: one row a frame, one column a quantity."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import FrameColumn, check_frame_metadata
from stemscale.errors import InputFileError

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")


def read_frame_log(path: Path, n_frames: int) -> dict[str, FrameColumn]:
    """Read a CSV file of per-frame metadata.

    Parameters
    ----------
    path : Path
        With a head row; a column ``frame`` (from 0) tells which frame a row is about, otherwise
        rows are in the order of frames. Other columns are named ``quantity_unit``, such as
        ``time_s`` and ``temperature_C`` (row D6).
    n_frames : int
        Frames in the series.

    Returns
    -------
    dict of str to FrameColumn
        In the units of `FRAME_QUANTITIES`.

    Raises
    ------
    InputFileError
        If there is no such file, it is no table, or its ``frame`` column is not 0 … n_frames - 1.
    SeriesError
        If it has another number of rows, or values that are no numbers.
    """
    rows = read_table(path)
    columns: dict[str, NDArray[Any]] = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    if "frame" in columns:
        try:
            order = np.argsort(columns["frame"].astype(np.int64), kind="stable")
        except ValueError as error:
            raise InputFileError(
                f"{path}: column 'frame' must hold whole numbers: {error}"
            ) from error
        numbers = columns.pop("frame").astype(np.int64)[order]
        if len(numbers) == n_frames and not np.array_equal(numbers, np.arange(n_frames)):
            raise InputFileError(
                f"{path}: column 'frame' must name each frame from 0 to {n_frames - 1} once"
            )
        columns = {k: v[order] for k, v in columns.items()}
    return check_frame_metadata(columns, n_frames, source=str(path))


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a head row.

    Parameters
    ----------
    path : Path
        UTF-8; separated by commas, or by semicolons or tabs where its head row has these: then
        numbers may have a decimal comma.

    Returns
    -------
    list of dict
        One a row, at least one; values stripped.

    Raises
    ------
    InputFileError
        If there is no such file, it is no text, it is empty, or a row is short or long.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
            stream.seek(0)
            separator = max(",;\t", key=head.count)
            reader = csv.DictReader(stream, restkey="", restval=None, delimiter=separator)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{path} cannot be read as a table ({error}): give a CSV") from error
    if not rows:
        raise InputFileError(f"{path} is empty: it needs a head row and one row for each entry")
    for number, row in enumerate(rows, start=2):
        if "" in row or None in row.values():
            raise InputFileError(
                f"{path}: line {number} has not as many fields as the head row has names"
            )
    read = str.strip if separator == "," else _with_point
    return [{k.strip(): read(v) for k, v in row.items()} for row in rows]


def _with_point(text: str) -> str:
    """Read 20,5 as 20.5, as spreadsheets write it where semicolons separate."""
    text = text.strip()
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text
