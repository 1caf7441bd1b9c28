"""Drift-corrected frame integration (DCFI): align rapid frames and average them."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition import Frames, Image
from stemscale.distortion.accumulator import Accumulator
from stemscale.distortion.arrays import FloatArray
from stemscale.distortion.chain import GroupChain
from stemscale.distortion.drift import DriftSearch
from stemscale.distortion.group import align_group
from stemscale.errors import DistortionError, FrameShapeError, SettingsError

logger = logging.getLogger(__name__)


_GROUP = 32  # frames aligned among themselves
_LEAST = 8  # frames in the last group, but for a shorter series
_LARGE = 1024 * 1024  # px of a frame, from where on groups hold fewer of them


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
    weights : ndarray of float64, shape (frame,)
        Weight of each frame in the average, 1 on average; 0 for one that is left out.
    """

    image: NDArray[np.float32]
    shifts: FloatArray
    n_frames: int
    weights: FloatArray


def integrate_frames(
    blocks: Iterable[Frames],
    *,
    search: DriftSearch = DriftSearch(),  # noqa: B008 (frozen)
    weighted: bool = False,
) -> Dcfi:
    """Align all frames of a series and average them, block by block.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (frame, y, x)
        In the order of time, any real dtype; each is looked at once and not kept, so a series of
        any length needs the memory of some forty frames.
    search : DriftSearch
    weighted : bool
        Whether each frame weighs as much as it is good, instead of as much as any other.

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
    Source: row D3. Groups of 32 frames are aligned and averaged by themselves (`align_group`), so
    that this can be done in parallel; the groups' means, which have little noise left, are then
    aligned one after the other to a running mean over some 256 frames (`GroupChain`), looked for
    around the frame before. A drift of tens of px is followed, and one beyond the frame's length
    as well: errors then add up along the running mean, to some 1 % of the drift on frames of
    100 px, less on larger ones. The time is linear in the frames.

    Weights: frame i shows the scene with an amplitude a_i and has noise of variance n_i. Of all
    weighted sums, the one with weights a_i / n_i has the highest ratio of signal to noise: a
    frame of half the dose at the same brightness, with twice the variance, weighs half as much;
    one that is out of focus loses amplitude, and what it shows wrongly counts as noise. Both are
    measured in the band of wave numbers that frames are aligned in, a_i by the frame's correlation
    with the mean of the others, n_i as what is left of its power, so neither background nor
    contrast from elsewhere takes part, and frames of different groups compare.

    Examples
    --------
    A particle drifts by 2 px a frame; shifts count from its mean place:

    >>> import numpy as np
    >>> from stemscale.distortion import integrate_frames
    >>> y, x = np.mgrid[:64, :64]
    >>> frames = np.stack([np.exp(-((y - 32) ** 2 + (x - at) ** 2) / 32) for at in (30, 32, 34)])
    >>> dcfi = integrate_frames([frames])
    >>> (dcfi.shifts.round(1) + 0.0).tolist()
    [[0.0, -2.0], [0.0, 0.0], [0.0, 2.0]]
    >>> dcfi.n_frames, round(float(np.nanmax(dcfi.image)), 2)
    (3, 1.0)
    """
    chain = GroupChain(search)
    for frames in _in_groups(_one_by_one(blocks)):
        for group in align_group(frames, search=search, weighted=weighted):
            chain.add(group)
        del frames  # before the next group is gathered
    return finish_dcfi(chain)


def finish_dcfi(chain: GroupChain) -> Dcfi:
    """Return the average of all groups of a series.

    Raises
    ------
    DistortionError
        If there is no frame, or no frame with contrast.
    """
    shifts, image = chain.shifts, chain.mean()
    if not len(shifts):
        raise DistortionError("there are no frames to integrate: ingest a series of at least one")
    if image is None:
        raise DistortionError(
            f"no frame of {len(shifts)} has any contrast: nothing to align; was the beam blanked?"
        )
    known = np.isfinite(shifts[:, 0])
    n_frames = int(known.sum())
    logger.info("integrated %d of %d frames", n_frames, len(shifts))
    weights = chain.weights
    return Dcfi(
        image=image,
        shifts=shifts,
        n_frames=n_frames,
        weights=weights / max(weights[known].mean(), 1e-300),
    )


