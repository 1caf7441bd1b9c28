"""``stemscale verify``."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import typer

from stemscale_cli.options import Json, Quiet, Store

if TYPE_CHECKING:
    from stemscale.store import Damage


def verify(store: Store, as_json: Json = False, quiet: Quiet = False) -> None:
    """Read everything in STORE and name what is damaged, missing or unfinished (exit code 1)."""
    from stemscale.pipeline import verify as run
    from stemscale_cli.output import count, plain, print_json, talk
    from stemscale_cli.progress import bar, counted

    with bar(counted("verify"), quiet=quiet or as_json, unit="FOVs") as listener:
        found = run(store, listener=listener)
    if as_json:
        print_json(found)
    else:
        for line in _lines(found.damage):
            typer.echo(plain(line))
        typer.echo(
            f"{count(found.blocks, 'block')} of frames and "
            f"{count(found.arrays, 'other array')} read, "
            f"{count(len(found.damage), 'thing')} damaged or missing"
        )
        for remedy in _remedies(found.damage):
            talk(remedy)
    if found.damage:
        raise typer.Exit(1)


def _lines(damage: "Sequence[Damage]") -> Iterator[str]:
    """Name each thing; blocks that follow one another and have the same reason, together."""

    def alike(numbered: "tuple[int, Damage]") -> tuple[str, str | None, str, int | None]:
        i, one = numbered
        return one.group, one.name, one.reason, None if one.block is None else one.block - i

    for _, several in groupby(enumerate(damage), key=alike):
        found = [one for _, one in several]
        first, last = found[0], found[-1]
        where = "" if last.stop is None else f" frames {first.start}-{last.stop - 1}"
        where += "" if first.name is None else f" {first.name}"
        yield f"{first.group or '/'}{where}: {first.reason}"


def _remedies(damage: "Sequence[Damage]") -> Iterator[str]:
    """Say how pixels come back."""
    pixels = [d for d in damage if d.block is not None or d.name == "image"]
    kinds = {d.group.partition("/")[2].partition("/")[0] for d in pixels}
    if kinds & {"rapid", "slow"}:
        yield "rapid and slow scans: `stemscale ingest` with the same files writes the damaged anew"
    if "filtered" in kinds:
        yield "filtered frames: `stemscale process` makes them anew (complete ones: --overwrite)"
