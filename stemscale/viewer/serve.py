"""Serve the viewer to browsers on this machine, until it is to end."""

import asyncio
import socket
import threading
import webbrowser
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stemscale.errors import SettingsError, StemscaleError

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.server.tornado import BokehTornado

    from stemscale.viewer.library import Library

ADDRESS = "127.0.0.1"
PORT = 5007
_THREADS = 4
_STOP_EVERY_S = 0.1
_WAITING = 128  # connections that are not taken up yet


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
    stop = stop or threading.Event()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="viewer") as executor:
        running = _Running(library, executor, _listen(port))
        try:
            if ready is not None:
                ready(running.address)
            if browser:
                webbrowser.open(running.address)
            while not stop.wait(_STOP_EVERY_S):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            running.end()
            executor.shutdown(wait=False, cancel_futures=True)


class _Running:
    """A server in a thread of its own: whoever calls, as a notebook, may have a loop already."""

    def __init__(
        self, library: "Library", executor: ThreadPoolExecutor, listening: socket.socket
    ) -> None:
        self._port = int(listening.getsockname()[1])
        self.address = f"http://{ADDRESS}:{self._port}/"
        self._library, self._executor, self._listening = library, executor, listening
        self._started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()
        self._started.result()

    def end(self) -> None:
        """Close all tabs' connections, and wait until nothing listens any more."""
        if self._loop is not None and self._over is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        from bokeh.server.server import BaseServer
        from tornado.httpserver import HTTPServer
        from tornado.ioloop import IOLoop

        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        application = self._application()
        http = HTTPServer(application)
        http.add_socket(self._listening)
        server = BaseServer(IOLoop.current(), application, http)
        self._executor.submit(_read_first, self._library)
        server.start()
        self._started.set_result(None)
        await self._over.wait()
        server.stop()
        http.stop()
        await http.close_all_connections()

    def _application(self) -> "BokehTornado":
        from bokeh.application import Application
        from bokeh.application.handlers import FunctionHandler
        from bokeh.server.tornado import BokehTornado

        from stemscale.viewer.session import Session

        def open_tab(doc: "Document") -> None:
            Session(self._library, doc, self._executor)

        # pages of other sites may reach this port too, by a browser on this machine
        origins = [f"{name}:{self._port}" for name in (ADDRESS, "localhost")]
        found: BokehTornado = BokehTornado(
            {"/": Application(FunctionHandler(open_tab))}, extra_websocket_origins=origins
        )
        return found


def _listen(wanted: int | None) -> socket.socket:
    """Listen on a port: the one that is wanted, or the usual one, or any that is free."""
    for port in (PORT if wanted is None else wanted, 0):
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((ADDRESS, port))
            found.listen(_WAITING)
        except (OSError, OverflowError) as error:
            found.close()
            if wanted is not None:
                raise SettingsError(
                    f"port {wanted} of {ADDRESS} cannot be had ({error}): give another one with "
                    "--port, or leave it out for a free one"
                ) from error
        else:
            found.setblocking(False)
            return found
    raise SettingsError(f"no port of {ADDRESS} is free: end what listens there")


def _read_first(library: "Library") -> None:
    """Read what is shown first while the browser starts; torch has to wait, or both would."""
    with suppress(StemscaleError):  # it is said to whoever opens the page
        library.opened(library.fovs()[0])
