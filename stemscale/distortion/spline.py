"""The default: one smooth beam path, fitted to all columns and all fields of view at once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Image
from stemscale.distortion.arrays import FloatArray
from stemscale.distortion.beam import BeamPath, through_points
from stemscale.distortion.columns import ColumnMatch, match_columns, normalised
from stemscale.distortion.contrast import require_contrast, structure_to_noise
from stemscale.distortion.distortion_map import DistortionMap
from stemscale.distortion.gauss_newton import Fit, Offsets, State, place_of
from stemscale.distortion.grids import on_other_count, onto_pixel_count
from stemscale.distortion.orientation import find_turn
from stemscale.distortion.prediction import View, along_rows
from stemscale.distortion.warp import Warp
from stemscale.errors import DistortionError, SettingsError, ViewError
from stemscale.quality import zncc

logger = logging.getLogger(__name__)


_DEGREE_ALONG_Y = 2  # of the polynomial by which offsets change from row to row
_SUSPECT_ZNCC = 0.75  # matched columns of one area reach 0.8 and more; below, other turns are tried

MIN_STRUCTURE = 2.0
"""Variance of a slow scan over that of its noise alone; less is an empty view."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplineFit:
    """How smooth the beam's path is taken to be, and when a fit is refused.

    Attributes
    ----------
    knot_px : float
        Distance of the spline's knots [rapid px].
    bend : float
        Prior of the path's second derivative: its standard deviation, but for the line start
        [1/px]. It matters where there is no contrast.
    start_stretch : float
        Prior of the rate at the line start: its standard deviation, for each of four decays.
    smooth_px : tuple of float
        Gaussian against noise at each level, coarse to fine [px].
    background_px : int
        Width of the windows whose mean counts as background [px].
    max_row_offset : float
        Row offsets up to this share of the rows are looked for.
    view_shift_px : float
        Standard deviation, along x, of the offset of one view against the others [px].
    vary_px : float
        Standard deviation of the change of an offset from mid-frame to its border [px].
    min_zncc : float
        Least ZNCC of the matched columns; below, the slow scan shows another area.
    min_borrowed_zncc : float
        Least ZNCC once corrected, also of a FOV too faint to lead that takes the others' map;
        slow scans of another area reach 0.1 to 0.2.
    max_std_px : float
        Largest root mean square of ``source_x_std``, but for 2 % of the columns at either end;
        above, there is too little contrast along x [px].
    steps : int
        Largest number of Gauss-Newton steps per level.
    vary_y : bool
        Whether a view's offsets may change slowly from the top of the frame to the bottom.
    """

    knot_px: float = 16.0
    bend: float = 0.001
    start_stretch: float = 0.35
    smooth_px: tuple[float, ...] = (4.0, 2.0, 0.7)
    background_px: int = 39
    max_row_offset: float = 0.06
    view_shift_px: float = 2.0
    vary_px: float = 1.0
    min_zncc: float = 0.3
    min_borrowed_zncc: float = 0.25
    max_std_px: float = 0.4
    steps: int = 12
    vary_y: bool = False

    def __post_init__(self) -> None:
        lengths = ("knot_px", "background_px", "view_shift_px", "vary_px", "max_std_px")
        for name in (*lengths, "bend", "start_stretch", "steps"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}: needed is a number above 0")
        if not self.smooth_px or min(self.smooth_px) < 0:
            raise SettingsError(f"smooth_px is {self.smooth_px}: needed are widths from 0 px up")
        for name in ("max_row_offset", "min_zncc", "min_borrowed_zncc"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: needed is a share below 1")


def fit_spline(
    pairs: Sequence[tuple[Image, Image]],
    *,
    names: Sequence[str] = (),
    settings: SplineFit = SplineFit(),
) -> list[DistortionMap]:
    """Estimate the distortion of one scan setting from one or more fields of view (FOVs).

    Parameters
    ----------
    pairs : sequence of tuple of ndarray
        For each FOV the average of its rapid frames, shape (y, x), NaN = not seen, and its slow
        scan of the same area, on any number of pixels [counts].
    names : sequence of str
        Of the FOVs, for messages.
    settings : SplineFit

    Returns
    -------
    list of DistortionMap
        One per FOV, in their order: one shape for all, each with its own offset along x and y.

    Raises
    ------
    DistortionError
        If there is no pair, or the rapid frames differ in shape; if an image is constant or
        saturated; if a slow scan shows another area (`ViewError`); if there is too little contrast
        along x (an empty FOV, or all lines along the scan direction); if the fit does not hold. A
        FOV with too little contrast is not refused where others of the same call have enough: it
        borrows their map.

    Notes
    -----
    Rough to fine. Columns are matched by trying simple paths through all pairs of columns. Then one
    smooth path of the beam, shared by all FOVs (row C7), and two offsets per FOV are fitted by
    Gauss-Newton steps, so that the slow scan, sampled along the path, smeared by a lag and scaled,
    predicts the rapid scan; both are high-passed, so gain and background do not count.

    The lag (a mixture of causal exponentials) is fitted along with the path, so that the map says
    where the beam was and not where the smear peaks; the slow scan's noise, which would look like
    a lag, is taken off (see `View`). A shift of all columns can still hide in the lag to some
    extent: ``source_x`` may be off as a whole by 0.1 px (more where there is little contrast).
    ``source_x_std``, from the curvature of the cost, counts that trade-off, but not what the model
    leaves out.

    With ``vary_y`` the two offsets of each FOV become parabolas of the row, from the second level
    on, under the one path of all. Where nothing varies, this costs some precision.

    Examples
    --------
    The beam runs ahead at the start of each line. Which column of the rapid frame shows a column
    of the slow scan is found to a hundredth of a pixel:

    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter, map_coordinates
    >>> from stemscale.distortion import fit_spline
    >>> slow = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 2)
    >>> rows, columns = np.mgrid[:128.0, :128.0]
    >>> beam_x = columns + 6 * np.exp(-columns / 20)
    >>> (found,) = fit_spline([(map_coordinates(slow, [rows, beam_x]), slow)])
    >>> true = np.interp(np.arange(6, 128), beam_x[0], columns[0])  # the beam begins at column 6
    >>> bool(np.abs(found.source_x[0, 6:] - true).max() < 0.01)
    True
    """
    if not pairs:
        raise DistortionError("there is nothing to fit: give one rapid and one slow scan at least")
    _require_one_shape([dcfi for dcfi, _ in pairs])
    names = [f"{n}: " for n in names] or _names(len(pairs))
    for (dcfi, slow), name in zip(pairs, names, strict=True):
        require_contrast(dcfi, f"{name}the average of the rapid frames")
        require_contrast(slow, f"{name}the slow scan")
    same = [(dcfi, onto_pixel_count(slow, dcfi.shape)) for dcfi, slow in pairs]
    matches = _match_all(same, names, settings)
    beam, start, offsets = _start(matches, pairs[0][0].shape[1], settings)
    state = start
    for number, smooth_px in enumerate(settings.smooth_px):
        state = state.of_degree(_DEGREE_ALONG_Y if settings.vary_y and number else 0)
        fit = _fit_level(same, beam, offsets, smooth_px, state, settings)
        state = fit.run(state, steps=settings.steps, close_px=0.03 * (smooth_px + 0.3))
    maps = [
        _map(beam, fit, state, number, dcfi.shape, slow.shape)
        for number, (dcfi, slow) in enumerate(pairs)
    ]
    _require_fit(maps, pairs, matches, names, settings)
    return maps


def _fit_level(
    pairs: Sequence[tuple[Image, Image]],
    beam: BeamPath,
    offsets: Offsets,
    smooth_px: float,
    state: State,
    settings: SplineFit,
) -> Fit:
    views = [
        View(
            dcfi,
            slow,
            smooth_px=smooth_px,
            background_px=settings.background_px,
            degree=state.offset_x.shape[1] - 1,
        )
        for dcfi, slow in pairs
    ]
    return Fit(views, beam, offsets)


def _match_all(
    pairs: Sequence[tuple[Image, Image]], names: Sequence[str], settings: SplineFit
) -> list[ColumnMatch | None]:
    """Match the columns of each pair; None where there is too little contrast to."""
    matches: list[ColumnMatch | None] = []
    for (dcfi, slow), name in zip(pairs, names, strict=True):
        if structure_to_noise(slow) < MIN_STRUCTURE:
            matches.append(None)
            continue
        rapid, fixed = (
            normalised(image, background_px=settings.background_px, smooth_px=1.0)
            for image in (dcfi, slow)
        )
        limit = max(1, round(settings.max_row_offset * dcfi.shape[0]))
        match = match_columns(rapid, fixed, max_row_offset=limit)
        logger.debug("%scolumns match with a ZNCC of %.3f", name, match.zncc)
        matches.append(match)
    for (dcfi, slow), name, found in zip(pairs, names, matches, strict=True):
        if found is not None and found.zncc < _SUSPECT_ZNCC:
            _require_upright(dcfi, slow, name, found.zncc, settings)
    good = [m is not None and m.zncc >= settings.min_zncc for m in matches]
    for number, found in enumerate(matches):
        if found is not None and not good[number]:
            if not any(good):
                raise _another_area(names[number], found.zncc, settings.min_zncc, number)
            # Too faint to lead the fit, or of another area: `_require_fit` tells these apart.
            matches[number] = None
    if not any(matches):
        raise DistortionError(
            "the slow scan shows no structure above its noise, so nothing can be matched: "
            "calibrate on a FOV with dislocations in all directions"
        )
    return matches


def _start(
    matches: Sequence[ColumnMatch | None], n_x: int, settings: SplineFit
) -> tuple[BeamPath, State, Offsets]:
    """Return the path through the matched columns, and what is known of the offsets."""
    beam = BeamPath(
        n_x,
        knot_px=settings.knot_px,
        bend=settings.bend,
        start_stretch=settings.start_stretch,
    )
    # one view alone: its offset is the path's
    std_x = 1e-6 if len(matches) == 1 else settings.view_shift_px
    nowhere = np.full(n_x, -1.0)
    path, offset_x = through_points(
        beam,
        np.stack([m.source_x if m else nowhere for m in matches]),
        np.stack([1 / m.variance if m else np.zeros(n_x) for m in matches]),
        std_x,
    )
    usual = float(np.median([m.row_offset for m in matches if m]))
    rows = np.array([float(m.row_offset) if m else usual for m in matches])
    state = State(path=path, offset_x=offset_x[:, None], offset_y=rows[:, None])
    known = Offsets(
        std_x=std_x, mean_y=rows, std_y=settings.view_shift_px, std_along_y=settings.vary_px
    )
    return beam, state, known


def _map(
    beam: BeamPath,
    fit: Fit,
    state: State,
    number: int,
    rapid_shape: tuple[int, ...],
    slow_shape: tuple[int, ...],
) -> DistortionMap:
    n_y, n_x = slow_shape
    x = on_other_count(np.arange(n_x), n_x, rapid_shape[1])
    y = on_other_count(np.arange(n_y), n_y, rapid_shape[0])
    degree = state.offset_x.shape[1] - 1
    source_y = y + state.offset_y[number, 0]
    for _ in range(2 * degree):  # offsets are those of the rapid row, which they lead to
        source_y = y + along_rows(source_y, rapid_shape[0], degree) @ state.offset_y[number]
    along_y = along_rows(source_y, rapid_shape[0], degree)
    away = x[None] - (along_y @ state.offset_x[number])[: n_y if degree else 1, None]
    source_x = beam.source_x(state.path, away.ravel(), fit.seen()).reshape(away.shape)
    variance = _variance(
        beam.design(source_x.mean(axis=0)), along_y, fit.covariance(state), place_of(state, number)
    )
    # the path is uncertain along the slow grid; along the rapid one it is so times their ratio
    std = np.sqrt(np.maximum(variance, 0)) * np.gradient(source_x.mean(axis=0), x)
    return DistortionMap(
        source_x=source_x,
        source_y=source_y[:, None],
        source_x_std=std[None],
        rapid_shape=(rapid_shape[0], rapid_shape[1]),
    )


def _variance(
    design: FloatArray, along_y: FloatArray, covariance: FloatArray, own: NDArray[np.int64]
) -> FloatArray:
    """Return the variance of path and offset together at each column, in the mean of the rows."""
    knots = design.shape[1]
    path = np.einsum("ij,jk,ik->i", design, covariance[:knots, :knots], design)
    both = design @ covariance[:knots, own] @ along_y.mean(axis=0)
    offset = np.einsum("ij,jk,ik->i", along_y, covariance[np.ix_(own, own)], along_y).mean()
    return np.asarray(path + 2 * both + offset, dtype=np.float64)


def _require_fit(
    maps: Sequence[DistortionMap],
    pairs: Sequence[tuple[Image, Image]],
    matches: Sequence[ColumnMatch | None],
    names: Sequence[str],
    settings: SplineFit,
) -> None:
    """Stop where the maps are too uncertain, or do worse than the matched columns they began at."""
    stds = [m.uncertainty_px for m in maps]
    if min(stds) > settings.max_std_px:
        raise DistortionError(
            f"{names[int(np.argmin(stds))]}the distortion is uncertain by {min(stds):.2f} px"
            f" (allowed: {settings.max_std_px:g}): too little changes along the scan direction, as"
            " where all lines run along it, or where a part of the view is empty; calibrate on a"
            " FOV with dislocations all over and in all directions, or on several FOVs together,"
            " or allow more (--max-uncertainty)"
        )
    for number, match in enumerate(matches):
        logger.info("%sdistortion fitted, uncertain by %.2f px", names[number], stds[number])
        dcfi, slow = pairs[number]
        score = _agreement(dcfi, slow, maps[number], settings.background_px)
        if match is None:
            logger.info("%shas too little contrast: it borrows the others' map", names[number])
            if structure_to_noise(slow) >= MIN_STRUCTURE and score < settings.min_borrowed_zncc:
                raise _another_area(names[number], score, settings.min_borrowed_zncc, number)
            continue
        if score < max(settings.min_borrowed_zncc, match.zncc - 0.1):
            raise DistortionError(
                f"{names[number]}the fit of the distortion ran away: the corrected image agrees "
                f"with the slow scan by a ZNCC of {score:.2f}, rough matching gave "
                f"{match.zncc:.2f}; try method strips, or another FOV"
            )


def _require_upright(
    dcfi: Image, slow: Image, name: str, score: float, settings: SplineFit
) -> None:
    turn = find_turn(
        dcfi,
        slow,
        score,
        background_px=settings.background_px,
        max_row_offset=settings.max_row_offset,
    )
    if turn is not None and turn[1] >= settings.min_zncc:
        raise DistortionError(
            f"{name}the rapid frames are {turn[0]} against the slow scan: they match with a ZNCC "
            f"of {score:.2f} as they lie and of {turn[1]:.2f} turned back; ingest them as the "
            f"microscope scans them, with the scan direction along x from left to right"
        )


def _another_area(name: str, score: float, needed: float, number: int) -> ViewError:
    return ViewError(
        f"{name}the slow scan shows another area than the rapid frames, or the average of these is "
        f"too noisy to tell: they match with a ZNCC of {score:.2f}, needed is {needed:g}; check "
        f"which files belong together, take more frames, or leave that field of view out",
        number=number,
    )


def _agreement(dcfi: Image, slow: Image, found: DistortionMap, background_px: int) -> float:
    warp = Warp(found)
    corrected = warp(np.asarray(dcfi)[None])[0]
    if not warp.inside.any():
        return 0.0
    left, right = (
        np.where(
            np.isnan(corrected), np.nan, normalised(i, background_px=background_px, smooth_px=1)
        )
        for i in (corrected, slow)
    )
    return float(np.nan_to_num(zncc(left, right)))


def _names(count: int) -> list[str]:
    return [""] if count == 1 else [f"pair {number + 1}: " for number in range(count)]


def _require_one_shape(dcfis: Sequence[Image]) -> None:
    shapes = sorted({dcfi.shape for dcfi in dcfis})
    if len(shapes) > 1:
        raise DistortionError(
            f"rapid frames of {len(shapes)} shapes {shapes} have no distortion in common: "
            "fit the FOVs of one scan setting together"
        )
