"""Serve the viewer to browsers on this machine, until it is to end."""

import socket
import threading
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemscale.errors import SettingsError

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.server.server import Server

    from stemscale.viewer.library import Library

ADDRESS = "127.0.0.1"
PORT = 5007
_THREADS = 4
_STOP_EVERY_MS = 100


def view(
    store: str | Path,
    *,
    port: int | None = None,
    browser: bool = True,
    ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Look at a store in the browser: frames side by side, PSNR, profiles, spectra.

    Frames are read one by one as they are looked at; nothing is written, and nothing but this
    machine is asked or answered. A store that grows is followed.

    Parameters
    ----------
    store : str or Path
        Folder of the store, or its URL.
    port : int, optional
        Port on 127.0.0.1; by default 5007, or any free one where that is taken.
    browser : bool
        Whether to open a browser.
    ready : callable, optional
        Called with the address once it answers.
    stop : threading.Event, optional
        Ends the viewer when set; without, it goes on until it is interrupted.

    Raises
    ------
    StoreError
        If there is no store, or it holds no field of view.
    SettingsError
        If the port that was asked for is taken.
    """
    from stemscale.viewer.library import Library

    library = Library(store)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="viewer") as executor:
        server = _listen(library, executor, port)
        address = f"http://{ADDRESS}:{server.port}/"
        executor.submit(_warm_up)
        server.start()
        if ready is not None:
            ready(address)
        if browser:
            executor.submit(webbrowser.open, address)
        try:
            _run(server, stop or threading.Event())
        finally:
            server.stop()
            server.unlisten()
            executor.shutdown(wait=False, cancel_futures=True)


def _listen(library: "Library", executor: ThreadPoolExecutor, port: int | None) -> "Server":
    from bokeh.application import Application
    from bokeh.application.handlers import FunctionHandler
    from bokeh.server.server import Server

    from stemscale.viewer.session import Session

    def open_tab(doc: "Document") -> None:
        Session(library, doc, executor)

    found = _port(port)
    return Server(
        {"/": Application(FunctionHandler(open_tab))},
        address=ADDRESS,
        port=found,
        # pages of other sites may reach this port too, by a browser on this machine
        allow_websocket_origin=[f"{ADDRESS}:{found}", f"localhost:{found}"],
    )


def _port(wanted: int | None) -> int:
    """Find a port that nobody listens on."""
    for port in (PORT if wanted is None else wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except (OSError, OverflowError) as error:
                if wanted is not None:
                    raise SettingsError(
                        f"port {wanted} of {ADDRESS} cannot be had ({error}): give another one "
                        "with --port, or leave it out for a free one"
                    ) from error
                continue
            return int(probe.getsockname()[1])
    raise SettingsError(f"no port of {ADDRESS} is free: end what listens there")


def _run(server: "Server", stop: threading.Event) -> None:
    from tornado.ioloop import PeriodicCallback

    loop = server.io_loop

    def look() -> None:
        if stop.is_set():
            loop.stop()

    PeriodicCallback(look, _STOP_EVERY_MS).start()
    with suppress(KeyboardInterrupt):
        loop.start()


def _warm_up() -> None:
    """Import what corrects frames while the browser starts: torch takes more than a second."""
    import stemscale.distortion
    import stemscale.pipeline.calibration  # noqa: F401
