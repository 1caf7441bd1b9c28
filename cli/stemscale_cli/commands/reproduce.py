"""``stemscale reproduce``."""

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where everything goes.", show_default=False),
    ],
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="small|paper",
            help="small: for two cores; paper: 66 fields of view of 50 frames, as there. "
            "[default: small]",
            show_default=False,
        ),
    ] = None,
    series: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Instead of simulated frames, all series among the microscope files in this "
            "folder and below it, filtered by what comes with the package and scored without "
            "truth.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the study of Ihara et al. (2022) on simulated frames, and write a page of results.

    Shows each command before it runs it; interrupted, the same command goes on. The page puts
    each claim of the paper beside what was measured: it holds, or not, or cannot be tested. With
    --series it is about real frames: what can be known of them where there is no slow scan.
    """
    from stemscale.workflows import reproduce as run
    from stemscale.workflows import reproduce_series

    if series is None:
        run(folder, scale=scale or "small", say=typer.echo)
        return
    if scale is not None:
        raise typer.BadParameter("it is of the simulated study: leave it out, or --series")
    reproduce_series(folder, series, say=typer.echo)
