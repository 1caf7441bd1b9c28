"""``stemscale export``."""

from pathlib import Path
from typing import Annotated

import typer

from stemscale_cli.options import Json, OneFov, Overwrite, Quiet, Store


def export(
    store: Store,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="OUT.{hspy,zspy,tif}", help="The file; its extension says which kind."
        ),
    ],
    fov: OneFov = None,
    filtered: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Filtered frames of that name, not those recorded."),
    ] = None,
    slow: Annotated[bool, typer.Option("--slow", help="The slow scan, not the frames.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the frames of one field of view into a file for HyperSpy or ImageJ.

    Pixels are written as they are stored, with axes, units, scan settings and per-frame metadata.
    In filtered frames, pixels that the scan did not see keep their fill value (0 for unsigned).
    """
    from stemscale.exporting import export as run
    from stemscale_cli.output import plain, print_json, talk
    from stemscale_cli.progress import bar, frames_of

    with bar(frames_of("export"), quiet=quiet or as_json, unit="frames") as listener:
        done = run(
            store,
            to,
            fov=fov,
            filtered=filtered,
            slow=slow,
            overwrite=overwrite,
            listener=listener,
        )
    if done.dialect == "OME":
        talk(
            f"{done.path} is an OME-TIFF: ImageJ's own format has no {done.dtype} frames of that "
            f"size; ImageJ opens it through Bio-Formats"
        )
    if done.unwritten_frames:
        talk(f"{done.unwritten_frames} frames are not filtered yet, or failed: all fill value")
    if as_json:
        print_json(done)
        return
    what = f"{done.n_frames} frames of {done.shape[0]} x {done.shape[1]} {done.dtype}"
    typer.echo(plain(f"{done.path}: {what} from {done.group}"))
