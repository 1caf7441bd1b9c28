"""Metadata of a file as JSON values, so that they fit into the attributes of a group."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_DEEPEST = 64  # levels; a damaged file may nest without end
_LONGEST = 64  # values; longer arrays are data, not metadata


def json_values(value: Any) -> Any:
    """Turn what a reader gives as metadata into JSON values.

    Parameters
    ----------
    value : object
        Nested mappings, sequences, NumPy scalars and arrays, bytes, dates, and what else readers
        of microscope files come up with.

    Returns
    -------
    object
        Mappings, lists, text, numbers, booleans and None. Long arrays become a word on their
        shape and type, what is nested too deep one on its length; numbers that JSON does not have
        become None.
    """
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item(), depth)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if depth > _DEEPEST:
            return f"mapping of {len(value)}"
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if math.prod(value.shape) > _LONGEST:
            return f"array {tuple(value.shape)} {value.dtype}"
        return _plain(np.asarray(value).tolist(), depth)
    if isinstance(value, list | tuple | set):
        if len(value) > _LONGEST or depth > _DEEPEST:
            return f"list of {len(value)}"
        return [_plain(v, depth + 1) for v in value]
    return str(value)
