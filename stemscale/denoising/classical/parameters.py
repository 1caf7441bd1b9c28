"""What a classical filter is run with, checked where it is read."""

import math
from collections.abc import Mapping
from typing import Any

from stemscale.errors import FilterError

Parameters = Mapping[str, Any]  # JSON values


def number(parameters: Parameters, name: str, *, lowest: float = 0.0) -> float:
    """Read a number.

    Parameters
    ----------
    parameters : mapping
    name : str
    lowest : float
        Least that makes sense.

    Returns
    -------
    float

    Raises
    ------
    FilterError
        If it is missing, no finite number, or below ``lowest``.
    """
    value = parameters.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value) or value < lowest:
        raise FilterError(
            f"filter parameter {name} is {value!r}: needed is a number from {lowest:g} on; "
            "tune the filter again"
        )
    return float(value)
