"""Metadata of a file as JSON values, so that they fit into the attributes of a group."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

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
        shape and type; numbers that JSON does not have become None.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return json_values(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): json_values(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if math.prod(value.shape) > _LONGEST:
            return f"array {tuple(value.shape)} {value.dtype}"
        return json_values(np.asarray(value).tolist())
    if isinstance(value, list | tuple | set):
        if len(value) > _LONGEST:
            return f"list of {len(value)}"
        return [json_values(v) for v in value]
    return str(value)
