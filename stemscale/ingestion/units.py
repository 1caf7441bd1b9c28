"""Lengths and times as microscope files spell them."""

from datetime import UTC, datetime, timedelta
from typing import Any

_IN_NM = {"nm": 1.0, "n_m": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "pm": 1e-3}
_IN_NM |= {"å": 0.1, "angstrom": 0.1, "mm": 1e6, "m": 1e9, "cm": 1e7, "inch": 2.54e7}
_IN_NM |= {"\\u00b5m": 1e3, "nanometer": 1.0, "micrometer": 1e3, "picometer": 1e-3, "meter": 1e9}
_IN_S = {"millisecond": 1e-3, "microsecond": 1e-6, "nanosecond": 1e-9, "minute": 60.0, "min": 60.0}
_IN_S |= {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def to_nm(value: Any, unit: Any) -> float | None:
    """Give a length in nm, or None where the unit is not a known length."""
    return _times(value, _IN_NM.get(str(unit or "").strip().lower()))


def to_s(value: Any, unit: Any) -> float | None:
    """Give a time in s, or None where the unit is not a known time."""
    return _times(value, _IN_S.get(str(unit or "").strip().lower()))


def clock_ns(time: datetime) -> int | None:
    """Give a clock time in ns since 1970-01-01 (UTC), or None where it does not say its zone."""
    if time.tzinfo is None:
        return None
    # In whole numbers: as a float it would be wrong by some 100 ns.
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _times(value: Any, factor: float | None) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None  # strange files: text where a number should be
    return None if factor is None else number * factor
