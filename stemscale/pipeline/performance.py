"""Dask's performance report of a run, as one page that needs no network."""

import html
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, performance_report

from stemscale.errors import SettingsError

logger = logging.getLogger(__name__)

_ICON = re.compile(r'<link rel="shortcut icon"[^>]*>')  # of Dask, from its site


def check_report_file(file: Path | None) -> None:
    """Refuse a file that cannot be written, before the work is done that it is to tell of.

    Raises
    ------
    SettingsError
        If it is a folder, or lies in none.
    """
    if file is None:
        return
    if file.is_dir():
        raise SettingsError(f"{file} is a folder: name a file in it, as {file / 'run.html'}")
    if not file.parent.is_dir():
        raise SettingsError(f"{file} lies in no folder: make {file.parent} first")


@contextmanager
def reporting(client: Client, file: Path | None, *, command: str) -> Iterator[None]:
    """Write what tasks and workers did meanwhile, also where it ends with an error.

    Parameters
    ----------
    client : Client
    file : Path or None
        HTML; None: nothing is written.
    command : str
        What the page names as its reason.
    """
    if file is None:
        yield
        return
    made = file.absolute().with_name(f".{file.name}.tmp")
    # inline: by default, the page asks a server on the internet for its scripts
    report = performance_report(filename=str(made), mode="inline")
    with client.as_current():
        client.sync(report.__aenter__)
    try:
        yield
    finally:
        try:
            with client.as_current():
                client.sync(report.__aexit__, None, None, None, code=html.escape(command))
            page = made.read_text(encoding="utf-8")
            file.write_text(_ICON.sub("", page), encoding="utf-8")
        except Exception as error:  # whatever it is: the frames matter more, and why a run ended
            logger.warning("no performance report in %s: %s", file, error)
        made.unlink(missing_ok=True)
