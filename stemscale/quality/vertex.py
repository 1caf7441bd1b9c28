"""Where a peak lies between the samples."""

import numpy as np
import numpy.typing as npt


def vertex(values: npt.NDArray[np.float64], at: int) -> float:
    """Place the vertex of the parabola through a largest value and its neighbours.

    Parameters
    ----------
    values : ndarray of float64, shape (x,)
    at : int
        Place of the value.

    Returns
    -------
    float
        To a fraction of a sample [px]; ``at`` itself at either end, or where it is no peak.
    """
    if not 0 < at < values.size - 1:
        return float(at)
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return at + float(0.5 * (left - right) / bend) if bend < 0 else float(at)
