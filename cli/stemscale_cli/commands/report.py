"""``stemscale report``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Store


def report(
    store: Store,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page to write. [default: beside STORE]"),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Write one picture as well: rapid, DCFI, filtered and slow side by side.",
        ),
    ] = None,
) -> None:
    """Write one HTML page about STORE: images side by side, PSNR, spectra, distortion.

    The page holds everything it shows, needs no network, and prints well.
    """
    from stemscale.reports import report as run
    from stemscale.reports import write_comparison

    typer.echo(str(run(store, output)))
    if picture is not None:
        typer.echo(str(write_comparison(store, picture)))
