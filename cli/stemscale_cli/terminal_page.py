"""What pages on a terminal are made of: readable without colour, the same when piped."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from stemscale_cli.output import plain

SETTINGS = {
    "pixel_size_nm": ("pixel size", "nm"),
    "dwell_time_ns": ("dwell time", "ns"),
    "flyback_time_us": ("flyback time", "µs"),
    "frame_time_s": ("frame time", "s"),
    "high_tension_kv": ("high tension", "kV"),
    "magnification": ("magnification", "x"),
    "detector": ("detector", ""),
    "instrument": ("instrument", ""),
}
"""Label and unit of each scan setting."""

_WIDTH = 100  # where nothing tells how wide the reader's page is
_MOST_NAMES = 6


def page_console(width: int = _WIDTH) -> Console:
    """Make what pages are laid out on; ``width`` where nothing tells how wide it is."""
    on_terminal = sys.stdout.isatty()
    return Console(
        width=None if on_terminal or os.environ.get("COLUMNS") else width,
        force_terminal=on_terminal,
        color_system="auto" if on_terminal else None,
        highlight=False,
    )


def print_page(parts: Iterable[RenderableType], console: Console | None = None) -> None:
    """Print the parts of a page, one below the other, without blanks at the ends of lines."""
    console = console or page_console()
    with console.capture() as page:
        console.print(*parts, sep="\n")
    typer.echo("\n".join(line.rstrip() for line in page.get().splitlines()))


def table_of(*titles: str, right: Sequence[str] = (), wrap: Sequence[str] | None = None) -> Table:
    """Make an empty table; without ``wrap`` every column may wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    for title in titles:
        table.add_column(
            title,
            justify="right" if title in right else "left",
            no_wrap=wrap is not None and title not in wrap,
            overflow="fold",
            min_width=len(title),
        )
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add a row of text that may hold anything."""
    table.add_row(*(Text(plain(cell)) for cell in cells))


def rows_of(rows: Mapping[str, str]) -> RenderableType:
    """Put labels beside what they say, without those that say nothing."""
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for label, value in rows.items():
        if value:
            add_row(table, label, value)
    return indented(table)


def indented(what: RenderableType) -> RenderableType:
    """Leave a blank to the left."""
    return Padding(what, (0, 0, 0, 1), expand=False)


def heading(title: str) -> RenderableType:
    """Draw a title with a rule behind it, below an empty line."""
    return Padding(Rule(Text(title, style="bold"), align="left", style="none"), (1, 0, 0, 0))


def names_in_short(found: Sequence[Any]) -> str:
    """List names, of many only the first three and the last."""
    names = [str(n) for n in found]
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:3])} ... {names[-1]} ({len(names)} in all)"
