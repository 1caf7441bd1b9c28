"""The page that ``stemscale info`` shows: readable without colour, the same when piped."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from stemscale_cli.info_words import (
    SETTINGS,
    calibrated,
    column_cells,
    filter_text,
    frame_time,
    names,
    ratio,
    setting,
    state,
    varies,
)
from stemscale_cli.output import plain, size

_WIDTH = 100  # where nothing tells how wide the reader's page is
_LINES = 20  # of history
_FEW = 3  # FOVs that are shown in detail without being asked for


def show(found: Mapping[str, Any], *, details: bool = False) -> None:
    """Print what is in a store.

    Parameters
    ----------
    found : mapping
        As `stemscale.pipeline.info` gave it.
    details : bool
        Whether to show every FOV in detail, however many there are.
    """
    on_terminal = sys.stdout.isatty()
    console = Console(
        width=None if on_terminal or os.environ.get("COLUMNS") else _WIDTH,
        force_terminal=on_terminal,
        color_system="auto" if on_terminal else None,
        highlight=False,
    )
    if on_terminal:
        console.print(*_page(found, details=details), sep="\n")
        return
    with console.capture() as page:
        console.print(*_page(found, details=details), sep="\n")
    typer.echo("\n".join(line.rstrip() for line in page.get().splitlines()))


def _page(found: Mapping[str, Any], *, details: bool) -> Iterable[RenderableType]:
    fovs = found["fovs"]
    shown, there = len(fovs), found["fovs_in_store"]
    yield _rows(
        {
            "store": found["store"],
            "format": f"stemscale {found['format']}",
            "size on disk": size(found["bytes_on_disk"]),
            "fields of view": str(there) if shown == there else f"{there}, {shown} of them below",
            "summary": "there" if found["summarized"] else "none yet",
        }
    )
    if shown > 1:
        yield _heading("Fields of view")
        yield _indented(_overview(fovs))
    if shown > _FEW and not details:
        yield Text("\n Details of one of them: stemscale info STORE --fov NAME")
    if details or shown <= _FEW:
        for name, fov in fovs.items():
            yield from _fov(name, fov)
    if found["history"]:
        earlier = len(found["history"]) - _LINES
        yield _heading("History" + f" (and {earlier} lines before, see --json)" * (earlier > 0))
        yield from (_rows(dict([plain(line).split(" ", 1)])) for line in found["history"][-_LINES:])


def _overview(fovs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Give each FOV one row; a column that says nothing of any FOV is left out."""
    columns = {
        "FOV": [*fovs],
        "frames": [f["frames"] for f in fovs.values()],
        "pixels": [_pixels(f) for f in fovs.values()],
        "dtype": [f["dtype"] for f in fovs.values()],
        "size": [size(f["bytes_on_disk"]) for f in fovs.values()],
        "ratio": [ratio(f) for f in fovs.values()],
        "state": [state(f, short=True) for f in fovs.values()],
        "slow": [(f["slow"]["relation"] or "yes") if f["slow"] else "" for f in fovs.values()],
        "calibrated": [
            f["calibration"]["method"] if f["calibration"] else "" for f in fovs.values()
        ],
        "filtered": [", ".join(f["filtered"]) for f in fovs.values()],
        "use": [f["use"] or "" for f in fovs.values()],
    }
    said = {title: cells for title, cells in columns.items() if any(cells)}
    wide = ("FOV", "filtered")
    numbers = ("frames", "size", "ratio")
    table = _table(*(_words(t) if t in wide else _short(t, right=t in numbers) for t in said))
    for cells in zip(*said.values(), strict=True):
        table.add_row(*(_text(c or "-") for c in cells))
    return table


def _fov(name: str, fov: Mapping[str, Any]) -> Iterable[RenderableType]:
    yield _heading(name)
    yield _rows(
        {
            "frames": f"{fov['frames']} of {_pixels(fov)} {fov['dtype']}",
            "state": state(fov),
            "size on disk": f"{size(fov['frames_bytes_on_disk'])} (uncompressed "
            f"{size(fov['frames_bytes_uncompressed'])}, ratio {ratio(fov)}); with all that was "
            f"made of it {size(fov['bytes_on_disk'])}",
            "blocks": f"{fov['blocks']}, of {fov['frames_per_block']} frames each",
            "files": names(fov["files"]) or "not known",
            "start time": fov["start_time"] or "not in the file",
            "scanned together": ("with " + names(fov["scanned_together"], without=name))
            if fov["scanned_together"]
            else "",
            "use": fov["use"] or "",
            "calibration": calibrated(fov["calibration"]),
        }
    )
    yield _section("Scan settings")
    yield _indented(_settings(fov))
    yield from _per_frame(fov["per_frame"])
    if fov["filtered"]:
        yield _section("Filtered")
        yield _indented(_filtered(fov["filtered"]))
    if "original_metadata" in fov:
        yield _section("What the file says of itself")
        text = json.dumps(fov["original_metadata"], indent=1, ensure_ascii=False, default=str)
        yield Text("".join(c if c.isprintable() or c == "\n" else " " for c in text))


