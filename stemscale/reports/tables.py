"""Everything on a page that is words and numbers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stemscale.store import DAMAGED, FAILED, PENDING
from stemscale.views.store_view import FilterView, FovView, StoreView

_LONGEST_CARD = 6000
_LONGEST_TEXT = 300


def facts(view: StoreView) -> list[tuple[str, str]]:
    """Name what was measured, in a few words and numbers."""
    fovs = view.fovs
    frames = sum(f.shape[0] for f in fovs)
    return [
        ("fields of view", str(len(fovs))),
        ("rapid frames", f"{frames:,}"),
        ("frame size", _common([size(f.shape[1:]) for f in fovs])),
        ("pixel size", _common([_unit(f.pixel_size_nm, "nm") for f in fovs])),
        ("dwell time", _common([_unit(f.dwell_time_ns, "ns") for f in fovs])),
        ("time per frame", _common([_milliseconds(f.frame_interval_s) for f in fovs])),
    ]


def _common(values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(values))
    return ", ".join(distinct) if len(distinct) <= 2 else "various"


def _unit(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:.4g} {unit}"


def _milliseconds(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{1000 * seconds:.3g} ms"


def dwell_text(dwell_time_ns: float | None) -> str:
    """Write a dwell time in ns or µs, as people say it."""
    if dwell_time_ns is None or dwell_time_ns < 1000:
        return _unit(dwell_time_ns, "ns")
    return _unit(dwell_time_ns / 1000, "µs")


def warnings(view: StoreView) -> list[str]:
    """List what a reader must know before trusting the page: failed, missing, partial."""
    found = list(view.problems)
    for fov in view.fovs:
        if fov.state != "complete":
            found.append(f"{fov.name}: the rapid frames were not ingested to the end")
        for filtered in fov.filters:
            found += _filter_warnings(fov.name, filtered)
    without = [f.name for f in view.fovs if f.slow is None]
    if without:
        found.append(f"no slow scan, hence no PSNR: {_listed(without)}")
    uncorrected = [f for f in view.fovs if f.calibration is None and f.filters]
    if uncorrected:
        names = _listed([f.name for f in uncorrected])
        lent = {x.distortion for f in uncorrected for x in f.filters if _is_lent(x.distortion)}
        from_where = f" (distortion {'; '.join(sorted(lent))})" if lent else ""
        found.append(f"filtered without a calibration of their own{from_where}: {names}")
    return found


def _is_lent(distortion: str) -> bool:
    return distortion.startswith("of ")


def _filter_warnings(fov: str, filtered: FilterView) -> list[str]:
    found = []
    for status, what in ((FAILED, "failed"), (DAMAGED, "damaged input")):
        numbers = filtered.frame_numbers[filtered.status == status]
        if numbers.size:
            listed = _listed([str(n) for n in numbers])
            frames = f"{numbers.size} frame{'s' if numbers.size > 1 else ''}"
            found.append(f"{fov}/{filtered.name}: {what}: {frames} ({listed})")
    if filtered.flagged is not None and filtered.flagged.frames:
        found.append(f"{fov}/{filtered.name}: {filtered.flagged.words()}")
    pending = filtered.count(PENDING)
    if pending:
        found.append(f"{fov}/{filtered.name}: {pending} of {filtered.shape[0]} frames not done yet")
    return found


def _listed(names: Sequence[str], *, most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def calibration_row(fov: FovView) -> dict[str, Any]:
    """Line of the table of distortions."""
    calibration = fov.calibration
    assert calibration is not None  # the caller's choice
    attrs = calibration.attrs
    std = calibration.source_x_std
    return {
        "fov": fov.name,
        "method": str(attrs.get("method", "")),
        "estimated_on": str(attrs.get("estimated_on", "")),
        "carried_over": calibration.carried_over,
        "span": f"{np.ptp(calibration.departure_px):.1f} px",
        "std": "" if std is None else f"{np.sqrt(np.mean(std**2)):.2f} px",
        "before": _likeness(attrs.get("zncc_before")),
        "after": _likeness(attrs.get("zncc_after")),
    }


def _likeness(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""


def fov_row(fov: FovView) -> dict[str, Any]:
    """Line of the table of all FOVs."""
    slow = "–"
    if fov.slow is not None:
        slow = f"{size(fov.slow.shape)}, {dwell_text(fov.slow.dwell_time_ns)}"
        slow += ", taken after" if fov.slow_is_after else ""
    return {
        "name": fov.name,
        "use": fov.use or "–",
        "frames": f"{fov.shape[0]:,}",
        "size": size(fov.shape[1:]),
        "dtype": fov.dtype,
        "pixel": _unit(fov.pixel_size_nm, "nm"),
        "dwell": dwell_text(fov.dwell_time_ns),
        "interval": _milliseconds(fov.frame_interval_s),
        "slow": slow,
        "filters": [
            {
                "name": f.name,
                "state": f.state,
                "done": f"{f.shape[0] - f.count(PENDING) - f.count(FAILED) - f.count(DAMAGED):,}"
                f" of {f.shape[0]:,}",
                "failed": f.count(FAILED) + f.count(DAMAGED),
                "out_of_range": 0 if f.flagged is None else len(f.flagged.frames),
                "trained_on": f.trained_on,
            }
            for f in fov.filters
        ],
    }


def filter_cards(fovs: Sequence[FovView]) -> list[dict[str, Any]]:
    """One card for each filter, though every FOV carries it."""
    found: dict[str, dict[str, Any]] = {}
    for fov in fovs:
        for filtered in fov.filters:
            key = f"{filtered.name}\n{filtered.label}\n{_as_json(filtered.card)}"
            found.setdefault(
                key,
                {
                    "name": filtered.name,
                    "label": filtered.label,
                    "card": "" if filtered.card is None else _as_json(filtered.card),
                    "history": filtered.history,
                },
            )
    return list(found.values())


def _as_json(card: Mapping[str, Any] | None) -> str:
    text = json.dumps(card, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_CARD else f"{text[:_LONGEST_CARD]} …"


def short(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Cut a text of the store to what a line bears; control characters become blanks."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return plain if len(plain) <= longest else f"{plain[:longest]} …"


def size(shape: Sequence[int]) -> str:
    """Write a shape (y, x) as people do: width × height."""
    return f"{shape[1]} × {shape[0]} px"
