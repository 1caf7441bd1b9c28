"""``stemscale view``."""

from typing import Annotated

import typer

from stemscale_cli.options import Store


def view(
    store: Store,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Port on 127.0.0.1. [default: 5007, or a free one if that is taken]",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or print the address.")
    ] = True,
) -> None:
    """Look at the frames of STORE in the browser: side by side, PSNR, profiles, spectra.

    The page is served to this machine alone, and follows a store that grows. Ctrl-C ends it.
    """
    from stemscale.viewer import view as run
    from stemscale_cli.interrupt import stop_when_asked
    from stemscale_cli.output import talk

    def ready(address: str) -> None:
        typer.echo(address)
        talk("Ctrl-C ends it.")

    with stop_when_asked() as stop:
        run(store, port=port, browser=browser, ready=ready, stop=stop)
