"""``stemscale verify``."""

import typer

from stemscale_cli.options import Json, Quiet, Store


def verify(store: Store, as_json: Json = False, quiet: Quiet = False) -> None:
    """Read everything in STORE and name what is damaged, missing or unfinished (exit code 1)."""
    from stemscale.pipeline import verify as run
    from stemscale_cli.output import plain, print_json
    from stemscale_cli.progress import bar, counted

    with bar(counted("verify"), quiet=quiet or as_json, unit="FOVs") as listener:
        found = run(store, listener=listener)
    if as_json:
        print_json(found)
    else:
        for one in found.damage:
            where = "" if one.start is None else f" frames {one.start}-{(one.stop or 1) - 1}"
            where += "" if one.name is None else f" {one.name}"
            typer.echo(plain(f"{one.group or '/'}{where}: {one.reason}"))
        typer.echo(
            f"{found.blocks} blocks of frames and {found.arrays} other arrays read, "
            f"{len(found.damage)} things damaged or missing"
        )
    if found.damage:
        raise typer.Exit(1)
