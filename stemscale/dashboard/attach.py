"""From the driver: puts the page on a scheduler, and finds its address."""

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from distributed import Client

from stemscale.dashboard.plugin import NAME, DashboardPlugin

if TYPE_CHECKING:
    from distributed import Scheduler

logger = logging.getLogger(__name__)

ROUTE = "stemscale"
_ALL = ("0.0.0.0", "::", "")


def attach(client: Client) -> str:
    """Put the stemscale page on a scheduler, unless it is there.

    Parameters
    ----------
    client : Client

    Returns
    -------
    str
        Address of the page; that of Dask's own pages where ours cannot be, as its scheduler has no
        stemscale, or another version: the log says why. Empty where there is no dashboard.
    """
    link = str(client.dashboard_link or "")
    try:
        client.register_plugin(DashboardPlugin())
        there = client.run_on_scheduler(look)
    except Exception as error:  # whatever it is: a run does not need its page
        logger.warning("the scheduler shows no stemscale page: %s", error)
        return link
    if there["version"] != version("stemscale"):
        logger.warning(
            "the scheduler shows no stemscale page of this run: it runs stemscale %s, and this is "
            "%s: start it anew",
            there["version"],
            version("stemscale"),
        )
        return link
    return page_link(link, there) if there["page"] else ""


def look(dask_scheduler: "Scheduler") -> dict[str, Any]:
    """See what a scheduler shows, and where it listens; runs in the scheduler."""
    plugin: Any = dask_scheduler.plugins[NAME]
    server: Any = dask_scheduler.http_server
    return {
        "version": plugin.version,
        "page": plugin.page,
        "host": server.address,
        "port": server.port,
    }


def page_link(link: str, there: dict[str, Any]) -> str:
    """Give the address of the page.

    Parameters
    ----------
    link : str
        That of Dask's own page, as the client has it.
    there : dict
        What `look` found.

    Returns
    -------
    str
        Dask takes the scheduler's host for that of the dashboard, which may listen on loopback
        alone; a link that leads elsewhere, as through a proxy or a tunnel, is left as it is.
    """
    found = urlsplit(link)
    host = found.netloc
    if found.port == there["port"] and there["host"] not in _ALL:
        name = f"[{there['host']}]" if ":" in there["host"] else there["host"]
        host = f"{name}:{there['port']}"
    path = found.path.rstrip("/").removesuffix("/status")
    return urlunsplit((found.scheme, host, f"{path}/{ROUTE}", "", ""))
