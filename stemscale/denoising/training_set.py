"""Fields of view to train on: how they are split, and how patches are drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.denoising.augmentation import Batch, augment, dose_weights
from stemscale.denoising.neighbours import mirrored, neighbours
from stemscale.denoising.recipe import Recipe
from stemscale.denoising.scaling import (
    SCALE_FRAMES,
    SeriesScale,
    equalized,
    frame_min_max,
    mean_frame,
    normalise,
    series_scale,
)
from stemscale.denoising.scratch import equalized_copy
from stemscale.denoising.target import match_target
from stemscale.denoising.unseen import fill_unseen
from stemscale.errors import FrameShapeError, SettingsError, TrainingError

_MIN_FOVS_TO_HOLD_OUT = 3
_MIN_SEEN = 0.5  # share of a patch; the rest of it does not count in the loss


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingFov:
    """One field of view: rapid frames and the image that a filter shall make of each of them.

    Examples
    --------
    Frames that were not corrected yet do not lie on the grid of the slow scan:

    >>> import numpy as np
    >>> from stemscale.denoising import TrainingFov
    >>> TrainingFov(name="fov01", frames=np.zeros((20, 256, 256)), target=np.zeros((256, 250)))
    Traceback (most recent call last):
    stemscale.errors.FrameShapeError: fov01: frames have shape (20, 256, 256) but the target has ...
    """

    name: str
    frames: Any  # array-like (frame, y, x), corrected, on the target's grid; NaN = not seen
    target: NDArray[Any] | None  # (y, x); NaN = not seen; None: the FOV's other frames
    # (frame, y, x) [counts]: what a larger filter makes of each frame, to be learned in place of
    # the target, which then only validates. It scatters less: a small network learns sooner.
    taught: NDArray[np.float32] | None = None
    recorded: bool = False  # frames are as the microscope gave them: not interpolated

    def __post_init__(self) -> None:
        """Refuse frames and a target that do not fit."""
        if self.taught is not None and self.taught.shape != tuple(self.frames.shape):
            raise FrameShapeError(
                f"{self.name}: frames have shape {tuple(self.frames.shape)}, but what is taught "
                f"has {self.taught.shape}: filter these very frames"
            )
        shape = tuple(self.frames.shape)
        if len(shape) != 3 or (self.target is not None and shape[1:] != self.target.shape):
            target = "none" if self.target is None else self.target.shape
            raise FrameShapeError(
                f"{self.name}: frames have shape {shape} but the target has "
                f"{target}: bring both onto one grid (calibrate the FOV)"
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
    taught: NDArray[np.float32] | None = None  # (frame, y, x), on the network's scale
    of_frames: bool = False  # trained on pairs of frames; the target, their mean, only validates

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
    SettingsError
        If it is taught by a filter, and the recipe changes frames in a way that the filter has not
        seen.
    SeriesError
        If the frames are constant or show nothing.
    """
    if fov.taught is not None and (recipe.normalisation != "series" or recipe.dose_jitter):
        raise SettingsError(
            f"{fov.name} is taught by a filter: leave the normalisation at series, and the dose as "
            f"it is (they are {recipe.normalisation} and {recipe.dose_jitter:g})"
        )
    frames = fov.frames if recipe.frames is None else fov.frames[: recipe.frames]
    n_frames = int(frames.shape[0])
    if n_frames == 0:
        raise TrainingError(f"{fov.name} has no frame to train on: leave it out")
    if recipe.normalisation == "frame_equalized":
        frames = equalized_copy(frames)
    mean = mean_frame(frames, range(0, n_frames, max(1, n_frames // SCALE_FRAMES)))
    scale = series_scale(frames) if recipe.normalisation == "series" else None
    if fov.target is None:
        target = mean
    else:
        target = np.asarray(fov.target, dtype=np.float64)
        if recipe.normalisation == "frame_equalized":
            target = equalized(target).astype(np.float64)
        if recipe.background_px is not None:
            target = match_target(target, mean, background_px=recipe.background_px)
    own = scale or (frame_min_max(frames[0]) if fov.target is None else frame_min_max(target))
    return FovPart(
        name=fov.name,
        frames=frames,
        target=normalise(target, own),
        scale=scale,
        which=tuple(range(n_frames)),
        rows=slice(0, target.shape[0]),
        taught=None if fov.taught is None else normalise(fov.taught, own),
        of_frames=fov.target is None,
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
        Patch and batch size, frames in, augmentation.
    seed : int
        With the number of a batch, it alone decides what is drawn.

    Raises
    ------
    TrainingError
        If no patch of any FOV is seen by half.
    """

    def __init__(self, parts: Sequence[FovPart], recipe: Recipe, seed: int) -> None:
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
        frames_in = recipe.network.frames_in
        for part in self._parts:
            if part.of_frames and len(set(part.which)) <= frames_in:
                raise TrainingError(
                    f"{part.name} has {len(set(part.which))} frames to train on: with other frames "
                    f"as the target, needed are {frames_in + 1} or more"
                )
        pixels = np.array([len(part.which) * int(part.seen.sum()) for part in self._parts])
        self._chance = pixels / pixels.sum()
        self._recipe = recipe
        self._seed = seed
        self._scales: dict[tuple[int, int], SeriesScale] = {}
        patch_px = self.patch_shape[0] * self.patch_shape[1]
        self.patches_per_epoch = max(1, round(int(pixels.sum()) / patch_px))

    def draw(self, number: int) -> Batch:
        """Draw a batch, augmented.

        Parameters
        ----------
        number : int
            Of the batch: the same one is the same, whatever was drawn before.

        Returns
        -------
        Batch
        """
        rng = np.random.default_rng((self._seed, number))
        recipe = self._recipe
        drawn = [self._draw_patch(rng) for _ in range(recipe.batch)]
        inputs, targets, weights = (np.stack(images) for images in zip(*drawn, strict=True))
        return augment(
            Batch(inputs=inputs, targets=targets, weights=weights),
            rng,
            flip_y=recipe.flip_y,
            gain_jitter=recipe.gain_jitter,
            offset_jitter=recipe.offset_jitter,
            lag_jitter=recipe.lag_jitter,
        )

    def _draw_patch(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        which = int(rng.choice(len(self._parts), p=self._chance))
        part, corners = self._parts[which], self._places[which]
        place = int(rng.integers(len(part.which)))
        top, left = (int(n) for n in corners[int(rng.integers(len(corners)))])
        corner = (top + part.rows.start, left)
        around = neighbours(place, self._recipe.network.frames_in, len(part.which))
        scale = self._scale(which, part.which[place])
        target, seen = self._target(rng, part, place, around, corner, scale)
        mixed = self._mixed(rng, part)
        stack, middle = [], self._recipe.network.frames_in // 2
        for i, at in enumerate(self._corners(rng, part, corner)):
            values = self._patch(part, around[i], at)
            if mixed is not None:
                weights, other = mixed
                extra = self._patch(part, mirrored(other + i - middle, len(part.which)), at)
                values = weights[0] * values + weights[1] * extra
            if i == middle:
                seen &= np.isfinite(values)
            stack.append(fill_unseen(normalise(values, scale)))
        return np.stack(stack), np.nan_to_num(target, nan=0.0), seen.astype(np.float32)

    def _scale(self, which: int, frame: int) -> SeriesScale:
        if (which, frame) not in self._scales:
            self._scales[which, frame] = self._parts[which].frame_scale(frame)
        return self._scales[which, frame]

    def _patch(self, part: FovPart, place: int, corner: tuple[int, int]) -> NDArray[Any]:
        (top, left), (height, width) = corner, self.patch_shape
        window = np.s_[top : top + height, left : left + width]
        return np.asarray(part.frames[(part.which[place], *window)])

    def _target(
        self,
        rng: np.random.Generator,
        part: FovPart,
        place: int,
        around: Sequence[int],
        corner: tuple[int, int],
        scale: SeriesScale,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        (top, left), (height, width) = corner, self.patch_shape
        target = part.target if part.taught is None else part.taught[part.which[place]]
        target = target[top : top + height, left : left + width]
        seen = np.isfinite(target)
        if part.of_frames:  # another frame has noise of its own
            others = [p for p in range(len(part.which)) if p not in around]
            chosen = others[int(rng.integers(len(others)))]
            target = normalise(self._patch(part, chosen, corner), scale)
            seen = seen & np.isfinite(target)
        return target, seen

    def _mixed(
        self, rng: np.random.Generator, part: FovPart
    ) -> tuple[tuple[float, float], int] | None:
        """Draw another dose: weights of the frame and of another one, and which."""
        if self._recipe.dose_jitter == 0 or part.of_frames:  # that may be the target
            return None
        return dose_weights(rng, self._recipe.dose_jitter), int(rng.integers(len(part.which)))

    def _corners(
        self, rng: np.random.Generator, part: FovPart, corner: tuple[int, int]
    ) -> list[tuple[int, int]]:
        """Where to cut each frame, so that the scene moves from one to the next."""
        frames_in, motion = self._recipe.network.frames_in, self._recipe.motion_px
        if frames_in == 1 or motion == 0:
            return [corner] * frames_in
        steps = rng.normal(0, motion, (frames_in, 2)).cumsum(axis=0)
        moved = np.rint(steps - steps[frames_in // 2]).astype(int) + corner
        lowest = (part.rows.start, 0)
        highest = np.array([part.rows.stop, part.target.shape[1]]) - self.patch_shape
        return [(int(y), int(x)) for y, x in np.clip(moved, lowest, highest)]


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
