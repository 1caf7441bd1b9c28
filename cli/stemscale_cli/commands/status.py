"""``stemscale status``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from stemscale_cli.options import Json, Store

if TYPE_CHECKING:
    from stemscale.pipeline import SeriesStatus

_HEAD: tuple[str, ...] = (
    "FOV",
    "frames",
    "state",
    "done",
    "left",
    "failed",
    "frames/s",
    "time left",
    "PSNR",
)


def status(store: Store, as_json: Json = False) -> None:
    """Tell how far the work on STORE is: of a run in another terminal, or of one that has died."""
    from stemscale.pipeline import status as run
    from stemscale_cli.output import plain, print_json, talk

    found = run(store)
    if as_json:
        print_json({"store": store, "series": found})
        return
    rows = [_HEAD, *(_row(series) for series in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    for line in dict.fromkeys(_drivers(found)):
        typer.echo(plain(line))
    if any(series.state in ("interrupted", "partial") for series in found):
        talk("the command that began what is not complete goes on where it was")


def _row(series: "SeriesStatus") -> tuple[str, ...]:
    from stemscale.dashboard.words import clock

    lost = series.failed + series.damaged
    return (
        series.fov,
        series.name,
        series.state,
        str(series.done),
        str(series.left),
        str(lost) if lost else "",
        "" if series.frames_per_s is None else f"{series.frames_per_s:.1f}",
        "" if series.eta_s is None else clock(series.eta_s),
        "" if series.psnr is None else f"{series.psnr:.2f} dB",
    )


def _drivers(found: "Sequence[SeriesStatus]") -> list[str]:
    drivers = [series.driver for series in found if series.driver is not None]
    return [
        f"running: process {d['pid']} on {d['host']} since {d['started']}"
        + (f", dashboard {d['dashboard']}" if d.get("dashboard") else "")
        for d in drivers
    ]
