"""Fields of view to train on: how they are split, and how patches are drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoise.augmentation import Batch, augment
from stemscale.denoise.recipe import Recipe
from stemscale.denoise.scaling import (
    SCALE_FRAMES,
    SeriesScale,
    frame_min_max,
    mean_frame,
    normalise,
    series_scale,
)
from stemscale.denoise.target import match_target
from stemscale.denoise.unseen import fill_unseen
from stemscale.errors import FrameShapeError, TrainingError

_MIN_FOVS_TO_HOLD_OUT = 3
_MIN_SEEN = 0.5  # share of a patch; the rest of it does not count in the loss


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingFov:
    """One field of view: rapid frames and the image that a filter shall make of each of them."""

    name: str
    frames: Any  # array-like (frame, y, x), corrected, on the target's grid; NaN = not seen
    target: NDArray[Any]  # (y, x); NaN = not seen

    def __post_init__(self) -> None:
        """Refuse frames and a target that do not fit."""
        shape = tuple(self.frames.shape)
        if len(shape) != 3 or shape[1:] != self.target.shape:
            raise FrameShapeError(
                f"{self.name}: frames have shape {shape} but the target has "
                f"{self.target.shape}: bring both onto one grid (calibrate the FOV)"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FovPart:
    """The frames and rows of one FOV that a training, or its validation, may use."""

    name: str
    frames: Any  # (frame, y, x) [counts]
    target: NDArray[np.float32]  # (y, x), on the network's scale; NaN = not seen
    scale: SeriesScale | None  # of the series; None: every frame by its own minimum and maximum
    which: tuple[int, ...]  # frames
    rows: slice

    def frame_scale(self, index: int) -> SeriesScale:
        """Scale on which frame ``index`` enters the network."""
        return self.scale or frame_min_max(np.asarray(self.frames[index]))

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Pixels of these rows that have a target, shape (rows, x)."""
        return np.isfinite(self.target[self.rows])


