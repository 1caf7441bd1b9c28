"""What a flag of each frame says, counted and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from stemscale.store.ledger import FRAME_STATUS

OUT_OF_RANGE = "out_of_range"
OUT_OF_RANGE_FLAG = "out_of_range_flag"
_MOST_RANGES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FlaggedFrames:
    """Frames of a series that lie outside what its filter was trained on.

    Attributes
    ----------
    frames : list of int
        Their places in the group, from 0.
    of : int
        Frames that were judged: all that are done.
    by_respect : dict of str to int
        How many in each respect, in the order of the flag's bits; a frame may be counted in
        several.
    """

    frames: list[int]
    of: int
    by_respect: dict[str, int]

    def words(self) -> str:
        """Say how many, in which respects, and which ones."""
        respects = ", ".join(f"{name} {n}" for name, n in self.by_respect.items() if n)
        verb = "lies" if len(self.frames) == 1 else "lie"
        return (
            f"{len(self.frames)} of {self.of} frames {verb} outside what the filter was trained on "
            f"({respects}): frames {listed_frames(self.frames, most=_MOST_RANGES)}"
        )


def flagged_frames(dataset: xr.Dataset) -> FlaggedFrames | None:
    """Read the frames that are flagged as out of range.

    Parameters
    ----------
    dataset : Dataset
        A group of filtered frames.

    Returns
    -------
    FlaggedFrames or None
        None where no frame was judged: the filter is no learned one, or says nothing of the
        frames it was trained on.
    """
    if OUT_OF_RANGE_FLAG not in dataset.variables:
        return None
    variable = dataset[OUT_OF_RANGE_FLAG]
    flags = np.asarray(variable.values).astype(np.int64)
    names = str(variable.attrs.get("flag_meanings", "")).split()
    masks = np.atleast_1d(variable.attrs.get("flag_masks", [])).astype(np.int64).tolist()
    judged = np.isfinite(dataset[OUT_OF_RANGE].values)
    if "frame_status" in dataset.variables:
        judged &= dataset["frame_status"].values == FRAME_STATUS["done"]
    flags = np.where(judged, flags, 0)
    return FlaggedFrames(
        frames=np.flatnonzero(flags).tolist(),
        of=int(judged.sum()),
        by_respect={
            name: int(np.count_nonzero(flags & mask))
            for name, mask in zip(names, masks, strict=False)
        },
    )


def listed_frames(frames: Sequence[int], *, most: int | None = None) -> str:
    """Write frame numbers as people read them: 0-31, 64; at most so many ranges, then "...".

    Examples
    --------
    >>> from stemscale.store import listed_frames
    >>> listed_frames([0, 1, 2, 7, 9, 10])
    '0-2, 7, 9-10'
    >>> listed_frames([0, 1, 2, 7, 9, 10], most=1)
    '0-2, ...'
    """
    parts: list[list[int]] = []
    for frame in frames:
        if parts and frame == parts[-1][1] + 1:
            parts[-1][1] = frame
        else:
            parts.append([frame, frame])
    written = [str(a) if a == b else f"{a}-{b}" for a, b in parts[:most]]
    return ", ".join(written + ["..."] * (len(parts) > len(written)))
