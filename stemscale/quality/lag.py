"""How much of the signal arrives late along the scan line: the smear of a slow detector."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.background import DEFAULT_SIGMA_PX, remove_background
from stemscale.quality.common import FloatImage, Image, seen_in_both

TAIL_FROM_PX = 3  # "more than 2 px downstream": nearer than that, focus and sampling blur too
REACH_PX = 24  # a tail of 9 px (the reference settings) has 6 % of its weight beyond
SMOOTHNESS = 0.03  # of the penalty on curvature, relative to the power of the reference
_ROWS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class LagTail:
    """Smear of an image along the scan direction, measured against a sharp reference."""

    weight: float  # share of the response more than 2 px downstream, less the share upstream
    delay_px: float  # centroid of the response, downstream positive [px]


def lag_tail(image: Image, reference: Image, *, sigma_px: float = DEFAULT_SIGMA_PX) -> LagTail:
    """Measure which share of the signal an image shows too late along x.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        A rapid, averaged or filtered image on the grid of the reference [counts].
    reference : ndarray, shape (y, x)
        The same scene without lag: the slow scan or the noise-free truth, on any scale.
    sigma_px : float
        Width of the smooth background taken out of both images before [px].

    Returns
    -------
    LagTail
        ``weight`` (0 for a sharp image, e^(-3/tau) for an exponential tail of tau px, negative
        for a tail upstream) and ``delay_px``. Both NaN where the image does not show the
        reference's scene, or that scene has no structure along x.

    Raises
    ------
    FrameShapeError
        If the shapes differ, or a line has fewer than 16 pixels.

    Notes
    -----
    With h from :func:`line_response`, weight = (sum of h at 3 px and more downstream - sum of h
    at 3 px and more upstream) / sum of h. The difference leaves a symmetric blur (focus, a
    Gaussian filter) without weight. Tested on simulated dislocations whose lagged noise is as
    strong as the scene: standard deviation 0.02 at 512 x 512 and at 256 x 256 px, and
    0.00 to 0.03 too much. A gain, an offset and a smooth background change nothing. A shift
    between the images counts as delay and, from about 2 px, as tail.
    Source: the smear of Ihara 2022, Fig. 1d (row Q6), in numbers.
    """
    steps, response = line_response(image, reference, sigma_px=sigma_px)
    total = float(response.sum())
    # an unrelated image has a response that averages out; a ratio to it would be noise
    if not abs(total) > 0.05 * float(np.abs(response).sum()):
        return LagTail(weight=float("nan"), delay_px=float("nan"))
    late = float(response[steps >= TAIL_FROM_PX].sum())
    early = float(response[steps <= -TAIL_FROM_PX].sum())
    return LagTail(weight=(late - early) / total, delay_px=float(steps @ response) / total)


def line_response(
    image: Image,
    reference: Image,
    *,
    reach_px: int = REACH_PX,
    smoothness: float = SMOOTHNESS,
    sigma_px: float = DEFAULT_SIGMA_PX,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Estimate the horizontal response h: image(x) = sum over k of h(k) reference(x - k).

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        As for :func:`lag_tail`.
    reach_px : int
        h is sought for k = -reach … reach [px]; at most a quarter of the line is taken.
    smoothness : float
        Weight of the penalty on the curvature of h, relative to the power of the reference.
    sigma_px : float
        Width of the smooth background taken out of both images before [px].

    Returns
    -------
    steps : ndarray of int, shape (2 reach + 1,)
        k, downstream positive [px].
    response : ndarray of float64, shape (2 reach + 1,)
        h(k); NaN where the reference has no structure.

    Raises
    ------
    FrameShapeError
        If the shapes differ, or a line has fewer than 16 pixels.
    SettingsError
        If ``reach_px`` is below 3 or ``smoothness`` is not positive.

    Notes
    -----
    Least squares over all pixels whose whole neighbourhood along the line is seen. The scene
    has hardly any power in fine detail, so bare least squares blows up there: h is held smooth
    on either side, while h(0) stays free, because a lag begins with a jump.
    """
    if reach_px < TAIL_FROM_PX or not smoothness > 0:
        raise SettingsError(
            f"reach_px is {reach_px} and smoothness {smoothness:g}: "
            f"needed are at least {TAIL_FROM_PX} px and more than 0"
        )
    seen = seen_in_both(image, reference)
    if seen.shape[1] < 16:
        raise FrameShapeError(
            f"images have shape {seen.shape}: a lag needs lines of 16 pixels or more"
        )
    reach = min(reach_px, seen.shape[1] // 4)
    steps = np.arange(-reach, reach + 1, dtype=np.int64)
    # both lose their background over the same pixels, so that its border effects are alike
    blurred = remove_background(np.where(seen, image, np.nan), sigma_px=sigma_px)
    sharp = remove_background(np.where(seen, reference, np.nan), sigma_px=sigma_px)
    if not _has_structure_along_x(sharp, level=float(np.max(np.abs(reference[seen]), initial=0))):
        return steps, np.full(steps.shape, np.nan)
    normal, right = _normal_equations(blurred, sharp, reach)
    power = float(np.trace(normal)) / steps.size
    if power == 0:  # no stretch of a line is long enough
        return steps, np.full(steps.shape, np.nan)
    curvature = _curvature_beside_zero(steps)
    penalty = curvature.T @ curvature + 1e-6 * np.eye(steps.size)
    response = np.linalg.solve(normal + smoothness * power * penalty, right)
    return steps, response.astype(np.float64)


def _has_structure_along_x(sharp: FloatImage, *, level: float) -> bool:
    """Tell whether intensity changes along the lines, beyond what rounding leaves of a constant."""
    change = float(np.nansum(np.diff(sharp, axis=1) ** 2))
    return change > max(1e-6 * float(np.nansum(sharp**2)), 1e-24 * level**2 * sharp.size)


def _normal_equations(
    blurred: FloatImage, sharp: FloatImage, reach: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum reference(x - j) reference(x - k) and reference(x - k) image(x) over all pixels."""
    size = 2 * reach + 1
    normal, right = np.zeros((size, size)), np.zeros(size)
    windows = np.lib.stride_tricks.sliding_window_view(sharp, size, axis=1)
    windows = windows[..., ::-1]  # (y, x inside, k): k = -reach … reach looks downstream to up
    inside = blurred[:, reach:-reach]
    for start in range(0, len(sharp), _ROWS_AT_ONCE):  # all windows at once take 49 images
        rows = slice(start, start + _ROWS_AT_ONCE)
        whole = ~np.isnan(windows[rows]).any(axis=-1)  # both images are seen at the same pixels
        design = windows[rows][whole]  # (pixel, k)
        normal += design.T @ design
        right += design.T @ inside[rows][whole]
    return normal, right


def _curvature_beside_zero(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Second differences of h that lie wholly upstream or wholly downstream of k = 0."""
    second = np.diff(np.eye(steps.size), n=2, axis=0)
    sides = np.abs(np.sign(steps) @ (second != 0).T)
    kept: npt.NDArray[np.float64] = second[sides == 3]
    return kept
