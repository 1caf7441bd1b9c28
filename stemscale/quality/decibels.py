"""The one formula of every PSNR."""

import numpy as np
import numpy.typing as npt


def decibels(mse: npt.ArrayLike, peak: float) -> npt.NDArray[np.float64]:
    """Turn mean squared errors into a ratio of peak to noise.

    Parameters
    ----------
    mse : float or ndarray
        Mean squared error [counts²].
    peak : float
        Largest intensity [counts].

    Returns
    -------
    ndarray of float64, of the same shape
        10 log10(peak² / mse) [dB]; ``inf`` where there is no error, or one estimated below 0; NaN
        where the error is NaN.
    """
    errors = np.asarray(mse, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10.0 * np.log10(peak**2 / np.abs(errors))
    return np.where(errors <= 0, np.inf, found)