def _settings(fov: Mapping[str, Any]) -> Table:
    """Put the settings of the rapid and of the slow scan side by side."""
    scans = [{"shape": fov["shape"], "frame_interval_s": fov["frame_interval_s"]}]
    scans[0].update(fov["scan_settings"])
    table = _table(_short("setting"), _words("rapid scan"))
    if fov["slow"]:
        table.add_column("slow scan", overflow="fold")
        scans.append(fov["slow"])
        when = {"same": "same view, same state", "after": "taken after the series"}
        relation = fov["slow"]["relation"]
        table.add_row("relation", "", _text(when.get(relation, relation or "not known")))
        table.add_row("files", "", _text(names(fov["slow"]["files"]) or "not known"))
    table.add_row("pixels", *(_text(_pixels(s)) for s in scans))
    for key, label in SETTINGS.items():
        told = frame_time if key == "frame_time_s" else setting
        table.add_row(label, *(_text(told(s, key)) for s in scans))
    return table


def _per_frame(columns: Mapping[str, Mapping[str, Any]]) -> Iterable[RenderableType]:
    changing = {n: c for n, c in columns.items() if varies(c)}
    if changing:
        yield _section("Metadata of each frame")
        values = (_words(t, right=True) for t in ("min", "max", "first", "last"))
        table = _table(_words("name"), _words("units"), *values)
        for name, column in changing.items():
            cells = [_counted(name, column), column["units"], *column_cells(column)]
            table.add_row(*map(_text, cells))
        yield _indented(table)
    if len(changing) < len(columns):
        yield _section("Metadata that are the same in every frame")
        table = _table(*map(_words, ("name", "value", "units")))
        for name, column in columns.items():
            if name not in changing:
                cells = [_counted(name, column), column_cells(column)[0], column["units"]]
                table.add_row(*map(_text, cells))
        yield _indented(table)


def _counted(name: str, column: Mapping[str, Any]) -> str:
    return f"{name} ({column['missing']} missing)" if column["missing"] else name


def _filtered(filtered: Mapping[str, Mapping[str, Any]]) -> Table:
    numbers = (_short(t, right=True) for t in ("frames", "size", "ratio"))
    table = _table(*map(_words, ("name", "filter", "distortion")), *numbers, _words("state"))
    for name, one in filtered.items():
        cells = [name, filter_text(one), one["distortion"] or "not known", one["frames"]]
        cells += [size(one["frames_bytes_on_disk"]), ratio(one), state(one)]
        table.add_row(*map(_text, cells))
    return table


def _table(*columns: Column) -> Table:
    return Table(
        *columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1)
    )


def _short(title: str, *, right: bool = False) -> Column:
    kind: Any = "right" if right else "left"
    return Column(title, justify=kind, no_wrap=True)


def _words(title: str, *, right: bool = False) -> Column:
    kind: Any = "right" if right else "left"
    return Column(title, justify=kind, overflow="fold", min_width=len(title))


def _rows(rows: Mapping[str, str]) -> RenderableType:
    """Put labels beside what they say, without those that say nothing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows.items():
        if value:
            table.add_row(Text(label), _text(value))
    return _indented(table)


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 1), expand=False)


def _heading(title: str) -> RenderableType:
    text = Text(plain(title), style="bold")
    return Padding(Rule(text, align="left", style="none"), (1, 0, 0, 0))


def _section(title: str) -> RenderableType:
    return Padding(Text(title, style="bold"), (1, 0, 0, 1))


def _pixels(scan: Mapping[str, Any]) -> str:
    n_y, n_x = scan["shape"]
    return f"{n_y} x {n_x}"


def _text(value: object) -> Text:
    return Text(plain(str(value)))