def group_bounds(n_frames: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Cut a series into groups of frames that are aligned among themselves.

    Parameters
    ----------
    n_frames : int
    shape : tuple of int
        (y, x) of a frame.

    Returns
    -------
    list of tuple of int
        First frame of a group, and the first one after it. 32 frames each, fewer of more than
        1024 x 1024 px; a last group of less than a quarter of that is joined to the one before.

    Examples
    --------
    A short rest is joined to the group before it:

    >>> from stemscale.distortion import group_bounds
    >>> group_bounds(70, (512, 512))
    [(0, 32), (32, 70)]
    >>> group_bounds(80, (512, 512))
    [(0, 32), (32, 64), (64, 80)]
    """
    size, least = _group_size(shape)
    starts = [s for s in range(0, n_frames, size) if s == 0 or n_frames - s >= least]
    return list(zip(starts, [*starts[1:], n_frames], strict=True)) if n_frames else []


def _group_size(shape: tuple[int, ...]) -> tuple[int, int]:
    size = max(_LEAST // 2, _GROUP * min(_LARGE, shape[0] * shape[1]) // (shape[0] * shape[1]))
    return size, max(2, size * _LEAST // _GROUP)


def _in_groups(frames: Iterator[Image]) -> Iterator[list[Image]]:
    """Cut a stream of frames as `group_bounds` does."""
    held: list[Image] = []
    for frame in frames:
        held.append(frame)
        size, least = _group_size(frame.shape)
        if len(held) == size + least:
            yield held[:size]
            held = held[size:]
    if held:
        yield held


def rolling_dcfi(
    frames: Frames,
    window: int,
    *,
    shifts: FloatArray | None = None,
    weights: FloatArray | None = None,
    weighted: bool = False,
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
    weights : ndarray, shape (frame,), optional
        As from `integrate_frames`; by default all alike, or as ``weighted`` says.
    weighted : bool
        Whether to weigh frames by their quality, where shifts are estimated.

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

    Examples
    --------
    At the ends of the series there are fewer neighbours:

    >>> import numpy as np
    >>> from stemscale.distortion import rolling_dcfi
    >>> frames = np.array([0.0, 3.0, 6.0, 9.0]).reshape(4, 1, 1)
    >>> rolling_dcfi(frames, 3, shifts=np.zeros((4, 2))).ravel().tolist()
    [1.5, 3.0, 6.0, 7.5]
    """
    if window < 1:
        raise SettingsError(f"window is {window}: needed is 1 frame or more")
    found = shifts
    if found is None:
        dcfi = integrate_frames([frames], weighted=weighted)
        found, weights = dcfi.shifts, dcfi.weights
    if len(found) != len(frames):
        raise DistortionError(f"there are {len(found)} shifts for {len(frames)} frames")
    weight = np.ones(len(frames)) if weights is None else np.asarray(weights, dtype=np.float64)
    averaged = np.empty(frames.shape, dtype=np.float32)
    for number in range(len(frames)):
        start = max(0, number - window // 2)
        total = Accumulator(frames.shape[1:])
        for other in range(start, min(len(frames), number - window // 2 + window)):
            away = found[other] - found[number] if other != number else np.zeros(2)
            if np.isfinite(away).all():
                # A frame that is left out of averages has no weight, but is its own average here.
                alone = other == number and not (np.isfinite(found[number]).all() and weight[other])
                share = 1.0 if alone else float(weight[other])
                total.add(frames[other], (float(away[0]), float(away[1])), share)
        averaged[number] = total.mean()
    return averaged


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
