"""``stemscale live``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stemscale_cli.options import (
    Dtype,
    Force,
    Json,
    OutputName,
    Quiet,
    Store,
    UntilIdle,
    Workers,
    rapid_settings,
)


def live(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A folder that gets files, or a file that gets frames (MRC, NPY).",
            show_default=False,
        ),
    ],
    store: Store,
    filter: Annotated[
        str,
        typer.Option(
            metavar="FILTER",
            help="live or standard, which come with the package; a filter file (.safetensors); "
            "none; or dcfi with --window.",
        ),
    ] = "live",
    name: OutputName = None,
    fov: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the FOV. [default: made from SOURCE]"),
    ] = None,
    slow: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its slow scan, which may be taken at the end."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which signal, where a file holds several."),
    ] = None,
    distortion: Annotated[
        str | None,
        typer.Option(
            metavar="STORE|none",
            help="A store whose distortion is carried over. [default: none is corrected]",
        ),
    ] = None,
    force: Force = False,
    dtype: Dtype = None,
    window: Annotated[
        int | None, typer.Option(metavar="N", help="For dcfi: frames averaged around each.")
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="NM", help="Pixel size [nm], if the files err."),
    ] = None,
    dwell_time: Annotated[
        float | None,
        typer.Option(metavar="NS", help="Dwell time [ns], if the files err."),
    ] = None,
    flyback: Annotated[
        float | None,
        typer.Option(metavar="US", help="Flyback time of a line [us], if the files err."),
    ] = None,
    block: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Frames taken and filtered at a time: few for a short latency. "
            "`stemscale compact` makes larger ones of them afterwards.",
        ),
    ] = 4,
    until_idle: UntilIdle = None,
    workers: Workers = None,
    device: Annotated[
        str,
        typer.Option(metavar="auto|cpu|cuda", help="Where workers filter: cuda takes all GPUs."),
    ] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Filter frames while the microscope takes them: ingest --watch and process --follow in one.

    Ends with --until-idle or Ctrl-C, once all that has come is filtered; the same command goes on.
    If the computer cannot keep up, the newest frames come first, and nothing is lost.
    """
    from stemscale.workflows import live as run
    from stemscale_cli.interrupt import stop_when_asked
    from stemscale_cli.output import count, fields_of, plain, print_json, talk
    from stemscale_cli.progress import bar, living
    from stemscale_cli.run_page import (
        keeping_up,
        say_corrections,
        say_failures,
        say_what_is_outside,
    )

    with (
        stop_when_asked() as stop,
        bar(living, quiet=quiet or as_json, unit="frames") as listener,
    ):
        done: Any = run(
            source,
            store,
            filter=filter,
            name=name,
            fov=fov,
            slow=slow,
            detector=detector,
            rapid_settings=rapid_settings(pixel_size, dwell_time, flyback),
            block=block,
            distortion=distortion,
            force=force,
            dtype=dtype,
            window=window,
            until_idle_s=until_idle,
            stop=stop,
            workers=workers,
            device=device,
            listener=listener,
        )
    if as_json:
        print_json({**fields_of(done), "lost": done.lost})
    elif done.followed is None:
        typer.echo(f"{done.store}: no frames came")
    else:
        typer.echo(
            plain(
                f"{done.store}: {done.fov}, {count(done.taken, 'frame')} taken, {done.filtered} "
                f"filtered to filtered/{done.followed.name}, {done.lost} lost"
            )
        )
        typer.echo(keeping_up(done.followed))
        say_corrections(done.followed)
        say_what_is_outside(done.followed)
        for file, why in done.watched.not_taken.items():
            talk(f"{file} {why}: left out")
    if done.followed is not None:
        say_failures(done.followed)
