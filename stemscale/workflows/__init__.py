"""Several verbs in a row: a folder comes in; what a user would get by typing them goes out.

Each is imported when first used, as they need nearly all other rooms.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.workflows.demo import demo
    from stemscale.workflows.live import LiveSummary, live
    from stemscale.workflows.real import reproduce_series
    from stemscale.workflows.study import reproduce

__all__ = ["LiveSummary", "demo", "live", "reproduce", "reproduce_series"]

_MODULES = {
    "LiveSummary": "live",
    "demo": "demo",
    "live": "live",
    "reproduce": "study",
    "reproduce_series": "real",
}


class _Room(ModuleType):
    """Keeps the names of the verbs for the functions, as modules are called the same."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'stemscale.workflows' has no attribute {name!r}")
    return getattr(import_module(f"stemscale.workflows.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
