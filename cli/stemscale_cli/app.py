"""The typer application, and what happens when a verb fails."""

import logging
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from stemscale.errors import StemscaleError
from stemscale_cli.commands import (
    calibrate,
    compact,
    demo,
    export,
    filters,
    info,
    ingest,
    live,
    movie,
    process,
    report,
    reproduce,
    simulate,
    status,
    summarize,
    train,
    verify,
    view,
)
from stemscale_cli.interrupt import what_remains
from stemscale_cli.output import talk

_INTERRUPTED = 130  # how typer ends after Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: square brackets stay, and rich need not be imported
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for _verb in (
    simulate.simulate,
    ingest.ingest,
    info.info,
    calibrate.calibrate,
    train.train,
    process.process,
    live.live,
    status.status,
    summarize.summarize,
    verify.verify,
    compact.compact,
    report.report,
    view.view,
    export.export,
    movie.movie,
    demo.demo,
    reproduce.reproduce,
):
    app.command()(_verb)
app.add_typer(filters.app, name="filters")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stemscale {installed_version('stemscale')}")
        raise typer.Exit


@app.callback()
def stemscale(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, and the log.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Correct the scan distortion of rapid-scan STEM series, and filter their noise and smear.

    The usual way: ingest, calibrate, train, process, summarize, report. Try it: stemscale demo.
    """
    del version
    if debug:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    else:  # what concerns the user comes as an event or as an error
        logging.getLogger().addHandler(logging.NullHandler())


def main() -> None:
    """Run the command line; errors of stemscale become one line on stderr and exit code 1."""
    try:
        app()
    except StemscaleError as error:
        if "--debug" in sys.argv:
            raise
        talk(f"Error: {error}")
        sys.exit(1)
    except SystemExit as ending:
        if ending.code == _INTERRUPTED:
            # before the verb stand flags only, without values
            verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
            talk(what_remains(verb, overwrite="--overwrite" in sys.argv))
        raise


if __name__ == "__main__":
    main()
