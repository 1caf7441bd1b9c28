"""``stemscale train``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, Overwrite, Quiet


def train(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Acquisitions with calibrated FOVs: folders or URLs.",
            show_default=False,
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
            metavar="slow|dcfi|frames",
            help="What a frame is to become: the slow scan, the aligned average, or the other "
            "frames of the still FOV (needs no slow scan, keeps the smear).",
        ),
    ] = "slow",
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Recipe: standard; live (quicker); paper; dlf-100, dlf-500, dlf-1000, dlf-2500 "
            "(of one --fov).",
        ),
    ] = "standard",
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Train on the first N frames of each FOV."),
    ] = None,
    frames_in: Annotated[
        int | None,
        typer.Option(metavar="N", help="Frames the filter sees at once, odd: for moving scenes."),
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="N", help="Channels of the network's finest level.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="R", help="Learning rate.")] = None,
    no_correction: Annotated[
        bool,
        typer.Option(
            "--no-correction", help="Train on frames as recorded (in the paper, shown to fail)."
        ),
    ] = False,
    equalize: Annotated[
        bool,
        typer.Option(
            "--equalize", help="Equalise contrast by regions; the output is not quantitative."
        ),
    ] = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILTER",
            help="Train this filter further on these FOVs (.safetensors; standard and live come "
            "with the package), at a quarter of the rate.",
            show_default=False,
        ),
    ] = None,
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
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda",
            help="Where to train: cuda takes all GPUs together, cuda:0,cuda:1 these.",
        ),
    ] = "auto",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a training that was cut short, or say why not."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the learning curve: FILE.png, .svg or .pdf."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a filter on the FOVs of STORES whose use is train (all, where none is marked).

    FOVs marked test are never used. The filter's card lists the FOVs it has seen, and tables of
    scores keep them apart. Interrupted, the same command goes on where it was (FILTER.checkpoint).
    """
    from stemscale.pipeline import train as run
    from stemscale_cli.output import print_json, talk
    from stemscale_cli.progress import bar, training

    if plot is not None:
        from stemscale.reports import CURVE_ENDINGS
        from stemscale.views import checked_output

        for store in stores:
            checked_output(store, plot, CURVE_ENDINGS)
    if no_correction and target == "slow":
        talk("Warning: frames as recorded do not match the slow scan: the filter will blur")
    with bar(training, quiet=quiet or as_json, unit="%") as listener:
        made = run(
            stores,
            output=output,
            fovs=fov or [],
            exclude_fovs=exclude_fov or [],
            target=target,
            preset=preset,
            correction=not no_correction,
            frames=frames,
            frames_in=frames_in,
            width=width,
            rate=rate,
            equalize=equalize,
            start_from=start_from,
            epochs=epochs,
            minutes=minutes,
            seed=seed,
            threads=threads,
            device=device,
            resume=resume,
            overwrite=overwrite,
            listener=listener,
        )
    card = made.card
    if plot is not None:
        from stemscale.reports import plot_learning_curve

        plot_learning_curve(card, plot, title=output.name)
    if as_json:
        drawn = {} if plot is None else {"plot": plot}
        print_json({"filter": output, "card": card, **drawn})
        return
    names = ", ".join(f["fov"] for f in card["fovs"])
    scores = card["scores"]
    typer.echo(f"{output}: preset {preset}, trained on {names}")
    typer.echo(
        f"  held out: {_db(scores['validation_psnr_db'])}, rapid frames "
        f"{_db(scores['validation_psnr_rapid_db'])} (background removed); "
        f"{card['training']['epochs']:g} epochs in {card['training']['seconds']:.0f} s"
    )
    if plot is not None:
        typer.echo(str(plot))


def _db(score: float | None) -> str:
    return "not known" if score is None else f"{score:.2f} dB"
