"""What the store knows of a distortion comes in; maps and drift to correct frames with go out.

A map lies in the calibration of its FOV, with the records of a run, or in the store that it was
carried over from. What works is imported when first used: the viewer needs only `find_correction`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.corrections.calibration import (
        Calibration,
        fingerprint,
        load_calibration,
        load_map,
        load_shifts,
        read_calibration,
        save_calibration,
        shift_variables,
    )
    from stemscale.corrections.correction import Correction, find_correction, map_of
    from stemscale.corrections.kept import keep_distortion, keep_drift, load_distortion, load_drift
    from stemscale.corrections.transfer import Transfer, carry_over, find_again

__all__ = [
    "Calibration",
    "Correction",
    "Transfer",
    "carry_over",
    "find_again",
    "find_correction",
    "fingerprint",
    "keep_distortion",
    "keep_drift",
    "load_calibration",
    "load_distortion",
    "load_drift",
    "load_map",
    "load_shifts",
    "map_of",
    "read_calibration",
    "save_calibration",
    "shift_variables",
]

_MODULES = {
    "Calibration": "calibration",
    "Correction": "correction",
    "Transfer": "transfer",
    "carry_over": "transfer",
    "find_again": "transfer",
    "find_correction": "correction",
    "keep_distortion": "kept",
    "keep_drift": "kept",
    "load_distortion": "kept",
    "load_drift": "kept",
    "map_of": "correction",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stemscale.corrections' has no attribute {name!r}")
    module = _MODULES.get(name, "calibration")
    return getattr(import_module(f"stemscale.corrections.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
