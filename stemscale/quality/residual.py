"""Whether what a filter took away is noise alone: erased or invented features show here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality.background import remove_background
from stemscale.quality.common_pixels import FloatImage, Image
from stemscale.quality.halves import independent_halves, mean_image

RESPONSE_PX = (-4, 24)  # upstream and downstream, as far as outputs are smeared again
MAP_SIGMA_PX = 2.0  # of the map: a feature is a few pixels wide
CLEAR = 4.0  # standard deviations: noise alone passes them at 1 of 16,000 pixels
_RIDGE = 1e-4  # of the power of the outputs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResidualTest:
    """What inputs and outputs of a filter differ by, beside noise and smear.

    Attributes
    ----------
    z : ndarray, shape (y, x)
        Residual over its own noise, smoothed by a Gaussian of 2 px [standard deviations]. Above 0
        the input is brighter than the output: where the structure is bright there, it was erased;
        where the output is dark, it may be invented. NaN = not seen.
    likeness : float
        Correlation of the residuals of both halves: 0 where they are noise alone, 1 where they
        are structure alone.
    lost : float
        Root mean square of the structure in the residual, over that of the scene: the share of
        its contrast that was lost or invented.
    clear : float
        Share of the pixels at which the residual is clear, |z| > 4; 0.00006 of noise alone.
    response : ndarray, shape (29,)
        By which outputs were smeared again, from 4 px upstream to 24 px downstream.
    """

    z: FloatImage
    likeness: float
    lost: float
    clear: float
    response: npt.NDArray[np.float64]


def residual_test(inputs: Image, outputs: Image, *, halo: int = 0) -> ResidualTest:
    """Look for structure in what a filter took away, without a slow scan.

    Parameters
    ----------
    inputs : ndarray, shape (frame, y, x)
        Rapid frames of a still scene, corrected; NaN = not seen [counts].
    outputs : ndarray, shape (frame, y, x)
        The same frames filtered, on the same grid; on any scale.
    halo : int
        Neighbours on either side that the filter saw for each frame.

    Returns
    -------
    ResidualTest

    Raises
    ------
    FrameShapeError
        If the shapes differ, or are not (frame, y, x).
    SeriesError
        If there are too few frames (two, or more with a halo), they show nothing, or the outputs
        have no structure.

    Notes
    -----
    Even and odd frames are averaged apart; their noise is independent. Of a filter that sees
    neighbours, it is the first and the last frames (`independent_halves`). A filter that undoes the
    lag leaves the smear in the residual, which is no fault: so the outputs are smeared again, by
    the one response along x that brings those of each half closest to the *inputs of the other
    half* (a gain is part of it). The residual E = input - output smeared again is then noise,
    unless something was erased or invented. Of two halves, what E1 and E2 have in common is
    structure, and half their difference is the noise of their mean; so no model of the noise is
    needed, which the lag has made alike in neighbours. What moves within the frames counts as
    structure: give some ten frames of a series that moves. A filter's own preference that inputs
    never contradict (what lies below the noise of the mean) cannot be seen.

    Examples
    --------
    A filter that erases one of two particles is found out, and so is the place:

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> from stemscale.quality import residual_test
    >>> impulses = np.zeros((2, 128, 128))
    >>> impulses[0, 40, 60] = impulses[1, 80, 90] = 5000.0
    >>> one, other = (gaussian_filter(impulse, 2) for impulse in impulses)
    >>> noise = np.random.default_rng(0).normal(scale=10, size=(8, 128, 128))
    >>> kept = residual_test(one + other + noise, np.tile(one + other, (8, 1, 1)))
    >>> erased = residual_test(one + other + noise, np.tile(one, (8, 1, 1)))
    >>> round(kept.lost, 1), round(erased.lost, 1)  # half of the power, whose root is 0.7
    (0.0, 0.7)
    >>> row, column = np.unravel_index(np.nanargmax(erased.z), erased.z.shape)
    >>> int(abs(row - 80)) <= 1, int(abs(column - 90)) <= 1
    (True, True)
    """
    if inputs.shape != outputs.shape or inputs.ndim != 3:
        raise FrameShapeError(
            f"inputs have shape {inputs.shape} and outputs {outputs.shape}: needed are two series "
            f"(frame, y, x) on one grid; correct the rapid frames first (calibrate)"
        )
    parts = independent_halves(len(inputs), halo)
    if not parts[0].size:
        raise SeriesError(
            f"a residual test compares two halves of a series: needed are two frames or more, and "
            f"{2 * halo + 2} of a filter that sees {halo} neighbours on either side"
        )
    halves = [[mean_image(series[part]) for part in parts] for series in (inputs, outputs)]
    seen = np.asarray(~np.isnan(np.stack([*halves[0], *halves[1]])).any(axis=0))
    inside = _inside(seen, *RESPONSE_PX)
    if not inside.any():
        raise SeriesError("no part of the frames is wide enough, and seen in all, for a residual")
    seen_in, seen_out = (
        [remove_background(np.where(seen, image, np.nan)) for image in half] for half in halves
    )
    designs = [_shifted(image, inside) for image in seen_out]
    targets = [np.where(inside, image, 0.0).ravel() for image in seen_in]
    response = _response(designs, targets[::-1])
    residuals = [t - response.astype(np.float32) @ d for t, d in zip(targets, designs, strict=True)]
    common = float(residuals[0] @ residuals[1])
    scene = float(targets[0] @ targets[1])
    size = float(np.linalg.norm(residuals[0]) * np.linalg.norm(residuals[1]))
    z = _map([residual.reshape(seen.shape) for residual in residuals], inside)
    return ResidualTest(
        z=z,
        likeness=common / size if size > 0 else 0.0,
        lost=float(np.sqrt(max(common, 0.0) / scene)) if scene > 0 else float("nan"),
        clear=float(np.mean(np.abs(z[inside]) > CLEAR)),
        response=response,
    )


def _inside(seen: npt.NDArray[np.bool_], before: int, after: int) -> npt.NDArray[np.bool_]:
    """Mark pixels of which all that may be smeared into them is seen."""
    inside = np.zeros_like(seen)
    n_x = seen.shape[1]
    if n_x > after - before:
        reach = np.lib.stride_tricks.sliding_window_view(seen, after - before + 1, axis=1)
        inside[:, after : n_x + before] = reach.all(axis=-1)
    return inside


def _shifted(image: FloatImage, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Move an image (y, x) by each step of a response: (step, pixel), 0 where nothing is fitted."""
    filled = np.nan_to_num(image).astype(np.float32)
    before, after = RESPONSE_PX
    moved = np.empty((after - before + 1, *image.shape), dtype=np.float32)
    for row, step in zip(moved, range(before, after + 1), strict=True):
        np.multiply(np.roll(filled, step, axis=1), inside, out=row)
    return moved.reshape(len(moved), -1)


