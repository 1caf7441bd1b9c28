"""A store and parameters come in; calibrations, filters, filtered frames and scores go out.

What works is imported when first used: the viewer needs only what says how frames are corrected.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.pipeline.calibrate import calibrate
    from stemscale.pipeline.compact import compact
    from stemscale.pipeline.events import (
        BlockDone,
        BlockFailed,
        Following,
        FramesAligned,
        Listener,
        Ready,
        RunStarted,
        ScoringStarted,
        TrainingStep,
        Waiting,
        no_listener,
    )
    from stemscale.pipeline.info import info
    from stemscale.pipeline.outcome import ProcessSummary
    from stemscale.pipeline.plan import plan_process
    from stemscale.pipeline.process import process
    from stemscale.pipeline.status import SeriesStatus, status
    from stemscale.pipeline.summarize import summarize
    from stemscale.pipeline.train import train
    from stemscale.pipeline.verify import verify

__all__ = [
    "BlockDone",
    "BlockFailed",
    "Following",
    "FramesAligned",
    "Listener",
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

_MODULES = {
    "ProcessSummary": "outcome",
    "SeriesStatus": "status",
    "plan_process": "plan",
}
_VERBS = {"calibrate", "compact", "info", "process", "status", "summarize", "train", "verify"}


class _Room(ModuleType):
    """Keeps the names of the verbs for the functions, as their modules are called the same."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _VERBS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stemscale.pipeline' has no attribute {name!r}")
    module = name if name in _VERBS else _MODULES.get(name, "events")
    return getattr(import_module(f"stemscale.pipeline.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
