"""Drift-corrected frame integration (DCFI): align rapid frames and average them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion.drift import Correlator, DriftSearch
from stemscale.distortion.shift import shift_image
from stemscale.errors import DistortionError, FrameShapeError, SettingsError

logger = logging.getLogger(__name__)

Image = NDArray[Any]
Frames = NDArray[Any]
FloatArray = NDArray[np.float64]

FIRST_FRAMES = 16  # that the first reference is made of
_REFRESH_EVERY = 8  # frames between two looks at the running mean
_MEMORY = 64  # frames that the running mean remembers: an in-situ scene changes
_REANCHOR = 0.2  # of the frame's length: the running mean follows a drift beyond


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dcfi:
    """The average of a series' aligned frames.

    Attributes
    ----------
    image : ndarray of float32, shape (y, x)
        In the frames' intensity scale; NaN where no frame saw the place.
    shifts : ndarray of float64, shape (frame, 2)
        Where the scene of ``image`` lies in each frame (dy, dx) [px]; NaN for a frame without
        contrast, which is left out.
    n_frames : int
        How many frames were averaged.
    """

    image: NDArray[np.float32]
    shifts: FloatArray
    n_frames: int


def integrate_frames(
    blocks: Iterable[Frames],
    *,
    search: DriftSearch = DriftSearch(),  # noqa: B008 (frozen)
) -> Dcfi:
    """Align all frames of a series and average them, block by block.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (frame, y, x)
        In the order of time, any real dtype; each is looked at once and not kept, so a series of
        any length needs the memory of one block and of some twenty frames.
    search : DriftSearch

    Returns
    -------
    Dcfi
        On the grid of the first frames' mean position.

    Raises
    ------
    DistortionError
        If there is no frame, or no frame with contrast.
    FrameShapeError
        If the frames differ in shape.

    Notes
    -----
    Source: row D3. The first 16 frames are chained, each to the mean of those before it, then
    aligned once more, each to the mean of the *others* (its own noise would hold it in place).
    Later frames are aligned to a running mean over some 64 frames, looked for around the frame
    before, so that a drift of tens of px in all is followed, and one beyond the frame's length as
    well: errors then add up along the running mean, to some 1 % of the drift on frames of 100 px,
    less on larger ones. The time is linear in the frames.
    """
    frames = _one_by_one(blocks)
    first = list(islice(frames, FIRST_FRAMES))
    if not first:
        raise DistortionError("there are no frames to integrate: ingest a series of at least one")
    shifts = _align_first(first, search)
    total = Accumulator(first[0].shape)
    for frame, shift in zip(first, shifts, strict=True):
        total.add(frame, shift)
    if total.n_frames == 0:
        raise DistortionError(
            f"none of the first {len(first)} frames has any contrast: nothing to align; "
            "was the beam blanked?"
        )
    running = _Running(total, shifts, search)
    del first  # frames are views: they would keep their blocks
    for frame in frames:
        shift = running.align(frame)
        shifts.append(shift)
        total.add(frame, shift)
    logger.info("integrated %d of %d frames", total.n_frames, len(shifts))
    return Dcfi(
        image=total.mean(),
        shifts=np.array([s or (np.nan, np.nan) for s in shifts], dtype=np.float64),
        n_frames=total.n_frames,
    )


def rolling_dcfi(
    frames: Frames, window: int, *, shifts: FloatArray | None = None
) -> NDArray[np.float32]:
    """Average each frame with its neighbours in time, aligned to it.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Any real dtype.
    window : int
        Frames per average, the frame itself included; at both ends of the series as many of them
        as there are. Of an even number, one more lies before the frame than after it.
    shifts : ndarray, shape (frame, 2), optional
        As from `integrate_frames`; estimated from these frames where left out.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)
        Each on its own frame's grid; a frame without contrast (NaN shift) stays as it is.

    Raises
    ------
    SettingsError
        If the window is not 1 frame or more.
    DistortionError
        If there is no frame, or shifts and frames differ in number.
    """
    if window < 1:
        raise SettingsError(f"window is {window}: needed is 1 frame or more")
    found = integrate_frames([frames]).shifts if shifts is None else shifts
    if len(found) != len(frames):
        raise DistortionError(f"there are {len(found)} shifts for {len(frames)} frames")
    averaged = np.empty(frames.shape, dtype=np.float32)
    for number in range(len(frames)):
        start = max(0, number - window // 2)
        total = Accumulator(frames.shape[1:])
        for other in range(start, min(len(frames), number - window // 2 + window)):
            away = found[other] - found[number] if other != number else np.zeros(2)
            if np.isfinite(away).all():
                total.add(frames[other], (float(away[0]), float(away[1])))
        averaged[number] = total.mean()
    return averaged


Shift = tuple[float, float]


class Accumulator:
    """Sums frames on one grid, and counts how many saw each pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape, dtype=np.float64)
        self._count = np.zeros(shape, dtype=np.int32)
        self.n_frames = 0

    def add(self, frame: Image, shift: Shift | None) -> None:
        """Add a frame whose scene lies at ``shift`` (dy, dx) [px]; None adds nothing."""
        if shift is None:
            return
        moved, rows, columns = shift_image(frame, *shift)
        self._sum[rows, columns] += moved
        self._count[rows, columns] += 1
        self.n_frames += 1

    def mean(self) -> NDArray[np.float32]:
        """Return the mean, NaN where no frame saw the place."""
        seen = self._count > 0
        mean = np.full(self._sum.shape, np.nan, dtype=np.float32)
        mean[seen] = self._sum[seen] / self._count[seen]
        return mean

    def mean_without(self, frame: Image, shift: Shift) -> NDArray[np.float32]:
        """Return the mean of the other frames."""
        self._change(frame, shift, -1)
        rest = self.mean()
        self._change(frame, shift, 1)
        return rest

    def _change(self, frame: Image, shift: Shift, sign: int) -> None:
        moved, rows, columns = shift_image(frame, *shift)
        self._sum[rows, columns] += sign * moved
        self._count[rows, columns] += sign


