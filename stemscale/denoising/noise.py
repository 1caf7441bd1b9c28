"""The noise of a frame: how strong, and how alike in pixels scanned one after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from stemscale.denoising.unseen import fill_unseen
from stemscale.quality import hann

# median of the absolute deviation of a normal distribution, in standard deviations
_MAD_OF_NORMAL = 0.6745
_LAGS_PX = 32  # beyond, a tail of 9 px has 3 % left


def noise_sigma(frame: NDArray[Any]) -> float:
    """Estimate a frame's noise.

    Second differences along y: lag correlates the noise along x, so that differences along x
    would see too little of it, while from line to line it is white.

    Parameters
    ----------
    frame : ndarray, shape (y, x)
        [counts]; NaN = not seen.

    Returns
    -------
    float
        Standard deviation [counts]; 0 where nothing can be seen of it.

    Notes
    -----
    The median ignores the few pixels on edges. var(a - 2b + c) = 6 var(a) for white noise.
    """
    values = np.asarray(frame, dtype=np.float64)
    second = values[:-2] - 2 * values[1:-1] + values[2:]
    second = second[np.isfinite(second)]
    if second.size == 0:
        return 0.0
    return float(np.median(np.abs(second)) / _MAD_OF_NORMAL / np.sqrt(6))


def noise_correlation(frames: NDArray[Any]) -> list[float]:
    """Estimate how noise is correlated along the scan.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        [counts]; NaN = not seen.

    Returns
    -------
    list of float
        Correlation at 0, 1, 2, … px along x, 1 at first; 33 values, fewer for short lines.

    Notes
    -----
    From the spectra along x of second differences along y, under a Hann window: at each wave
    number the median over all lines, which the lines that cross an edge of the scene do not move.
    Beyond, correlations are tapered to 0, since a spectrum that ends there would ring.

    Examples
    --------
    Where each pixel is the mean of two neighbours, they have half of their noise in common:

    >>> import numpy as np
    >>> from stemscale.denoising.noise import noise_correlation
    >>> frames = np.random.default_rng(0).normal(size=(4, 128, 128))
    >>> lagged = (frames + np.roll(frames, 1, axis=2)) / 2
    >>> [round(correlation, 1) for correlation in noise_correlation(lagged)[:3]]
    [1.0, 0.5, 0.0]
    """
    window = hann(frames.shape[2])
    spectra = []
    for frame in frames:
        filled = fill_unseen(frame).astype(np.float64)
        second = filled[:-2] - 2 * filled[1:-1] + filled[2:]
        spectra.append(np.abs(rfft(second * window, axis=1)) ** 2)
    power = np.median(np.concatenate(spectra), axis=0) if frames.shape[1] > 2 else np.zeros(1)
    correlation = irfft(power, n=frames.shape[2])
    if not correlation[0] > 0:
        return [1.0]
    n = min(_LAGS_PX, frames.shape[2] // 2 - 1) + 1
    taper = 0.5 * (1 + np.cos(np.pi * np.arange(n) / n))
    return [float(c) for c in correlation[:n] / correlation[0] * taper]


def row_spectrum(correlation: list[float], n_x: int) -> NDArray[np.float64]:
    """Give the power of noise at each wave number of a line of ``n_x`` pixels, 1 on average.

    Parameters
    ----------
    correlation : list of float
        As from `noise_correlation`.
    n_x : int

    Returns
    -------
    ndarray of float64, shape (x,)
        In the order of `numpy.fft.fft`.
    """
    c = np.asarray(correlation, dtype=np.float64)[: n_x // 2]
    waves = np.cos(2 * np.pi * np.outer(np.arange(n_x) / n_x, np.arange(c.size)))
    spectrum = np.maximum(2 * waves @ c - c[0], 1e-3)
    result: NDArray[np.float64] = spectrum / spectrum.mean()
    return result
