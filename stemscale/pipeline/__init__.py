"""A store and parameters come in; calibrations, filters, filtered frames and scores go out."""

from stemscale.pipeline.calibrate import calibrate
from stemscale.pipeline.events import (
    BlockDone,
    BlockFailed,
    FovDone,
    FramesAligned,
    RunStarted,
    TrainingStep,
)
from stemscale.pipeline.info import info
from stemscale.pipeline.plan import ProcessPlan, plan_process
from stemscale.pipeline.process import ProcessSummary, process
from stemscale.pipeline.summarize import summarize
from stemscale.pipeline.train import train
from stemscale.pipeline.verify import verify

__all__ = [
    "BlockDone",
    "BlockFailed",
    "FovDone",
    "FramesAligned",
    "ProcessPlan",
    "ProcessSummary",
    "RunStarted",
    "TrainingStep",
    "calibrate",
    "info",
    "plan_process",
    "process",
    "summarize",
    "train",
    "verify",
]
