"""``stemscale summarize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemscale_cli.options import (
    ClusterFile,
    Json,
    Quiet,
    Store,
    TlsCa,
    TlsCert,
    TlsKey,
    tls_of,
)

if TYPE_CHECKING:
    import xarray as xr


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
    frames_csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the scores of every single frame, with time and temperature, to this file.",
        ),
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="threads|local|slurm|kubernetes|ADDRESS",
            help="Where to work: threads of this process, local worker processes, slurm, "
            "kubernetes, or the address of a running Dask scheduler.",
        ),
    ] = "threads",
    cluster: ClusterFile = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score all frames of STORE, raw and filtered, write the scores to it, and show the table.

    PSNR is against the slow scan after min-max scaling, mean ± standard deviation over frames,
    as in the paper; matched: after the best gain and offset. Smear: share of the signal that
    arrives more than 2 px late; streak: what it draws into the spectrum. uPSNR asks for no slow
    scan. FOVs that a filter was trained on are kept apart. Frames that lie outside what
    their filter was trained on are counted. Exit code 3 means that some frames cannot be read.
    """
    from stemscale.pipeline import summarize as run
    from stemscale.reports import last_frame_table, range_table, score_table, series_table
    from stemscale_cli import score_page
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, scoring

    for file in (csv_file, frames_csv):
        if file is not None and not file.absolute().parent.is_dir():
            raise typer.BadParameter(f"{file}: there is no folder {file.parent}; make it first")
    with bar(scoring, quiet=quiet or as_json, unit="frames") as listener:
        summary = run(
            store,
            truth=truth,
            scheduler=scheduler,
            tls=tls_of(tls_ca, tls_cert, tls_key),
            cluster_file=cluster,
            listener=listener,
        )
    rows, ranges = score_table(store), range_table(store)
    series, last = series_table(store), last_frame_table(store)
    if csv_file is not None:
        score_page.write_rows(csv_file, rows)
    if frames_csv is not None:
        score_page.write_frames(frames_csv, store, summary)
    if as_json:
        print_json(
            {
                "store": store,
                "scores": rows,
                "series": series,
                "last_frames": last,
                "out_of_range": ranges,
                "problems": summary.attrs["problems"],
            }
        )
    else:
        if not any(row.statistics for row in rows):
            talk(f"{store}: nothing to score: filter its frames, or ingest slow scans")
        score_page.show_scores(rows)
        score_page.show_series(series)
        score_page.show_last_frames(last)
        score_page.show_ranges(ranges)
    _say_problems(summary)


def _say_problems(summary: "xr.Dataset") -> None:
    from stemscale_cli.output import talk

    for problem in summary.attrs["problems"]:
        talk(f"not scored: {problem}")
    if summary.attrs["problems"]:
        raise typer.Exit(3)