def _response(
    designs: list[npt.NDArray[np.float32]], targets: list[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    size = len(designs[0])
    pairs = list(zip(designs, targets, strict=True))
    normal = np.sum([d @ d.T for d in designs], axis=0, dtype=np.float64)
    right = np.sum([d @ t.astype(np.float32) for d, t in pairs], axis=0, dtype=np.float64)
    power = float(np.trace(normal)) / size
    if power == 0:
        raise SeriesError("the outputs have no structure: there is nothing to compare the input to")
    response = np.linalg.solve(normal + _RIDGE * power * np.eye(size), right)
    return np.asarray(response, dtype=np.float64)


def _map(residuals: list[npt.NDArray[np.float64]], inside: npt.NDArray[np.bool_]) -> FloatImage:
    """Smooth the mean residual, over the noise that half the difference of the two tells."""
    weight = gaussian_filter(inside.astype(np.float64), MAP_SIGMA_PX)

    def smooth(image: FloatImage) -> FloatImage:
        smoothed: FloatImage = gaussian_filter(image, MAP_SIGMA_PX)
        return smoothed / np.where(weight > 0, weight, 1.0)

    noise = float(np.std(smooth((residuals[0] - residuals[1]) / 2)[inside]))
    z = smooth((residuals[0] + residuals[1]) / 2) / (noise if noise > 0 else np.inf)
    return np.where(inside, z, np.nan)
