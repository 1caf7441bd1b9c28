"""How much of the signal arrives late along the scan line: the smear of a slow detector."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality.background import DEFAULT_SIGMA_PX, remove_background
from stemscale.quality.common_pixels import FloatImage, Image, seen_in_both

TAIL_FROM_PX = 3  # "more than 2 px downstream": nearer than that, focus and sampling blur too
REACH_PX = 24  # a tail of 9 px (the reference settings) has 6 % of its weight beyond
SMOOTHNESS = 0.03  # of the penalty on curvature, relative to the power of the reference
_ROWS_AT_ONCE = 32
_SHORTEST_LINE_PX = 16
_LEAST_TOTAL = 0.05  # of the sum of the parts' sizes


@dataclass(frozen=True, kw_only=True, slots=True)
class LagTail:
    """Smear of an image along the scan direction, measured against a sharp reference."""

    weight: float  # share of the response more than 2 px downstream, less the share upstream
    delay_px: float  # centroid of the response, downstream positive [px]


def lag_tail(image: Image, reference: Image) -> LagTail:
    """Measure which share of the signal an image shows too late along x.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        A rapid, averaged or filtered image on the grid of the reference [counts].
    reference : ndarray, shape (y, x)
        The same scene without lag: the slow scan or the noise-free truth, on any scale.

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

    Examples
    --------
    An exponential tail of 5 px has e^(-3/5) = 0.55 of its weight at 3 px and beyond:

    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> from stemscale.quality import lag_tail
    >>> sharp = np.random.default_rng(0).normal(size=(128, 128))
    >>> keep = np.exp(-1 / 5)
    >>> lagged = lfilter([1 - keep], [1, -keep], sharp, axis=1)
    >>> round(lag_tail(lagged, sharp).weight, 2)
    0.55
    >>> abs(lag_tail(sharp, sharp).weight) < 0.001
    True
    """
    steps, response = line_response(image, reference)
    weight, delay_px = tail_of_parts(parts_of_response(steps) @ response)
    return LagTail(weight=float(weight), delay_px=float(delay_px))


def parts_of_response(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give what of a response tells its tail, as rows of a matrix.

    Parameters
    ----------
    steps : ndarray of int, shape (k,)
        As from `line_response`.

    Returns
    -------
    ndarray of float64, shape (6, k)
        Sums far upstream, near upstream, at 0, near and far downstream, and the first moment [px].
    """
    ends = (-TAIL_FROM_PX + 1, 0, 1, TAIL_FROM_PX)
    stretch = np.digitize(steps, ends)
    return np.vstack([np.arange(len(ends) + 1)[:, None] == stretch, steps]).astype(np.float64)


