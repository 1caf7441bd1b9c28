"""Size of a pixel from the calibration of two axes."""

from pathlib import Path
from typing import Any

from stemscale.errors import InputFileError
from stemscale.ingestion.units import to_nm

_NOT_SQUARE = 1e-3  # relative; files round


def square_pixel_nm(
    step_y: Any, step_x: Any, unit: Any, unit_y: Any = None, *, path: Path
) -> float | None:
    """Give the size of a pixel, which must be the same along both axes.

    Parameters
    ----------
    step_y, step_x : number
        From pixel to pixel.
    unit : str or None
        Of the steps, as the file spells it.
    unit_y : str or None
        Of ``step_y``, where it is another.
    path : Path
        Named in the error.

    Returns
    -------
    float or None
        In nm; None where the file does not say, or not as a length.

    Raises
    ------
    InputFileError
        If pixels are not square.
    """
    size_y, size_x = to_nm(step_y, unit_y or unit), to_nm(step_x, unit)
    if not size_x or not size_y or not 0 < size_x < float("inf"):
        return None
    if abs(size_x - size_y) > _NOT_SQUARE * size_x:
        raise InputFileError(
            f"{path}: pixels of {size_x:g} x {size_y:g} nm are not square: resample the images "
            f"before"
        )
    return size_x
