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
        str,
        typer.Option(
            metavar="small|paper",
            help="small: for two cores; paper: 66 fields of view of 50 frames, as there.",
        ),
    ] = "small",
) -> None:
    """Run the study of Ihara et al. (2022) on simulated frames, and write a page of results.

    Shows each command before it runs it; interrupted, the same command goes on. The page puts
    each claim of the paper beside what was measured: it holds, or not, or cannot be tested.
    """
    from stemscale.workflows import reproduce as run

    run(folder, scale=scale, say=typer.echo)