def tail_of_parts(
    parts: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Tell weight and delay of the tail of responses.

    Parameters
    ----------
    parts : ndarray, shape (6, …)
        `parts_of_response` of each response.

    Returns
    -------
    weight, delay_px : ndarray, shape (…)
        As in `LagTail`; NaN where the image does not show the reference's scene.
    """
    sums, moment = parts[:-1], parts[-1]
    total = sums.sum(axis=0)
    # an unrelated image has a response that averages out; a ratio to it would be noise
    known = np.abs(total) > _LEAST_TOTAL * np.abs(sums).sum(axis=0)
    total = np.where(known, total, np.nan)
    return (sums[-1] - sums[0]) / total, moment / total


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
        How much smoothness of h counts against the fit; noise asks for more.
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

    Examples
    --------
    Where a quarter of the signal comes 5 px late:

    >>> import numpy as np
    >>> from stemscale.quality import line_response
    >>> sharp = np.random.default_rng(0).normal(size=(128, 128))
    >>> late = 0.75 * sharp + 0.25 * np.roll(sharp, 5, axis=1)
    >>> steps, response = line_response(late, sharp, smoothness=1e-6)
    >>> [round(float(response[steps == step][0]), 2) for step in (0, 5)]
    [0.75, 0.25]
    """
    if reach_px < TAIL_FROM_PX or not smoothness > 0:
        raise SettingsError(
            f"reach_px is {reach_px} and smoothness {smoothness:g}: "
            f"needed are at least {TAIL_FROM_PX} px and more than 0"
        )
    seen = seen_in_both(image, reference)
    fit = _LineFit(reference, seen, reach_px=reach_px, smoothness=smoothness, sigma_px=sigma_px)
    if fit.matrix is None:
        return fit.steps, np.full(fit.steps.shape, np.nan)
    # both lose their background over the same pixels, so that its border effects are alike
    blurred = remove_background(np.where(seen, image, np.nan), sigma_px=sigma_px)
    response = np.linalg.solve(fit.matrix, fit.right(blurred))
    return fit.steps, response.astype(np.float64)


def tail_templates(reference: Image, seen: npt.NDArray[np.bool_]) -> FloatImage | None:
    """Give images of which the products with any image tell its tail, as the tail is linear in it.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
    seen : ndarray of bool, shape (y, x)
        Pixels that are seen in reference and image.

    Returns
    -------
    ndarray of float64, shape (6, y, x), or None
        For an image without its background, 0 where it is not seen: the sums over y and x of its
        products with them are the parts that `tail_of_parts` takes. None where the reference has
        no structure along x, or lines are too short.
    """
    if seen.shape[1] < _SHORTEST_LINE_PX:
        return None
    fit = _LineFit(
        reference, seen, reach_px=REACH_PX, smoothness=SMOOTHNESS, sigma_px=DEFAULT_SIGMA_PX
    )
    if fit.matrix is None:
        return None
    of_right = np.linalg.solve(fit.matrix, parts_of_response(fit.steps).T)  # it is symmetric
    templates = np.zeros((of_right.shape[1], *seen.shape))
    inside = templates[:, :, fit.reach : seen.shape[1] - fit.reach]
    for start, whole, design in fit.designs():
        inside[:, start : start + len(whole)][:, whole] = (design @ of_right).T
    return templates


class _LineFit:
    """The least squares of `line_response`, as far as they hang on the reference alone."""

    def __init__(
        self,
        reference: Image,
        seen: npt.NDArray[np.bool_],
        *,
        reach_px: int,
        smoothness: float,
        sigma_px: float,
    ) -> None:
        if seen.shape[1] < _SHORTEST_LINE_PX:
            raise FrameShapeError(
                f"images have shape {seen.shape}: a lag needs lines of {_SHORTEST_LINE_PX} pixels "
                f"or more"
            )
        self.reach = min(reach_px, seen.shape[1] // 4)
        self.steps = np.arange(-self.reach, self.reach + 1, dtype=np.int64)
        self.sharp = remove_background(np.where(seen, reference, np.nan), sigma_px=sigma_px)
        level = float(np.max(np.abs(reference[seen]), initial=0))
        self.matrix = self._matrix(smoothness) if self._has_structure(level) else None

    def designs(
        self,
    ) -> Iterator[tuple[int, npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
        """Give some rows at a time: the first, where a whole neighbourhood is seen, and those.

        The neighbourhoods are (pixel, k), k = -reach … reach; all at once would take 49 images.
        """
        windows = np.lib.stride_tricks.sliding_window_view(self.sharp, self.steps.size, axis=1)
        windows = windows[..., ::-1]  # from downstream to upstream: reference(x - k)
        for start in range(0, len(windows), _ROWS_AT_ONCE):
            rows = windows[start : start + _ROWS_AT_ONCE]
            whole = np.asarray(~np.isnan(rows).any(axis=-1))
            yield start, whole, rows[whole]

    def right(self, blurred: FloatImage) -> npt.NDArray[np.float64]:
        """Sum reference(x - k) image(x) over all pixels."""
        inside = blurred[:, self.reach : blurred.shape[1] - self.reach]
        right = np.zeros(self.steps.size)
        for start, whole, design in self.designs():
            right += design.T @ inside[start : start + len(whole)][whole]
        return right

    def _matrix(self, smoothness: float) -> npt.NDArray[np.float64] | None:
        normal = np.zeros((self.steps.size, self.steps.size))
        for _, _, design in self.designs():
            normal += design.T @ design
        power = float(np.trace(normal)) / self.steps.size
        if power == 0:  # no stretch of a line is long enough
            return None
        curvature = _curvature_beside_zero(self.steps)
        penalty = curvature.T @ curvature + 1e-6 * np.eye(self.steps.size)
        regular: npt.NDArray[np.float64] = normal + smoothness * power * penalty
        return regular

    def _has_structure(self, level: float) -> bool:
        """Tell whether intensity changes along the lines, beyond what rounding leaves."""
        change = float(np.nansum(np.diff(self.sharp, axis=1) ** 2))
        rounding = max(1e-6 * float(np.nansum(self.sharp**2)), 1e-24 * level**2 * self.sharp.size)
        return change > rounding


def _curvature_beside_zero(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Second differences of h that lie wholly upstream or wholly downstream of k = 0."""
    second = np.diff(np.eye(steps.size), n=2, axis=0)
    sides = np.abs(np.sign(steps) @ (second != 0).T)
    kept: npt.NDArray[np.float64] = second[sides == 3]
    return kept
