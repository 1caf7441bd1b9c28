"""Scan a template over an image and score every place by ZNCC."""

import numpy as np
from scipy.signal import fftconvolve

from stemscale.acquisition import Image
from stemscale.distortion.arrays import FloatArray
from stemscale.quality import vertex


def scan_template(image: Image, template: Image) -> FloatArray:
    """Score a template by zero-mean normalised cross-correlation at every place of an image.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    template : ndarray, shape (h, w)
        Not larger than the image.

    Returns
    -------
    ndarray of float64, shape (y - h + 1, x - w + 1)
        ZNCC, -1 to 1, with the template's first pixel at that place; 0 where the image is flat.

    Notes
    -----
    The sums under the template come from one FFT and two integral images. Source: row C1.
    """
    centred = np.asarray(template, dtype=np.float64) - template.mean()
    scene = np.asarray(image, dtype=np.float64) - image.mean()
    product = fftconvolve(scene, centred[::-1, ::-1], mode="valid")
    count = centred.size
    total = _window_sums(scene, centred.shape)
    power = _window_sums(scene**2, centred.shape) - total**2 / count
    scale = np.sqrt(np.maximum(power, 0) * (centred**2).sum())
    tiny = 1e-9 * float((scene**2).sum())
    zncc: FloatArray = np.where(scale > tiny, product / np.maximum(scale, tiny + 1e-300), 0.0)
    return np.clip(zncc, -1, 1)


def highest(scores: FloatArray) -> tuple[float, float, float]:
    """Return place (row, column) and score of the highest value, to a fraction of a step.

    Parameters
    ----------
    scores : ndarray of float64, shape (row, column)

    Returns
    -------
    tuple of float
        Row, column (parabolas through the neighbours) and score.
    """
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    best = float(scores[row, column])
    return (
        vertex(scores[:, column], int(row)),
        vertex(scores[row], int(column)),
        best,
    )


def _window_sums(image: FloatArray, window: tuple[int, ...]) -> FloatArray:
    height, width = window
    table = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    table[1:, 1:] = image.cumsum(axis=0).cumsum(axis=1)
    sums: FloatArray = (
        table[height:, width:] - table[:-height, width:] - table[height:, :-width]
    ) + table[:-height, :-width]
    return sums
