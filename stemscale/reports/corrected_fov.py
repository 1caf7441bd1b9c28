"""Read a calibrated FOV, and correct the average of its frames."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemscale.acquisition import Image
from stemscale.corrections import load_map, load_shifts
from stemscale.distortion import integrate_frames
from stemscale.distortion.accumulator import Accumulator
from stemscale.quality import zncc
from stemscale.reports.before_after import Images, correct_images, stretch_percent
from stemscale.reports.shots import FloatImage
from stemscale.store import rapid_group, slow_group
from stemscale.views.store_view import (
    UNREADABLE,
    CalibrationView,
    FovView,
    StoreView,
    first_line,
    open_group,
)

FloatArray = npt.NDArray[np.float64]

MAX_FRAMES = 50  # in the average, as many as in the paper's: a picture needs no more


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CorrectedFov:
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


def read_correction(view: StoreView, fov: FovView) -> CorrectedFov:
    """Read a calibrated FOV and correct the average of its frames.

    Parameters
    ----------
    view : StoreView
        The store; images that cannot be read are added to its ``problems``.
    fov : FovView
        One of its FOVs, with a calibration.

    Returns
    -------
    CorrectedFov
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
        distortion = load_map(view.store, fov.name)
        images = correct_images(average, distortion, slow, line.pixel_ratio, n_frames)
    except UNREADABLE as error:
        view.problems.append(f"{fov.name}: no picture of its distortion: {first_line(error)}")
        images = None
    scores = [float("nan")] * 2
    if images is not None and images.slow is not None:
        pairs = (("zncc_before", images.before), ("zncc_after", images.after))
        scores = [_score(line, name, i, images.slow) for name, i in pairs]
    return CorrectedFov(
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


def _average(view: StoreView, fov: FovView) -> tuple[FloatImage, int]:
    """Average frames as they were scanned; on the grid of the calibration, where it knows it."""
    shifts = load_shifts(view.store, fov.name)
    count = fov.shape[0]
    first = max(0, count - MAX_FRAMES) if fov.slow_is_after else 0
    numbers = range(first, min(count, first + MAX_FRAMES))
    frames = _frames(view, fov, numbers)
    if shifts is None or shifts.shape[0] != count:
        dcfi = integrate_frames(frame[None] for frame in frames)
        return dcfi.image.astype(np.float64), dcfi.n_frames
    sums, n_frames = Accumulator(fov.shape[1:]), 0
    for frame, (dy, dx) in zip(frames, shifts[first:], strict=False):
        if np.isfinite(dy + dx):  # else a frame without contrast
            sums.add(frame, (float(dy), float(dx)))
            n_frames += 1
    return sums.mean().astype(np.float64), n_frames


def _frames(view: StoreView, fov: FovView, numbers: Iterable[int]) -> Iterator[Image]:
    """Read one frame after the other: fifty large ones need not fit into memory."""
    with open_group(view.store, rapid_group(fov.name)) as group:
        for number in numbers:
            yield group["frames"].isel(frame=number).values


def _slow(view: StoreView, fov: FovView) -> FloatImage | None:
    if fov.slow is None:
        return None
    with open_group(view.store, slow_group(fov.name)) as group:
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
