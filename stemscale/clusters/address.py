"""A scheduler that runs already, wherever it is."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Client
from distributed.security import Security

from stemscale.clusters.awake import AwakeWhileDriven
from stemscale.clusters.worker import WorkerSetup, register
from stemscale.errors import ProcessingError, SettingsError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """Files of a scheduler whose traffic is encrypted.

    Attributes
    ----------
    ca : Path
        Certificate of the authority that signed those of scheduler, workers and this client.
    cert, key : Path
        Certificate of this client, and its key.
    """

    ca: Path
    cert: Path
    key: Path

    def security(self) -> Security:
        """Give what Dask needs of them.

        Raises
        ------
        SettingsError
            If one of the files is not there, or is none of its kind.
        """
        for file in (self.ca, self.cert, self.key):
            if not file.is_file():
                raise SettingsError(f"{file} does not exist: needed are --tls-ca, -cert and -key")
        security = Security(
            tls_ca_file=str(self.ca),
            tls_client_cert=str(self.cert),
            tls_client_key=str(self.key),
            require_encryption=True,
        )
        try:
            security.get_connection_args("client")
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(
                f"{self.ca}, {self.cert} and {self.key} are no certificates and key that belong "
                f"together ({error}): check which file is which"
            ) from error
        return security


@contextmanager
def at_address(address: str, tls: Tls | None) -> Iterator[Client]:
    """Give a client of a running scheduler, see `connect`."""
    security = tls.security() if tls else None
    try:
        client = Client(address, timeout="20s", set_as_default=False, security=security)
    except (OSError, TimeoutError, ValueError) as error:
        raise ProcessingError(
            f"no scheduler answers at {address} ({error}): start one with "
            f"`dask scheduler`, or use --scheduler local"
        ) from error
    with client:
        set_up(client, f"the workers of {address}")
        yield client


def set_up(client: Client, whose: str, *, threads: int | None = None) -> None:
    """Set workers up that are elsewhere: those there are, and those to come.

    Parameters
    ----------
    client : Client
    whose : str
        Named in the error.
    threads : int, optional
        Of torch, for each worker; by default as many as it takes blocks at once.

    Raises
    ------
    ProcessingError
        If they have another version of stemscale, or none.
    """
    try:
        there = client.scheduler_info(n_workers=-1)["workers"]
        register(client, WorkerSetup(threads, ("auto",), tuple(there)))
    except ImportError as error:
        raise ProcessingError(
            f"{whose} cannot import stemscale ({error}): install it there, in the version that is "
            "here"
        ) from error
    try:
        client.register_plugin(AwakeWhileDriven())
    except (ImportError, AttributeError) as error:  # needed only where it has an idle timeout
        logger.info("the scheduler cannot import stemscale (%s)", error)
