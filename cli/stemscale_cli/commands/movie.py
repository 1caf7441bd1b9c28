"""``stemscale movie``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, OneFov, Overwrite, Quiet, Store

_LARGE_GIF = 20_000_000  # bytes


def movie(
    store: Store,
    output: Annotated[
        Path,
        typer.Option(metavar="FILE.{mp4,webm,gif}", help="The movie; its ending says which kind."),
    ],
    fov: OneFov = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME",
            help="Filtered frames of that name; may be repeated. [default: all of learned "
            "filters, else all others]",
        ),
    ] = None,
    raw: Annotated[
        str,
        typer.Option(
            metavar="corrected|recorded|none",
            help="The rapid frames beside them: at the same place, as recorded, or left out.",
        ),
    ] = "corrected",
    frames: Annotated[
        str | None,
        typer.Option(metavar="FIRST:END", help="Only these, END not included. [default: all]"),
    ] = None,
    fps: Annotated[float, typer.Option(metavar="N", help="Movie frames a second.")] = 25.0,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Seconds of the series in a second of the movie; each movie frame shows the one "
            "frame nearest to its moment, none is averaged. [default: every frame once]",
            show_default=False,
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="X,Y,WIDTH,HEIGHT", help="Only this part [px of the frames shown]."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Movie pixels for each pixel of a frame. [default: 1; more for small frames, less "
            "for very large ones]",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a movie of one field of view, raw and filtered side by side.

    One grey scale for the whole series; scale bar, time, temperature, frame number and pace as far
    as the store knows them. What is not filtered yet, or failed, is hatched and counted.
    """
    wanted = None if frames is None else _numbers("--frames", frames, ":", 2)
    part = None if crop is None else _numbers("--crop", crop, ",", 4)
    from stemscale.movies import movie as run
    from stemscale_cli.output import count, plain, print_json, size, talk
    from stemscale_cli.progress import bar, frames_of

    with bar(frames_of("movie"), quiet=quiet or as_json, unit="frames") as listener:
        done = run(
            store,
            output,
            fov=fov,
            filters=filters or [],
            raw=raw,
            frames=None if wanted is None else (wanted[0], wanted[1]),
            fps=fps,
            speed=speed,
            crop=None if part is None else tuple(n or 0 for n in part),  # type: ignore[arg-type]
            scale=scale,
            overwrite=overwrite,
            listener=listener,
        )
    for note in done.notes:
        talk(f"Warning: frames are shown as recorded: {note}")
    for panel, why in done.absent.items():
        for reason, number in why.items():
            talk(f"{panel}: {count(number, 'frame')} hatched: {reason}")
    if done.path.suffix.lower() == ".gif" and done.size > _LARGE_GIF:
        talk(
            f"Warning: {done.path} has {size(done.size)}, more than most pages and players take: "
            f"make it smaller by --crop, --scale, --frames or --speed, or write an .mp4"
        )
    if done.left_out:
        talk(f"{done.left_out} of {done.selected} frames are left out by --speed")
    if as_json:
        print_json(done)
        return
    pace = "" if done.pace is None else f", {done.pace:.3g} × real time"
    typer.echo(
        plain(
            f"{done.path}: {' | '.join(done.panels)}; {count(done.n_frames, 'frame')} of "
            f"{done.shape[1]} x {done.shape[0]}, {done.seconds:.3g} s{pace}, {size(done.size)}"
        )
    )


def _numbers(option: str, text: str, sign: str, needed: int) -> list[int | None]:
    """Read whole numbers with a sign between them; between colons they may be left out."""
    parts = [p.strip() for p in text.split(sign)]
    form = "FIRST:END" if sign == ":" else "X,Y,WIDTH,HEIGHT"
    if len(parts) == needed:
        try:
            return [int(p) if p or sign != ":" else None for p in parts]
        except ValueError:
            pass
    raise typer.BadParameter(f"{text!r} is not {form}, whole numbers", param_hint=option)
