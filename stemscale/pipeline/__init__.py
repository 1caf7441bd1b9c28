"""A store and parameters come in; calibrations, filters, filtered frames and scores go out."""

from stemscale.pipeline.calibrate import calibrate
from stemscale.pipeline.compact import CompactedSeries, compact
from stemscale.pipeline.events import (
    BlockDone,
    BlockFailed,
    Following,
    FovDone,
    FramesAligned,
    FramesCompacted,
    Listener,
    Ready,
    RunStarted,
    ScoringStarted,
    TrainingStep,
    Waiting,
    no_listener,
)
from stemscale.pipeline.info import info
from stemscale.pipeline.plan import ProcessPlan, plan_process
from stemscale.pipeline.process import process
from stemscale.pipeline.status import SeriesStatus, status
from stemscale.pipeline.summarize import summarize
from stemscale.pipeline.summary import ProcessSummary
from stemscale.pipeline.train import train
from stemscale.pipeline.verify import verify

__all__ = [
    "BlockDone",
    "BlockFailed",
    "CompactedSeries",
    "Following",
    "FovDone",
    "FramesAligned",
    "FramesCompacted",
    "Listener",
    "ProcessPlan",
    "ProcessSummary",
    "Ready",
    "RunStarted",
    "ScoringStarted",
    "SeriesStatus",
    "TrainingStep",
    "Waiting",
    "calibrate",
    "compact",
    "info",
    "no_listener",
    "plan_process",
    "process",
    "status",
    "summarize",
    "train",
    "verify",
]
