"""The page that ``stemscale info`` shows: readable without colour, the same when piped."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stemscale.acquisition import COUNTED_TIME
from stemscale_cli.output import interval, size
from stemscale_cli.terminal_page import (
    SETTINGS,
    add_row,
    heading,
    indented,
    names_in_short,
    page_console,
    print_page,
    rows_of,
    table_of,
)

_LINES = 20  # of history
_FEW = 3  # FOVs that are shown in detail without being asked for
_UNKNOWN = "not in the file"
_RELATIONS = {"same": "same view, same state", "after": "taken after the series"}


def show(found: Mapping[str, Any], *, details: bool = False) -> None:
    """Print what is in a store.

    Parameters
    ----------
    found : mapping
        As `stemscale.pipeline.info` gave it.
    details : bool
        Whether to show every FOV in detail, however many there are.
    """
    console = page_console()
    print_page(_page(found, console.width, details=details), console)


def _page(found: Mapping[str, Any], width: int, *, details: bool) -> Iterable[RenderableType]:
    fovs, history = found["fovs"], found["history"]
    shown, there = len(fovs), found["fovs_in_store"]
    yield rows_of(
        {
            "store": found["store"],
            "format": f"stemscale {found['format']}",
            "size on disk": size(found["bytes_on_disk"]),
            "fields of view": str(there) if shown == there else f"{there}, {shown} of them below",
            "summary": "there" if found["summarized"] else "none yet",
        }
    )
    if shown > 1:
        yield heading("Fields of view")
        yield indented(_overview(fovs, width))
    if details or shown <= _FEW:
        for name, fov in fovs.items():
            yield from _fov(name, fov)
    else:
        yield Text("\n Details of one of them: stemscale info STORE --fov NAME")
    if history:
        earlier = len(history) - _LINES
        yield heading("History" + f" (and {earlier} lines before, see --json)" * (earlier > 0))
        for line in history[-_LINES:]:
            when, _, what = line.partition(" ")
            yield rows_of({when: what or " "})


def _overview(fovs: Mapping[str, Mapping[str, Any]], width: int) -> Table:
    """Give each FOV one row; a column that says nothing, or finds no room, is left out."""
    every = list(fovs.values())
    columns = {
        "FOV": list(fovs),
        "frames": [str(f["frames"]) for f in every],
        "pixels": [_pixels(f) for f in every],
        "dtype": [f["dtype"] for f in every],
        "size": [size(f["bytes_on_disk"]) for f in every],
        "ratio": [_ratio(f) for f in every],
        "state": [_state(f, short=True) for f in every],
        "slow": [(f["slow"]["relation"] or "yes") if f["slow"] else "" for f in every],
        "calibrated": [f["calibration"]["method"] if f["calibration"] else "" for f in every],
        "filtered": [", ".join(f["filtered"]) for f in every],
        "use": [f["use"] or "" for f in every],
    }
    said = {title: cells for title, cells in columns.items() if any(cells)}
    for least in ("ratio", "dtype", "pixels", "size"):
        if sum(min(20, max(map(len, [t, *c]))) + 2 for t, c in said.items()) > width:
            said.pop(least)
    table = table_of(*said, right=("frames", "size", "ratio"), wrap=("FOV", "filtered"))
    for cells in zip(*said.values(), strict=True):
        add_row(table, *(c or "-" for c in cells))
    return table


def _fov(name: str, fov: Mapping[str, Any]) -> Iterable[RenderableType]:
    on_disk, in_memory = fov["frames_bytes_on_disk"], fov["frames_bytes_uncompressed"]
    together = names_in_short([f for f in fov["scanned_together"] if f != name])
    yield heading(name)
    yield rows_of(
        {
            "frames": f"{fov['frames']} of {_pixels(fov)} {fov['dtype']}",
            "state": _state(fov),
            "size on disk": f"{size(on_disk)} (uncompressed {size(in_memory)}, ratio "
            f"{_ratio(fov)}); with all that was made of it {size(fov['bytes_on_disk'])}",
            "blocks": f"{fov['blocks']}, of {fov['frames_per_block']} frames each",
            "files": names_in_short(fov["files"]) or "not known",
            "start time": fov["start_time"] or _UNKNOWN,
            "scanned together": f"with {together}" if together else "",
            "use": fov["use"] or "",
            "calibration": _calibrated(fov["calibration"]),
        }
    )
    yield _section("Scan settings")
    yield indented(_settings(fov))
    yield from _per_frame(fov["per_frame"])
    if fov["filtered"]:
        yield _section("Filtered")
        yield indented(_filtered(fov["filtered"]))
    if "original_metadata" in fov:
        yield _section("What the file says of itself")
        text = json.dumps(fov["original_metadata"], indent=1, ensure_ascii=False, default=str)
        yield Text("".join(c if c.isprintable() or c == "\n" else " " for c in text))


def _settings(fov: Mapping[str, Any]) -> Table:
    """Put the settings of the rapid and of the slow scan side by side."""
    scans = [{**fov, **fov["scan_settings"]}]
    table = table_of("setting", "rapid scan", *(["slow scan"] if fov["slow"] else []))
    if slow := fov["slow"]:
        scans.append(slow)
        add_row(table, "relation", "", _RELATIONS.get(slow["relation"], "not known"))
        add_row(table, "files", "", names_in_short(slow["files"]) or "not known")
    add_row(table, "pixels", *map(_pixels, scans))
    for key, (label, _) in SETTINGS.items():
        add_row(table, label, *(_setting(s, key) for s in scans))
    return table


def _setting(scan: Mapping[str, Any], name: str) -> str:
    value = scan.get(name)
    if name == "frame_time_s" and value is None and scan["frame_interval_s"] is not None:
        known = "flyback_time_us" in scan
        least, source = ("", "dwell and flyback") if known else (">= ", "dwell")
        return f"{_UNKNOWN} ({least}{interval(scan['frame_interval_s'])} by {source})"
    if value is None:
        return _UNKNOWN
    written = {
        "pixel_size_nm": lambda: f"{value:.5g} nm",
        "dwell_time_ns": lambda: f"{interval(value * 1e-9)}/px",
        "flyback_time_us": lambda: f"{interval(value * 1e-6)}/line",
        "frame_time_s": lambda: interval(value),
        "high_tension_kv": lambda: f"{value:g} kV",
        "magnification": lambda: f"{value:,.0f} x",
    }
    return written.get(name, lambda: str(value))()


def _per_frame(columns: Mapping[str, Mapping[str, Any]]) -> Iterable[RenderableType]:
    values = ("min", "max", "first", "last")
    changing = table_of("name", "units", *values, right=values)
    constant = table_of("name", "value", "units")
    for name, column in columns.items():
        notes = " (by dwell time)" * (column["long_name"] == COUNTED_TIME)
        notes += f" ({column['missing']} missing)" if column["missing"] else ""
        cells = [_value(column, key) for key in values]
        if len(column.get("words", {})) > 1:  # words have no range
            cells[:2] = [f"{len(column['words'])} words", ""]
        elif column["kind"] == "date" and cells[:2] == cells[2:]:  # the clock goes on
            cells[:2] = ["", ""]
        if column["constant"] or column["min"] is None:
            add_row(constant, name + notes, cells[0], column["units"])
        else:
            add_row(changing, name + notes, column["units"], *cells)
    for title, table in (
        ("Metadata of each frame", changing),
        ("The same in every frame", constant),
    ):
        if table.row_count:
            yield _section(title)
            yield indented(table)


def _value(column: Mapping[str, Any], key: str) -> str:
    value = column[key]
    if value is None:
        return "missing"
    if column["kind"] == "date":
        return str(value).replace("T", " ").removesuffix("Z")[:26]  # to the microsecond
    if column["kind"] == "word":
        return str(value) or "(empty)"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.7g}"


def _filtered(filtered: Mapping[str, Mapping[str, Any]]) -> Table:
    titles = ("name", "filter", "distortion", "frames", "masked", "size", "ratio", "state")
    table = table_of(*titles, right=("frames", "masked", "size", "ratio"))
    for name, one in filtered.items():
        made_by = one["filter"] or "not known"
        made_by += f" (sha256 {one['filter_sha256'][:12]})" if one["filter_sha256"] else ""
        made_by += f", window {one['window']}" if one["window"] else ""
        sizes = size(one["frames_bytes_on_disk"]), _ratio(one)
        by = made_by, _correction(one)
        add_row(table, name, *by, str(one["frames"]), _masked(one), *sizes, _state(one))
    return table


def _correction(one: Mapping[str, Any]) -> str:
    words = one["distortion"] or "not known"
    usual = one["interpolation"] in (None, "linear")
    return str(words) if usual else f"{words}; {one['interpolation']}"


def _masked(one: Mapping[str, Any]) -> str:
    """Share of the pixels that the rapid scan did not see."""
    n_y, n_x = one["shape"]
    pixels = one["frames"] * n_y * n_x
    if one["masked_pixels"] is None or not pixels:
        return "-"
    return f"{100 * one['masked_pixels'] / pixels:.2g} %"


def _state(array: Mapping[str, Any], *, short: bool = False) -> str:
    name, done, blocks = array["state"] or "not known", array["blocks_done"], array["blocks"]
    if name == "complete" or (short and done is None):
        return str(name)
    if short:
        return f"{name} {done}/{blocks}"
    parts = [] if done is None else [f"{done} of {blocks} blocks"]
    for kind in ("failed", "damaged"):
        n = array.get(f"frames_{kind}") or 0
        parts += [f"{n} {kind} frame" + "s" * (n > 1)] if n else []
    return f"{name}: {', '.join(parts)}" if parts else str(name)


def _calibrated(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None:
        return "none yet"
    verb = "carried over from" if calibration["carried_over"] else "estimated on"
    source = names_in_short(str(calibration["estimated_on"] or "").split()) or "not known"
    scores = [calibration["zncc_before"], calibration["zncc_after"]]
    before, after = (f"{s:.3f}" if s is not None and math.isfinite(s) else "-" for s in scores)
    return f"{calibration['method']}, {verb} {source}; ZNCC {before} before, {after} after"


def _ratio(array: Mapping[str, Any]) -> str:
    found = array["compression_ratio"]
    return "-" if found is None else f"{found:.2f}"


def _pixels(scan: Mapping[str, Any]) -> str:
    return " x ".join(map(str, scan["shape"]))


def _section(title: str) -> RenderableType:
    return Text(f"\n {title}", style="bold")
