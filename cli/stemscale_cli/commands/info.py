"""``stemscale info``."""

from typing import Annotated

import typer

from stemscale_cli.options import Fovs, Json, Store


def info(
    store: Store,
    fov: Fovs = None,
    metadata: Annotated[
        bool,
        typer.Option(
            "--metadata", help="Also what the files said of themselves, as JSON; it may be long."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is in STORE: FOVs, frames, scan settings, calibrations, filters, history.

    With more than three FOVs only a table of them, and the details of those named by --fov.
    """
    from stemscale.pipeline import info as run
    from stemscale_cli.output import print_json

    found = run(store, fovs=fov or (), metadata=metadata)
    if as_json:
        print_json(found)
        return
    from stemscale_cli.info_page import show

    show(found, details=bool(fov))