def _one_by_one(blocks: Iterable[Frames]) -> Iterator[Image]:
    shape: tuple[int, ...] | None = None
    number = 0
    for block in blocks:
        if block.ndim != 3:
            raise FrameShapeError(
                f"a block of frames has shape {block.shape}, needed is (frame, y, x)"
            )
        shape = shape or block.shape[1:]
        if block.shape[1:] != shape:
            raise FrameShapeError(
                f"frame {number} has shape {block.shape[1:]} but the first has {shape}: "
                "integrate frames of one scan setting only"
            )
        yield from block
        number += len(block)


def _align_first(frames: Sequence[Image], search: DriftSearch) -> list[Shift | None]:
    """Align some frames among themselves; their mean position is the grid."""
    total = Accumulator(frames[0].shape)
    shifts: list[Shift | None] = []
    for frame in frames:  # chained: a drift may be larger than what one look finds
        reference = total.mean() if total.n_frames else frame
        last = next((s for s in reversed(shifts) if s), (0.0, 0.0))
        shift = Correlator(reference, search).shift(frame, last)
        total.add(frame, shift)
        shifts.append(shift)
    if total.n_frames > 1:
        again: list[Shift | None] = []
        for frame, shift in zip(frames, shifts, strict=True):
            if shift is None:
                again.append(None)
                continue
            others = Correlator(total.mean_without(frame, shift), search)
            again.append(others.shift(frame, shift))
        shifts = again
    known = np.array([s for s in shifts if s]).reshape(-1, 2)
    centre = known.mean(axis=0) if len(known) else np.zeros(2)
    return [(float(s[0] - centre[0]), float(s[1] - centre[1])) if s else None for s in shifts]


class _Running:
    """Aligns later frames to a running mean, which follows the drift in whole pixels."""

    def __init__(
        self, total: Accumulator, shifts: Sequence[Shift | None], search: DriftSearch
    ) -> None:
        self._search = search
        self._mean = total.mean()
        self._count = total.n_frames
        self._last = next(s for s in reversed(shifts) if s)
        self._origin = (0, 0)  # the running mean shows at (y, x) what the grid has at origin + that
        self._correlator = Correlator(self._mean, search)
        self._age = 0

    def align(self, frame: Image) -> Shift | None:
        """Return a frame's shift against the grid and take it into the running mean."""
        if self._age == _REFRESH_EVERY:
            self._refresh()
        self._age += 1
        near = (self._last[0] + self._origin[0], self._last[1] + self._origin[1])
        found = self._correlator.shift(frame, near)
        if found is None:
            return None
        self._take_in(frame, found)
        self._last = (found[0] - self._origin[0], found[1] - self._origin[1])
        return self._last

    def _take_in(self, frame: Image, shift: Shift) -> None:
        moved, rows, columns = shift_image(frame, *shift)
        self._count += 1
        part = self._mean[rows, columns]
        unseen = np.isnan(part)
        part += (moved - part) / min(self._count, _MEMORY)
        part[unseen] = moved[unseen]

    def _refresh(self) -> None:
        """Look at the running mean as it is now, on a grid that the last frame shares largely."""
        self._age = 0
        here = (self._last[0] + self._origin[0], self._last[1] + self._origin[1])
        if any(abs(s) > _REANCHOR * n for s, n in zip(here, self._mean.shape, strict=True)):
            step = (round(here[0]), round(here[1]))
            moved, rows, columns = shift_image(self._mean, -step[0], -step[1])
            self._mean = np.full(self._mean.shape, np.nan, dtype=np.float32)
            self._mean[rows, columns] = moved
            self._origin = (self._origin[0] - step[0], self._origin[1] - step[1])
        self._correlator = Correlator(self._mean, self._search)
