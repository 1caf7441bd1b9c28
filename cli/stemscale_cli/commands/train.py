"""``stemscale train``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, Overwrite, Quiet


def train(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE", help="Acquisitions with calibrated FOVs.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILTER", help="The filter file to write (.safetensors).", show_default=False
        ),
    ],
    fov: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this field of view; may be repeated. [default: those whose use is train]",
        ),
    ] = None,
    exclude_fov: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Not this field of view; may be repeated."),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="slow|dcfi", help="What a frame is to become: slow (the slow scan) or dcfi."
        ),
    ] = "slow",
    preset: Annotated[str, typer.Option(metavar="standard|paper", help="Recipe.")] = "standard",
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the recipe's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Train that long [min], instead of epochs.")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of weights, patches and augmentation.")
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads of torch, at most. [default: the cores]"),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a filter on the FOVs of STORES whose use is train (all, where none is marked).

    FOVs marked test are never used. The filter's card lists the FOVs it has seen, and tables of
    scores keep them apart. Training data are held in memory.
    """
    from stemscale.pipeline import train as run
    from stemscale_cli.output import print_json
    from stemscale_cli.progress import bar, training

    with bar(training, quiet=quiet or as_json, unit="%") as listener:
        made = run(
            stores,
            output=output,
            fovs=fov or [],
            exclude_fovs=exclude_fov or [],
            target=target,
            preset=preset,
            epochs=epochs,
            minutes=minutes,
            seed=seed,
            threads=threads,
            overwrite=overwrite,
            listener=listener,
        )
    card = made.card
    if as_json:
        print_json({"filter": output, "card": card})
        return
    names = ", ".join(f["fov"] for f in card["fovs"])
    typer.echo(f"{output}: preset {preset}, trained on {names}")
