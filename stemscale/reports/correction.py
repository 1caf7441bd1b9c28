"""What the distortion correction of one FOV did, as arrays: images, overlays, profiles, rest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from stemscale.acquisition import Image
from stemscale.corrections import load_map
from stemscale.distortion import DistortionMap, Warp, integrate_frames, nominal_source
from stemscale.distortion.shift import shift_image
from stemscale.errors import DistortionError
from stemscale.quality import remove_background, zncc
from stemscale.reports.lines import has_dark_lines, telling_rows
from stemscale.reports.pixels import FloatImage
from stemscale.reports.store_view import (
    UNREADABLE,
    CalibrationView,
    FovView,
    StoreView,
    first_line,
    open_group,
)
from stemscale.store import AcquisitionStore

FloatArray = npt.NDArray[np.float64]

MAX_FRAMES = 50  # in the average, as many as in the paper's: a picture needs no more
_SMOOTH_PX = 1.5  # against noise


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Flat:
    """Images (y, x) without their smooth backgrounds, in which rapid and slow scans differ.

    All are in % of the range of the slow scan, from the 0.5 % to the 99.5 % quantile. NaN = not
    seen.
    """

    before: FloatImage
    after: FloatImage
    slow: FloatImage

    @property
    def residual_before(self) -> FloatImage:
        """Rapid less slow scan, uncorrected [%]."""
        return self.before - self.slow

    @property
    def residual(self) -> FloatImage:
        """Rapid less slow scan, corrected [%]."""
        return self.after - self.slow


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """The average of the rapid frames on the slow scan's grid, before and after correction.

    Attributes
    ----------
    before, after : ndarray, shape (y, x)
        On the scale of the slow scan, where there is one; NaN = not seen. Before: each pixel
        taken where a scan without distortion would have seen it.
    slow : ndarray, shape (y, x), or None
        The slow scan [counts]; None without one on this grid.
    flat : Flat or None
        All three without their smooth backgrounds; None without a slow scan.
    n_frames : int
        How many frames the average is of.
    rows : tuple of int
        First row of the line profiles, and the one after the last.
    dark_lines : bool
        Whether the structure is darker than its surroundings, as in bright field.
    """

    before: FloatImage
    after: FloatImage
    slow: FloatImage | None
    flat: Flat | None
    n_frames: int
    rows: tuple[int, int]
    dark_lines: bool

    def profile(self, image: FloatImage) -> FloatArray:
        """Average the chosen rows of one of the images (y, x) to a line profile (x,)."""
        line: FloatArray = image[self.rows[0] : self.rows[1]].mean(axis=0)
        return line


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Correction:
    """The distortion of a FOV and what its correction does to the images.

    Attributes
    ----------
    fov : FovView
        Of the store.
    line : CalibrationView
        The map along the scan line.
    stretch_percent : ndarray, shape (x,)
        By how much the rapid scan is stretched locally to fit the slow one [%].
    images : Images or None
        None where they cannot be read.
    zncc_before, zncc_after : float
        Agreement with the slow scan; NaN without one.
    pixel_size_nm : float or None
        Of the corrected grid.
    notes : tuple of str
        What a reader must know: carried over, no slow scan, only a part of the frames.
    """

    fov: FovView
    line: CalibrationView
    stretch_percent: FloatArray
    images: Images | None
    zncc_before: float
    zncc_after: float
    pixel_size_nm: float | None
    notes: tuple[str, ...]


def read_correction(view: StoreView, fov: FovView) -> Correction:
    """Read a calibrated FOV and correct the average of its frames.

    Parameters
    ----------
    view : StoreView
        The store; images that cannot be read are added to its ``problems``.
    fov : FovView
        One of its FOVs, with a calibration.

    Returns
    -------
    Correction
        Of a long series at most 50 frames are read, the last ones where the slow scan was taken
        after it.

    Notes
    -----
    Source: Ihara 2022, Fig. 1a to c and 7d (rows C6 and Q7).
    """
    line = fov.calibration
    assert line is not None  # the caller's choice
    try:
        average, n_frames = _average(view, fov)
        slow = _slow(view, fov)
        distortion = load_map(AcquisitionStore(view.path), fov.name)
        images = correct_images(average, distortion, slow, line.pixel_ratio, n_frames)
    except UNREADABLE as error:
        view.problems.append(f"{fov.name}: no picture of its distortion: {first_line(error)}")
        images = None
    scores = [float("nan")] * 2
    if images is not None and images.slow is not None:
        pairs = (("zncc_before", images.before), ("zncc_after", images.after))
        scores = [_score(line, name, i, images.slow) for name, i in pairs]
    return Correction(
        fov=fov,
        line=line,
        stretch_percent=stretch_percent(line.source_x, line.pixel_ratio),
        images=images,
        zncc_before=scores[0],
        zncc_after=scores[1],
        pixel_size_nm=None if fov.pixel_size_nm is None else fov.pixel_size_nm * line.pixel_ratio,
        notes=_notes(fov, line, images),
    )


def fits_best(fovs: Sequence[FovView]) -> list[FovView]:
    """Sort the FOVs that have a calibration, the one that shows it best first.

    Parameters
    ----------
    fovs : sequence of FovView

    Returns
    -------
    list of FovView
        Those the map was estimated on come first, by their agreement with the slow scan: the
        ideal FOV of row C7 leads.
    """
    return sorted((f for f in fovs if f.calibration is not None), key=_order)


def stretch_percent(source_x: FloatArray, pixel_ratio: float) -> FloatArray:
    """Say by how much each place of the rapid scan is stretched to fit the slow one [%].

    Parameters
    ----------
    source_x : ndarray, shape (x,)
        Column of the rapid frame [px].
    pixel_ratio : float
        Rapid pixels per pixel of the corrected grid, nominally.

    Returns
    -------
    ndarray, shape (x,)
        0 without distortion, 100 where a strip is drawn to twice its width (row C4).
    """
    if source_x.size < 2:
        return np.zeros(source_x.size)
    stretch: FloatArray = 100 * (pixel_ratio / np.gradient(source_x) - 1)
    return stretch


def correct_images(
    average: FloatImage,
    distortion: DistortionMap,
    slow: FloatImage | None,
    pixel_ratio: float,
    n_frames: int,
) -> Images:
    """Bring the average of the rapid frames onto the slow grid, with and without correction.

    Parameters
    ----------
    average : ndarray, shape (y, x)
        Of the rapid frames, as scanned [counts]; NaN = not seen.
    distortion : DistortionMap
        The map.
    slow : ndarray, shape (y, x), or None
        The slow scan [counts].
    pixel_ratio : float
        Rapid pixels per pixel of the corrected grid, nominally.
    n_frames : int
        How many frames the average is of.

    Returns
    -------
    Images
        Both rapid images have the gain and offset that fit the corrected one.

    Raises
    ------
    DistortionError
        If the map shows nothing of the rapid frames.
    """
    n_y, n_x = distortion.shape
    nominal = DistortionMap(
        source_x=nominal_source(n_x, pixel_ratio)[None],
        source_y=nominal_source(n_y, pixel_ratio)[:, None],
        rapid_shape=distortion.rapid_shape,
    )
    before, after = (
        np.asarray(Warp(m)(average[None])[0], dtype=np.float64) for m in (nominal, distortion)
    )
    if slow is not None and slow.shape != after.shape:
        slow = None
    if not np.isfinite(after if slow is None else after + slow).any():
        raise DistortionError("the map shows no place that the rapid frames saw: calibrate again")
    flat = None
    if slow is not None:
        gain = structure_gain(after, slow)
        offset = float(np.nanmean(slow - gain * after))
        before, after = gain * before + offset, gain * after + offset
        flat = flatten(before, after, slow)
    sharpest = remove_background(after) if flat is None else flat.slow
    return Images(
        before=before,
        after=after,
        slow=slow,
        flat=flat,
        n_frames=n_frames,
        rows=telling_rows(sharpest, seen=np.isfinite(before) & np.isfinite(after)),
        dark_lines=has_dark_lines(sharpest),
    )


def flatten(before: FloatImage, after: FloatImage, slow: FloatImage) -> Flat:
    """Take the smooth backgrounds off, and give the rest in % of the slow scan's range.

    Parameters
    ----------
    before, after, slow : ndarray, shape (y, x)
        Of one gain; NaN = not seen.

    Returns
    -------
    Flat
    """
    one, other, reference = (remove_background(i) for i in (before, after, slow))
    low, high = np.nanquantile(reference, [0.005, 0.995])
    percent = 100 / (high - low) if high > low else 0.0
    return Flat(before=one * percent, after=other * percent, slow=reference * percent)


def structure_gain(image: FloatImage, reference: FloatImage) -> float:
    """Find the gain that gives the structure of an image the contrast of the reference's.

    Parameters
    ----------
    image, reference : ndarray, shape (y, x)
        Of one scene; NaN = not seen.

    Returns
    -------
    float
        Ratio of the standard deviations, without smooth backgrounds and most of the noise. A fit
        by least squares would take noise in one image for too much contrast, or too little.
    """
    seen = np.isfinite(image) & np.isfinite(reference)
    flat = (remove_background(np.where(seen, i, np.nan)) for i in (image, reference))
    spread, wanted = (
        float(np.std(gaussian_filter(np.nan_to_num(i), _SMOOTH_PX)[seen])) if seen.any() else 0.0
        for i in flat
    )
    return wanted / spread if spread > 0 and wanted > 0 else 1.0


def overlay(
    rapid: FloatImage, slow: FloatImage, *, dark_lines: bool, window: tuple[float, float]
) -> FloatImage:
    """Lay two images over each other in two colours that colour-blind readers tell apart.

    Parameters
    ----------
    rapid, slow : ndarray, shape (y, x)
        On one scale; NaN = not seen.
    dark_lines : bool
        Whether lines are darker than their surroundings: then the colours are swapped, so that
        the lines of the rapid scan come out orange either way.
    window : tuple of float
        Intensities of black and white.

    Returns
    -------
    ndarray, shape (y, x, 4)
        RGBA from 0 to 1: lines of the rapid scan alone orange, of the slow scan alone blue, grey
        where both agree, transparent where either is not seen.
    """
    black, white = window
    one, other = (np.clip((i - black) / (white - black), 0, 1) for i in (rapid, slow))
    if dark_lines:
        one, other = other, one
    seen = np.isfinite(rapid) & np.isfinite(slow)
    rgba = np.stack([one, (one + other) / 2, other, np.ones(one.shape)], axis=-1)
    return np.where(seen[..., None], rgba, 0.0)


def root_mean_square(image: FloatImage) -> float:
    """Return the root mean square of what is seen of an image; NaN of one that is not seen."""
    seen = image[np.isfinite(image)]
    return float(np.sqrt(np.mean(seen**2))) if seen.size else float("nan")


def _average(view: StoreView, fov: FovView) -> tuple[FloatImage, int]:
    """Average frames as they were scanned; on the grid of the calibration, where it knows it."""
    with open_group(view.path, f"{fov.name}/calibration") as group:
        known = "shift_x" in group and group["shift_x"].size == fov.shape[0]
        if known:
            shifts = np.stack([group["shift_y"].values, group["shift_x"].values], axis=1)
    count = fov.shape[0]
    first = max(0, count - MAX_FRAMES) if fov.slow_is_after else 0
    numbers = range(first, min(count, first + MAX_FRAMES))
    frames = _frames(view, fov, numbers)
    if not known:
        dcfi = integrate_frames(frame[None] for frame in frames)
        return dcfi.image.astype(np.float64), dcfi.n_frames
    total, seen = np.zeros(fov.shape[1:]), np.zeros(fov.shape[1:], dtype=np.int64)
    n_frames = 0
    for frame, (dy, dx) in zip(frames, shifts[first:], strict=False):
        if np.isfinite(dy + dx):  # else a frame without contrast
            moved, rows, columns = shift_image(frame, float(dy), float(dx))
            total[rows, columns] += moved
            seen[rows, columns] += 1
            n_frames += 1
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan), n_frames


def _frames(view: StoreView, fov: FovView, numbers: Iterable[int]) -> Iterator[Image]:
    """Read one frame after the other: fifty large ones need not fit into memory."""
    with open_group(view.path, f"{fov.name}/rapid") as group:
        for number in numbers:
            yield group["frames"].isel(frame=number).values


def _slow(view: StoreView, fov: FovView) -> FloatImage | None:
    if fov.slow is None:
        return None
    with open_group(view.path, f"{fov.name}/slow") as group:
        return np.asarray(group["image"].values, dtype=np.float64)


def _score(line: CalibrationView, name: str, image: FloatImage, slow: FloatImage) -> float:
    """Give the score of all frames that ``calibrate`` stored, else that of the average shown."""
    stored = line.attrs.get(name)
    return float(stored) if isinstance(stored, int | float) else zncc(image, slow)


def _order(fov: FovView) -> tuple[bool, bool, bool, float]:
    line = fov.calibration
    assert line is not None
    after = line.attrs.get("zncc_after")
    score = float(after) if isinstance(after, int | float) else 0.0
    return line.carried_over, fov.slow is None, fov.slow_is_after, -score


def _notes(fov: FovView, line: CalibrationView, images: Images | None) -> tuple[str, ...]:
    found = []
    if line.carried_over:
        found.append("The map was estimated on other fields of view and carried over to this one.")
    if fov.slow is None:
        found.append("There is no slow scan of this field of view to compare with.")
    elif images is not None and images.slow is None:
        found.append("The slow scan is on another grid than the map: it is not compared.")
    elif fov.slow_is_after:
        found.append("The slow scan was taken after the series and may show another scene.")
    if images is not None and images.n_frames < fov.shape[0]:
        which = "the last " if fov.slow_is_after else ""
        found.append(f"The average shown is of {which}{images.n_frames} of {fov.shape[0]} frames.")
    return tuple(found)
