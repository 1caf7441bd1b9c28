"""Read the few images of a store that a page shows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from stemscale.corrections import Correction, find_correction
from stemscale.distortion import SeriesWarp
from stemscale.errors import CorrectionLostError, StemscaleError
from stemscale.store import (
    DONE,
    calibration_group,
    filtered_group,
    rapid_group,
    slow_group,
)
from stemscale.views.store_view import (
    UNREADABLE,
    FilterView,
    FovView,
    StoreView,
    first_line,
    longest_scored,
    open_group,
)

FloatImage = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shot:
    """One image of a FOV, on its own scale, and what to write under it."""

    role: str  # rapid | dcfi | filtered | slow
    name: str
    image: FloatImage  # (y, x); NaN = not seen [counts]
    pixel_size_nm: float | None
    note: str = ""
    psnr_db: float | None = None
    is_average: bool = False  # of the whole series: no frame of it


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FovShots:
    """The images of one FOV at one frame, in reading order."""

    fov: FovView
    frame: int
    shots: tuple[Shot, ...]

    @property
    def reference(self) -> Shot:
        """The sharpest image there is: slow scan, else average, else the last filtered one."""
        for role in ("slow", "dcfi", "filtered"):
            found = [s for s in self.shots if s.role == role]
            if found:
                return found[-1]
        return self.shots[0]


def choose_frame(fov: FovView) -> int:
    """Choose the frame of a FOV that a page shows.

    Parameters
    ----------
    fov : FovView

    Returns
    -------
    int
        Number of the frame: the last one before a slow scan taken after the series, which shows
        no other (row Q9); else one whose rapid PSNR is the median, so neither a lucky nor an
        unlucky one; else the middle one. Frames that some filter has not done come last.
    """
    n_frames = fov.shape[0]
    candidates = np.arange(n_frames)
    for filtered in per_frame_filters(fov):
        done = filtered.frame_numbers[filtered.status == DONE]
        both = np.intersect1d(candidates, done)
        candidates = both if both.size else candidates
    if fov.slow_is_after:
        return int(candidates[-1])
    scored = rapid_psnr_by_frame(fov)
    scored = {int(f): scored[int(f)] for f in candidates if int(f) in scored}
    if not scored:
        return int(candidates[candidates.size // 2])
    median = float(np.median(list(scored.values())))
    return min(scored, key=lambda f: abs(scored[f] - median))


def rapid_psnr_by_frame(fov: FovView) -> dict[int, float]:
    """Return the PSNR of the rapid frames [dB] by frame number, where it is known."""
    source = longest_scored(per_frame_filters(fov))
    if source is None:
        return {}
    values = source.done_scores("psnr_rapid")
    numbers = source.frame_numbers[source.status == DONE]
    return {int(n): float(v) for n, v in zip(numbers, values, strict=True) if np.isfinite(v)}


def read_shots(view: StoreView, fov: FovView, *, frame: int | None = None) -> FovShots:
    """Read one frame of each kind from a FOV: rapid, DCFI, filtered, slow.

    Parameters
    ----------
    view : StoreView
        The store; parts that cannot be read are added to its ``problems``.
    fov : FovView
        One of its FOVs.
    frame : int, optional
        Number of the frame; by default that of `choose_frame`.

    Returns
    -------
    FovShots
        Of all arrays of frames, one frame is read.
    """
    frame = choose_frame(fov) if frame is None else frame
    readers: list[Callable[[], Shot | None]] = [
        partial(_rapid, view, fov, frame),
        partial(_stored_average, view, fov),
        *(
            partial(_filtered, view, fov, filtered, frame)
            for kind in ("dcfi", "other", "bm3d", "learned")
            for filtered in fov.filters
            if filtered.kind == kind
        ),
        partial(_slow, view, fov),
    ]
    shots = []
    for reader in readers:
        try:
            shot = reader()
        except UNREADABLE as error:
            view.problems.append(f"{fov.name}: an image cannot be read: {first_line(error)}")
            continue
        if shot is not None and np.isfinite(shot.image).any():
            shots.append(shot)
    return FovShots(fov=fov, frame=frame, shots=tuple(shots))


def per_frame_filters(fov: FovView) -> list[FilterView]:
    """Leave out averages over the whole series: their one frame is none of the series.

    Parameters
    ----------
    fov : FovView

    Returns
    -------
    list of FilterView
        In the order of the store.
    """
    return [f for f in fov.filters if not f.is_average or fov.shape[0] == 1]


def _rapid(view: StoreView, fov: FovView, frame: int) -> Shot:
    corrected = [f for f in fov.filters if f.kind == "none"]
    psnr = rapid_psnr_by_frame(fov).get(frame)
    if corrected and (shot := _filtered(view, fov, corrected[0], frame)) is not None:
        return Shot(
            role="rapid",
            name="rapid",
            image=shot.image,
            pixel_size_nm=shot.pixel_size_nm,
            note="distortion corrected",
            psnr_db=psnr,
        )
    with open_group(view.store, rapid_group(fov.name)) as group:
        image = _image(group["frames"].isel(frame=frame))
    size, note = fov.pixel_size_nm, "as recorded"
    filtered_shapes = {f.shape[1:] for f in fov.filters}
    known = correction_of(view, fov)
    if known is not None and filtered_shapes <= {known[0].shape}:
        correction, warp = known
        image, note = warp(image[None], frame)[0].astype(np.float64), correction.words
        if not np.isfinite(image).any():
            view.problems.append(
                f"{fov.name}: the drift of frame {frame} is not known, so it cannot be corrected"
            )
        size = None if size is None else size * correction.pixel_ratio
    return Shot(
        role="rapid", name="rapid", image=image, pixel_size_nm=size, note=note, psnr_db=psnr
    )


def correction_of(view: StoreView, fov: FovView) -> tuple[Correction, SeriesWarp] | None:
    """Read what corrects the rapid frames of a FOV.

    Parameters
    ----------
    view : StoreView
        What cannot be read is added to its ``problems``.
    fov : FovView

    Returns
    -------
    tuple of Correction and SeriesWarp, or None
        None where nothing does, or it cannot be read: frames stay as recorded.
    """
    try:
        found = find_correction(view.store, fov.name)
        return None if found is None else (found, found.load())
    except (StemscaleError, *UNREADABLE) as error:
        known = isinstance(error, CorrectionLostError)  # whose words say all
        problem = f"{fov.name}: {error if known else first_line(error)}"
        if problem not in view.problems:
            view.problems.append(problem)
        return None


def _stored_average(view: StoreView, fov: FovView) -> Shot | None:
    """Read the average that ``calibrate`` keeps, where no filter has made one."""
    if any(f.kind == "dcfi" for f in fov.filters):
        return None
    if fov.calibration is None or not fov.calibration.has_dcfi:
        return None
    size = fov.pixel_size_nm
    with open_group(view.store, calibration_group(fov.name)) as group:
        return Shot(
            role="dcfi",
            name="DCFI",
            image=_image(group["dcfi"]),
            pixel_size_nm=None if size is None else size * fov.calibration.pixel_ratio,
            note=f"average of {fov.shape[0]} frames",
            is_average=True,
        )


def _filtered(view: StoreView, fov: FovView, filtered: FilterView, frame: int) -> Shot | None:
    at = np.flatnonzero((filtered.frame_numbers == frame) | filtered.is_average)
    if at.size == 0 or filtered.status[at[0]] != DONE:
        return None
    index = int(at[0])
    with open_group(view.store, filtered_group(fov.name, filtered.name)) as group:
        image = _image(group["frames"].isel(frame=index))
    psnr = filtered.scores.get("psnr")
    is_dcfi = filtered.kind == "dcfi"
    note = f"average of {fov.shape[0]} frames" if filtered.is_average else ""
    return Shot(
        role="dcfi" if is_dcfi else "filtered",
        name="DCFI" if filtered.name == "dcfi" else filtered.name,
        image=image,
        pixel_size_nm=filtered.pixel_size_nm or fov.pixel_size_nm,
        note="was trained on this FOV" if filtered.trained_on else note,
        is_average=filtered.is_average and fov.shape[0] > 1,
        psnr_db=None if psnr is None or not np.isfinite(psnr[index]) else float(psnr[index]),
    )


def _slow(view: StoreView, fov: FovView) -> Shot | None:
    if fov.slow is None:
        return None
    with open_group(view.store, slow_group(fov.name)) as group:
        image = _image(group["image"])
    return Shot(
        role="slow",
        name="slow scan",
        image=image,
        pixel_size_nm=fov.slow.pixel_size_nm,
        note="taken after the series" if fov.slow_is_after else "reference",
    )


def _image(values: object) -> FloatImage:
    return np.asarray(values, dtype=np.float64)
