"""``stemscale report``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stemscale_cli.options import Fovs, Json, Quiet, Store


def report(
    store: Store,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page to write. [default: beside STORE]"),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write each figure there as well, as PNG (200 dpi), SVG and CSV of its numbers.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.{png,svg}",
            help="Write one picture as well: rapid, DCFI, filtered and slow side by side, of the "
            "first field of view, if possible one held out of training.",
        ),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only these filtered frames, beside rapid frames, DCFI and slow scan; may be "
            "repeated. [default: all]",
            show_default=False,
        ),
    ] = None,
    fov: Fovs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page about STORE: images side by side, PSNR, spectra, distortion.

    The page holds everything it shows, needs no network, and prints well. Of many fields of view,
    the first six are shown in images, the first three in figures: choose others by --fov.
    """
    from stemscale.reports import PICTURE_ENDINGS, FileWritten, write_comparison
    from stemscale.reports import report as run
    from stemscale.views import checked_output
    from stemscale_cli.output import print_json
    from stemscale_cli.progress import bar, counted

    if picture is not None:
        checked_output(store, picture, PICTURE_ENDINGS)
    written: list[Path] = []
    with bar(counted("draw"), quiet=quiet or as_json, unit="parts") as move:

        def listen(event: Any) -> None:
            if isinstance(event, FileWritten):
                written.append(event.path)
            else:
                move(event)

        page = run(store, output, figures, fovs=fov or (), filters=filter or (), listener=listen)
    if picture is not None:
        written.append(write_comparison(store, picture, fovs=fov or (), filters=filter or ()))
    if as_json:
        print_json({"store": store, "page": page, "files": written})
        return
    typer.echo(str(page))
    if picture is not None:
        typer.echo(str(picture))
    if figures is not None:
        typer.echo(str(figures))
