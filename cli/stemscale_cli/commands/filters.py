"""``stemscale filters``: what filter files say of themselves, and files for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, Overwrite

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"max_content_width": 100}
)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A filter file (.safetensors), or one that comes with the package: standard, live.",
        show_default=False,
    ),
]


@app.callback()
def filters() -> None:
    """Show, compare and export filter files."""


@app.command()
def show(file: File, as_json: Json = False) -> None:
    """Show what FILE says of itself, and check that it is as it was written.

    Network, scaling, what it was trained on and how, the scan settings it is for, and its scores.
    """
    from stemscale.filter_card import read_card
    from stemscale.shipped import find_filter
    from stemscale_cli.filter_page import as_object, show_card
    from stemscale_cli.output import print_json

    found = read_card(find_filter(file))
    if as_json:
        print_json(as_object(found))
        return
    show_card(found)


@app.command()
def compare(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Two filter files or more (.safetensors, standard, live).",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Put what several FILES say of themselves side by side; a * marks what differs."""
    from stemscale.filter_card import read_card
    from stemscale.shipped import find_filter
    from stemscale_cli.filter_page import as_object, differing, show_cards
    from stemscale_cli.output import print_json

    if len(files) < 2:
        raise typer.BadParameter("two filter files are needed, or more", param_hint="FILE...")
    found = [read_card(find_filter(file)) for file in files]
    if as_json:
        print_json({"filters": [as_object(f) for f in found], "differ": differing(found)})
        return
    show_cards(found)


@app.command()
def export(
    file: File,
    to: Annotated[
        Path,
        typer.Option(metavar="OUT", help="The ONNX file to write (.onnx).", show_default=False),
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write FILE as an ONNX file, for programs that know neither torch nor stemscale.

    Frames, center and spread go in, filtered frames come out, all in counts; batch, height and
    width are free. The card goes along, with words on each input. Needs the extra 'onnx'.
    """
    from stemscale.errors import SettingsError
    from stemscale_cli.output import print_json, size

    if to.exists() and not overwrite:
        raise SettingsError(f"{to} exists: choose another --to, or give --overwrite")
    from stemscale.denoising import load_filter
    from stemscale.denoising.onnx_file import export_onnx
    from stemscale.shipped import find_filter

    export_onnx(load_filter(find_filter(file)), to)
    n_bytes = to.stat().st_size
    if as_json:
        print_json({"filter": file, "onnx": to, "bytes": n_bytes})
        return
    typer.echo(f"{to}: {size(n_bytes)}; inputs frames, center, spread, output filtered")
