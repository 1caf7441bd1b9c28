"""``stemscale demo``."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where the demo keeps its files, about 100 MB."),
    ] = Path("demo"),
) -> None:
    """Go the whole way once, on simulated frames with a known truth; a few minutes on two cores.

    Shows each command before it runs it: simulate, ingest, calibrate, train, process, summarize,
    report.
    """
    from stemscale.workflows import demo as run

    run(folder, say=typer.echo)
