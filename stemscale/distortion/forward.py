"""Predict the rapid scan from the slow scan: where the beam was, lag, gain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, spline_filter1d
from scipy.optimize import nnls
from scipy.signal import lfilter

from stemscale.distortion.arrays import Float32, FloatArray

LAG_PX = (0.0, 1.0, 2.5, 6.0, 14.0)
"""Decay lengths of the causal exponentials that the lag is made of [rapid px]; 0 is no lag."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sampled:
    """The slow scan as the beam of the rapid scan passed over it, before lag and high-pass."""

    image: Float32  # (y, x) on the rapid grid
    slope_x: Float32  # its change per px of beam position along x
    slope_y: Float32  # its change per px of row offset


class SlowScan:
    """The slow scan as a smooth function of position, to be sampled along the beam's path.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        On the rapid frames' pixel count, without NaN.
    smooth_px : float
        Gaussian against noise, as for the DCFI [px]. Along x it acts on the rapid grid: on the
        slow grid the path would stretch it, and the difference be taken for lag.
    """

    def __init__(self, image: Float32, *, smooth_px: float) -> None:
        if smooth_px > 0:
            image = gaussian_filter1d(image, smooth_px, axis=0, mode="nearest")
        coefficients = spline_filter1d(image, 3, axis=0, mode="mirror")
        coefficients = spline_filter1d(coefficients, 3, axis=1, mode="mirror")
        self._coefficients = coefficients.astype(np.float32)
        self._smooth_px = smooth_px

    def sample(self, path: FloatArray, row: FloatArray) -> Sampled:
        """Return what the beam saw.

        Parameters
        ----------
        path : ndarray of float64, shape (1, n_x) or (n_y, n_x)
            Column of the slow scan at each rapid column [px]; clipped to the scan's border.
        row : ndarray of float64, shape (n_y,)
            Row of the slow scan at each rapid row [px]; clipped, too.

        Returns
        -------
        Sampled
        """
        n_y, n_x = self._coefficients.shape
        rows = np.clip(row, 0, n_y - 1)[:, None]
        columns = np.clip(path, 0, n_x - 1)
        values = _interpolate(self._coefficients, rows, 0)
        along_y = _interpolate(self._coefficients, rows, 0, slope=True)
        planes = (
            _interpolate(values, columns, 1),
            _interpolate(values, columns, 1, slope=True),
            -_interpolate(along_y, columns, 1),
        )
        # held at the border, the beam's view no longer changes with the path; the lag would carry
        # a wrong slope from there into the columns that count
        planes[1][np.broadcast_to(columns != path, planes[1].shape)] = 0
        image, slope_x, slope_y = (self._smoothed(plane) for plane in planes)
        return Sampled(image=image, slope_x=slope_x, slope_y=slope_y)

    def _smoothed(self, plane: Float32) -> Float32:
        if self._smooth_px == 0:
            return plane
        smooth: Float32 = gaussian_filter1d(plane, self._smooth_px, axis=1, mode="nearest")
        return smooth


def _interpolate(
    coefficients: Float32, at: FloatArray, axis: int, *, slope: bool = False
) -> Float32:
    """Evaluate a cubic B-spline (or its derivative) along one axis.

    ``at`` is (y, x), or of length 1 across that axis where all lines are taken alike.
    """
    n = coefficients.shape[axis]
    base = np.floor(at).astype(np.int64)
    f = at - base
    if slope:
        taps = (-0.5 * (1 - f) ** 2, 1.5 * f**2 - 2 * f, -1.5 * f**2 + f + 0.5, 0.5 * f**2)
    else:
        taps = (
            (1 - f) ** 3 / 6,
            (3 * f**3 - 6 * f**2 + 4) / 6,
            (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6,
            f**3 / 6,
        )
    out: Float32 | None = None
    for number, weight in enumerate(taps):
        index = base + number - 1
        index = np.where(index < 0, -index, index)
        index = np.where(index > n - 1, 2 * (n - 1) - index, index)
        if index.shape[1 - axis] == 1:  # much quicker
            part = np.take(coefficients, index.ravel(), axis=axis)
        else:
            part = np.take_along_axis(coefficients, index, axis=axis)
        part *= weight.astype(np.float32)
        out = part if out is None else out + part
    assert out is not None
    return out


def lagged(image: Float32, weights: FloatArray) -> Float32:
    """Smear an image along x by a mixture of causal exponentials.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
    weights : ndarray of float64, shape (len(LAG_PX),)
        Share of each decay length of `LAG_PX`; their sum is the gain.

    Returns
    -------
    ndarray of float32, shape (y, x)
    """
    out = np.zeros_like(image)
    for length, weight in zip(LAG_PX, weights, strict=True):
        if weight > 0:
            out += np.float32(weight) * delayed(image, length)
    return out


def delayed(image: Float32, length: float) -> Float32:
    """Smear an image along x by one causal exponential of sum 1.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
    length : float
        Decay length [px]; 0 leaves the image as it is.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Before its first column, the scene is taken to have been like that column.
    """
    if length == 0:
        return image
    keep = np.float32(np.exp(-1.0 / length))
    smeared, _ = lfilter(
        np.array([1 - keep], dtype=np.float32),
        np.array([1, -keep], dtype=np.float32),
        image,
        axis=1,
        zi=keep * image[:, :1],
    )
    result: Float32 = smeared.astype(np.float32, copy=False)
    return result


def fit_lag(parts: Sequence[Float32], target: Float32, noise: FloatArray) -> FloatArray:
    """Find how much of each delayed image there is in another (non-negative least squares).

    Parameters
    ----------
    parts : sequence of ndarray of float32, shape (y, x)
        The same image delayed by each length of `LAG_PX`, high-passed like the target.
    target : ndarray of float32, shape (y, x)
        The rapid scan, high-passed.
    noise : ndarray of float64, shape (len(LAG_PX), len(LAG_PX))
        Inner products of what noise there is in ``parts``.

    Returns
    -------
    ndarray of float64, shape (len(LAG_PX),)
        Weights for `lagged`.
    """
    gram = inner_products(parts, parts) - noise
    right = inner_products(parts, [target])[:, 0]
    # the normal equations as a small least-squares problem, also where all delays look alike
    power, axes = np.linalg.eigh(gram)
    kept = power > 1e-7 * max(float(power[-1]), 1e-30)
    root = np.sqrt(power[kept])
    solution, _ = nnls(root[:, None] * axes[:, kept].T, axes[:, kept].T @ right / root)
    return np.asarray(solution, dtype=np.float64)


def inner_products(left: Sequence[Float32], right: Sequence[Float32]) -> FloatArray:
    """Return the sums over all pixels of each image times each other, shape (left, right)."""
    rows = [[float(np.vdot(a.ravel(), b.ravel())) for b in right] for a in left]
    return np.array(rows, dtype=np.float64)
