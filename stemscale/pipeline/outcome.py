"""What a run of `process` did, for those who asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemscale.pipeline.latency import Latency
from stemscale.pipeline.plan import ProcessPlan
from stemscale.store import (
    FRAME_STATUS,
    AcquisitionStore,
    FlaggedFrames,
    StorePath,
    flagged_frames,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSummary:
    """What a run of `process` did.

    Attributes
    ----------
    store : Path or ObjectPath
        The store.
    name : str
        Name of what was written.
    fovs : int
        Fields of view.
    frames : int
        Frames made in this run.
    frames_skipped : int
        Frames that were there already.
    failed : dict of str to list
        Frames that could not be made, by FOV.
    reasons : dict of str to str
        Why frames could not be made, the last reason of each FOV.
    damaged : dict of str to list
        Frames whose raw data are damaged, by FOV.
    clipped : int
        Pixels clipped to the range of the dtype.
    masked : int
        Pixels that the rapid scan did not see: the store's fill value, NaN in xarray.
    transfers : dict of str to str
        Where the distortion is from, by FOV, if from another store.
    misfits : dict of str to tuple of str
        Where a series is clearly unlike what the filter was trained for, by FOV, in sentences.
    roundings : dict of str to str
        Where counts are so few that rounding filtered frames shows, by FOV, in a sentence.
    out_of_range : dict of str to FlaggedFrames
        Frames that lie outside what the filter was trained on, by FOV; of all frames there are,
        made in this run or before. FOVs without one are left out.
    learned : bool
        Whether the filter was trained.
    judged : bool
        Whether frames were held against what it was trained on: filters of older versions cannot
        tell.
    seconds : float
        Time the blocks took, without the start of the workers [s].
    state : str
        ``complete`` or ``partial``.
    latency : Latency or None
        Of a run that followed a series, from a frame's file to the filtered frame.
    most_behind : int
        Of such a run: frames that waited to be filtered, at most.
    kept_up : bool
        Of such a run: whether it was never slower than the microscope for some seconds.
    """

    store: StorePath
    name: str
    fovs: int
    frames: int
    frames_skipped: int
    failed: dict[str, list[int]]
    reasons: dict[str, str]
    damaged: dict[str, list[int]]
    clipped: int
    masked: int
    transfers: dict[str, str]
    misfits: dict[str, tuple[str, ...]]
    roundings: dict[str, str]
    out_of_range: dict[str, FlaggedFrames]
    learned: bool
    judged: bool
    seconds: float
    state: str
    latency: Latency | None = None
    most_behind: int = 0
    kept_up: bool = True

    @property
    def frames_per_s(self) -> float:
        """Rate of this run [frames/s]."""
        return self.frames / self.seconds if self.seconds else 0.0


def summarize_run(
    store: AcquisitionStore,
    plan: ProcessPlan,
    seconds: float,
    counts: Mapping[str, int],
    **more: Any,
) -> ProcessSummary:
    """Say what a run did, from what it counted and what there is in the store."""
    failed: dict[str, list[int]] = {}
    damaged: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    out_of_range: dict[str, FlaggedFrames] = {}
    judged = False
    complete = True
    for series in plan.series:
        complete &= store.attrs(series.group).get("state") == "complete"
        reasons.update((series.fov, why) for why in store.ledger(series.group).failures().values())
        with store.dataset(series.group) as dataset:
            status = dataset["frame_status"].values
            flagged = flagged_frames(dataset)
        judged |= flagged is not None
        if flagged is not None and flagged.frames:
            out_of_range[series.fov] = flagged
        for kind, found in (("failed", failed), ("damaged_input", damaged)):
            frames = np.flatnonzero(status == FRAME_STATUS[kind])
            if len(frames):
                found[series.fov] = [int(f) for f in frames]
    return ProcessSummary(
        store=plan.store,
        name=plan.name,
        fovs=len(plan.series),
        frames=counts.get("frames", 0),
        frames_skipped=sum(s.standing.done_frames for s in plan.series),
        failed=failed,
        reasons=reasons,
        damaged=damaged,
        clipped=counts.get("clipped", 0),
        masked=counts.get("masked", 0),
        transfers={s.fov: s.correction for s in plan.series if s.transfer is not None},
        misfits={s.fov: s.misfit for s in plan.series if s.misfit},
        roundings={s.fov: s.rounding for s in plan.series if s.rounding},
        out_of_range=out_of_range,
        learned=plan.choice.kind == "file",
        judged=judged,
        seconds=seconds,
        state="complete" if complete else "partial",
        **more,
    )
