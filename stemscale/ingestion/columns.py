"""What a file says of each frame, as columns: numbers where they are numbers, else words."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import FRAME_QUANTITIES, FrameColumn, known_column

_MOST_WORDS = 1000


def column_of(
    name: str, values: Sequence[Any], *, long_name: str, units: str = "", factor: float = 1.0
) -> FrameColumn | None:
    """Make a column of what a file says of each frame.

    Parameters
    ----------
    name : str
        Of the quantity; one of `FRAME_QUANTITIES` has its own units and long name.
    values : sequence
        One entry a frame: numbers, or texts; None where a frame lacks it.
    long_name : str
        Of a quantity that is not known.
    units : str
        CF units of the same.
    factor : float
        From the file's numbers to those units.

    Returns
    -------
    FrameColumn or None
        Numbers, NaN where they are missing, or else codes of words without blanks, "" where they
        are missing. None where nearly each frame has a word of its own: that is no quantity.
    """
    numbers = _numbers(values)
    if numbers is None:
        return _words(values, long_name)
    column = known_column(name, numbers * factor)
    if name in FRAME_QUANTITIES:
        return column
    return replace(column, units=units, long_name=long_name)


def varies(column: FrameColumn) -> bool:
    """Tell whether the frames differ in a quantity, if only in that some lack it."""
    return len(np.unique(column.values)) > 1


def snake_case(path: str) -> str:
    """Make the name of a column out of that of an entry."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_") or "unnamed"


def _numbers(values: Sequence[Any]) -> NDArray[np.float64] | None:
    try:
        return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _words(values: Sequence[Any], long_name: str) -> FrameColumn | None:
    words = ["" if v is None else "_".join(str(v).split()) for v in values]
    codes = {word: code for code, word in enumerate(dict.fromkeys(words))}
    if len(codes) > _MOST_WORDS:
        return None
    return FrameColumn(
        values=np.array([codes[w] for w in words], dtype=np.int64),
        long_name=long_name,
        words=tuple(codes),
    )