def prepare_fov(fov: TrainingFov, recipe: Recipe) -> FovPart:
    """Bring a FOV onto the network's scale.

    Parameters
    ----------
    fov : TrainingFov
    recipe : Recipe
        Says which scale, and whether the target takes the frames' background.

    Returns
    -------
    FovPart
        All frames and rows.

    Raises
    ------
    TrainingError
        If the FOV has no frame.
    SeriesError
        If the frames are constant or show nothing.
    """
    n_frames = int(fov.frames.shape[0])
    if n_frames == 0:
        raise TrainingError(f"{fov.name} has no frame to train on: leave it out")
    target = np.asarray(fov.target, dtype=np.float64)
    if recipe.background_px is not None:
        step = max(1, n_frames // SCALE_FRAMES)
        mean = mean_frame(fov.frames, range(0, n_frames, step))
        target = match_target(target, mean, background_px=recipe.background_px)
    scale = series_scale(fov.frames) if recipe.normalisation == "series" else None
    return FovPart(
        name=fov.name,
        frames=fov.frames,
        target=normalise(target, scale or frame_min_max(target)),
        scale=scale,
        which=tuple(range(n_frames)),
        rows=slice(0, target.shape[0]),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """What is trained on and what is held out."""

    training: tuple[FovPart, ...]
    validation: tuple[FovPart, ...]
    held_out: str  # in words, for the card


def split_fovs(parts: Sequence[FovPart], *, share: float, rng: np.random.Generator) -> Split:
    """Hold FOVs out for validation.

    Patches of one FOV show the same dislocations in every frame, so a FOV is either trained on or
    validated on. With one or two FOVs there is none to spare: then the last frames and the lowest
    rows are held out, which flatters the score.

    Parameters
    ----------
    parts : sequence of FovPart
    share : float
        Of the FOVs (at least one), or of frames and rows, to hold out.
    rng : numpy.random.Generator
        Draws the FOVs.

    Returns
    -------
    Split

    Raises
    ------
    TrainingError
        If there is no FOV.
    """
    if not parts:
        raise TrainingError("there is no FOV to train on: give at least one with frames and target")
    if len(parts) >= _MIN_FOVS_TO_HOLD_OUT:
        n_held_out = max(1, round(share * len(parts)))
        held_out = set(rng.permutation(len(parts))[:n_held_out].tolist())
        return Split(
            training=tuple(p for i, p in enumerate(parts) if i not in held_out),
            validation=tuple(p for i, p in enumerate(parts) if i in held_out),
            held_out="FOVs",
        )
    cut = [_cut_fov(part, share) for part in parts]
    return Split(
        training=tuple(training for training, _ in cut),
        validation=tuple(validation for _, validation in cut),
        held_out="last frames and lowest rows of the FOVs trained on (there are fewer than three)",
    )


def _cut_fov(part: FovPart, share: float) -> tuple[FovPart, FovPart]:
    n_rows, n_frames = part.target.shape[0], len(part.which)
    row = n_rows - max(1, round(share * n_rows))
    frame = n_frames - max(1, round(share * n_frames))
    # a single frame cannot be shared out; then the rows alone part the two
    kept, held_out = (part.which[:frame], part.which[frame:]) if frame else (part.which,) * 2
    return (
        replace(part, which=kept, rows=slice(0, row)),
        replace(part, which=held_out, rows=slice(row, n_rows)),
    )


class PatchSampler:
    """Draws batches of patches, at random and repeatably.

    FOVs are drawn in proportion to what they hold (frames x pixels seen), frames and places
    evenly. Places where less than half of the patch has a target are left out; of the others, the
    unseen pixels get weight 0.

    Parameters
    ----------
    parts : sequence of FovPart
    recipe : Recipe
        Patch and batch size, augmentation.
    rng : numpy.random.Generator

    Raises
    ------
    TrainingError
        If no patch of any FOV is seen by half.
    """

    def __init__(self, parts: Sequence[FovPart], recipe: Recipe, rng: np.random.Generator) -> None:
        smallest = np.min([part.seen.shape for part in parts], axis=0)
        self.patch_shape = (
            min(recipe.patch_px, int(smallest[0])),
            min(recipe.patch_px, int(smallest[1])),
        )
        places = [_places(part.seen, self.patch_shape) for part in parts]
        self._parts = [part for part, corners in zip(parts, places, strict=True) if len(corners)]
        self._places = [corners for corners in places if len(corners)]
        if not self._parts:
            raise TrainingError(
                f"no patch of {self.patch_shape} px is seen by half in any of "
                f"{', '.join(part.name for part in parts)}: are frames and target on one grid?"
            )
        pixels = np.array([len(part.which) * int(part.seen.sum()) for part in self._parts])
        self._chance = pixels / pixels.sum()
        self._recipe = recipe
        self._rng = rng
        self._scales: dict[tuple[int, int], SeriesScale] = {}
        patch_px = self.patch_shape[0] * self.patch_shape[1]
        self.patches_per_epoch = max(1, round(int(pixels.sum()) / patch_px))

    @property
    def steps_per_epoch(self) -> int:
        """Batches after which every pixel of every frame was drawn once on average."""
        return -(-self.patches_per_epoch // self._recipe.batch)

    def draw(self) -> Batch:
        """Draw one batch, augmented.

        Returns
        -------
        Batch
            Patches of shape (batch, y, x).
        """
        drawn = [self._draw_patch() for _ in range(self._recipe.batch)]
        inputs, targets, weights = (np.stack(images) for images in zip(*drawn, strict=True))
        recipe = self._recipe
        return augment(
            Batch(inputs=inputs, targets=targets, weights=weights),
            self._rng,
            flip_y=recipe.flip_y,
            gain_jitter=recipe.gain_jitter,
            offset_jitter=recipe.offset_jitter,
        )

    def _draw_patch(self) -> tuple[NDArray[np.float32], ...]:
        which = int(self._rng.choice(len(self._parts), p=self._chance))
        part, corners = self._parts[which], self._places[which]
        frame = part.which[int(self._rng.integers(len(part.which)))]
        top, left = corners[int(self._rng.integers(len(corners)))]
        top = int(top) + part.rows.start
        window = np.s_[top : top + self.patch_shape[0], int(left) : left + self.patch_shape[1]]
        if (which, frame) not in self._scales:
            self._scales[which, frame] = part.frame_scale(frame)
        values = normalise(part.frames[(frame, *window)], self._scales[which, frame])
        target = part.target[window]
        weight = (np.isfinite(values) & np.isfinite(target)).astype(np.float32)
        return fill_unseen(values), np.nan_to_num(target, nan=0.0), weight


def _places(seen: NDArray[np.bool_], patch_shape: tuple[int, int]) -> NDArray[np.int32]:
    """Upper left corners (n, 2) of the patches of which at least half is seen."""
    height, width = patch_shape
    summed = np.zeros((seen.shape[0] + 1, seen.shape[1] + 1), dtype=np.int64)
    summed[1:, 1:] = seen.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    inside = (
        summed[height:, width:]
        - summed[:-height, width:]
        - summed[height:, :-width]
        + summed[:-height, :-width]
    )
    return np.argwhere(inside >= _MIN_SEEN * height * width).astype(np.int32)
