"""``stemscale compact``."""

from typing import Annotated

import typer

from stemscale_cli.options import Fovs, Json, Quiet, Store


def compact(
    store: Store,
    fov: Fovs = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only what was filtered under this name, or rapid. [default: all]",
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Frames in a block. [default: about 32 MiB of float32]"
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make larger blocks of the small ones that `live` leaves: fewer files, quicker to read.

    Frames, scores and all that is known of them stay. Killed, the same command finishes.
    """
    from stemscale.pipeline import compact as run
    from stemscale_cli.output import print_json, size
    from stemscale_cli.progress import bar, compacting

    with bar(compacting, quiet=quiet or as_json, unit="frames") as listener:
        done = run(store, fovs=fov or [], name=name, block=block, listener=listener)
    if as_json:
        print_json({"store": store, "series": done})
        return
    for one in done:
        if one.left:
            typer.echo(f"{one.group}: left in blocks of {one.block}: {one.left}")
        elif one.block == one.block_before:
            typer.echo(f"{one.group}: blocks of {one.block} already")
        else:
            typer.echo(
                f"{one.group}: blocks of {one.block_before} to {one.block}, {one.files_before} "
                f"files to {one.files}, {size(one.bytes_before)} to {size(one.bytes)}"
            )
