"""``stemscale summarize``."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemscale_cli.options import Json, Quiet, Store

if TYPE_CHECKING:
    from stemscale.reports import RangeRow, ScoreRow

_COLUMNS = (
    "fov_group",
    "type",
    "n_fovs",
    "n_frames",
    "psnr_mean_db",
    "psnr_std_db",
    "truth_mean_db",
    "truth_std_db",
    "smear",
    "n_out_of_range",
)


def summarize(
    store: Store,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="TRUTH",
            help="truth.zarr of a simulation: scores against the noise-free image too.",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the table to this file as well."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Gather the scores of all frames of STORE, write them to it, and show the table.

    PSNR is against the slow scan after min-max scaling, mean ± standard deviation over frames,
    as in the paper. FOVs that a filter was trained on are kept apart. Frames that lie outside what
    their filter was trained on are counted.
    """
    from stemscale.pipeline import summarize as run
    from stemscale.reports import range_table, score_table
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, counted

    with bar(counted("summarize"), quiet=quiet or as_json, unit="FOVs") as listener:
        run(store, truth=truth, listener=listener)
    rows, ranges = score_table(store), range_table(store)
    if csv_file is not None:
        _write_csv(csv_file, rows)
    if as_json:
        print_json({"store": store, "scores": rows, "out_of_range": ranges})
        return
    if rows:
        _show(rows, with_truth=truth is not None)
    else:
        talk(f"{store}: no frame has a slow scan to be compared with, so there are no scores")
    _show_ranges(ranges)


def _show(rows: "list[ScoreRow]", *, with_truth: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    for group in dict.fromkeys(r.fov_group for r in rows):
        mine = [r for r in rows if r.fov_group == group]
        table = Table(
            title=f"FOVs: {group} ({max(r.n_fovs for r in mine)})",
            title_justify="left",
            box=box.SIMPLE_HEAD,
        )
        table.add_column("")
        for heading in ("frames", "PSNR [dB]"):
            table.add_column(heading, justify="right")
        if with_truth:
            table.add_column("against truth [dB]", justify="right")
            table.add_column("smear", justify="right")
        for row in mine:
            cells = [row.type, str(row.n_frames), _pm(row.psnr_mean_db, row.psnr_std_db)]
            if with_truth:
                cells.append(_pm(row.truth_mean_db, row.truth_std_db))
                cells.append("" if row.smear is None else f"{row.smear:.3f}")
            table.add_row(*cells)
        Console(highlight=False).print(table)


def _show_ranges(rows: "list[RangeRow]") -> None:
    """Count frames out of range, where there are any."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not any(row.n_out_of_range for row in rows):
        return
    respects = list(dict.fromkeys(name for row in rows for name in row.out_of_range))
    table = Table(
        title="Frames outside what the filter was trained on",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    for heading in ("frames", "outside", *respects):
        table.add_column(heading, justify="right")
    for row in rows:
        counts = [row.n_frames, row.n_out_of_range, *(row.out_of_range.get(r, 0) for r in respects)]
        table.add_row(f"{row.fov}/{row.filter}", *(str(count) for count in counts))
    Console(highlight=False).print(table)


def _pm(mean: float | None, std: float | None) -> str:
    if mean is None or mean != mean:
        return "no slow scan"
    return f"{mean:.2f} ± {std or 0.0:.2f}"


def _write_csv(file: Path, rows: "list[ScoreRow]") -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        respects = list(dict.fromkeys(name for r in rows for name in r.out_of_range or ()))
        writer.writerow([*_COLUMNS, *(f"n_out_of_range_{name}" for name in respects)])
        for row in rows:
            counts = [(row.out_of_range or {}).get(name) for name in respects]
            writer.writerow([*(getattr(row, c) for c in _COLUMNS), *counts])
