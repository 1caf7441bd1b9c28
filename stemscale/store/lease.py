"""One driver at a time writes an array of frames; a dead one's late writes are turned away."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stemscale.errors import StoreConflictError
from stemscale.store.ledger import read_json, write_json

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
STALE_S = 60.0
_HELD = b'"held": true'


@contextmanager
def hold_lease(file: Path, *, what: str, about: Mapping[str, Any] | None = None) -> Iterator[int]:
    """Be the only driver that writes ``what``, and keep saying so.

    Parameters
    ----------
    file : Path
        The lease, ``lease.json`` of a ledger.
    what : str
        Named in the error.
    about : mapping, optional
        JSON values to be told with the heartbeat; what is put into it later, too.

    Yields
    ------
    int
        The epoch: one more than the last driver's. Workers write only while it is current.

    Raises
    ------
    StoreConflictError
        If another driver is alive and writing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    mine = _claim(file, what)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            if current_epoch(file) != mine["epoch"]:
                logger.warning("the lease of %s was taken over", what)
                return
            try:
                write_json(file, {**(about or {}), **mine, "heartbeat": time.time()})
            except OSError as error:  # as on a full disk, where what it guards fails by itself
                logger.warning("the lease of %s cannot be renewed: %s", what, error)

    thread = threading.Thread(target=beat, name="stemscale-lease", daemon=True)
    thread.start()
    try:
        yield int(mine["epoch"])
    finally:
        stop.set()
        thread.join()
        if current_epoch(file) == mine["epoch"]:
            _release(file, mine)


def lease_holder(file: Path) -> dict[str, Any] | None:
    """Give what the driver that writes an array says of itself; None where none is alive."""
    held = read_json(file) or {}
    return held if held.get("held") and _alive(held) else None


def was_left(file: Path) -> bool:
    """Tell whether the last driver that wrote an array died before it could say that it ends."""
    held = read_json(file) or {}
    return bool(held.get("held")) and not _alive(held)


def current_epoch(file: Path) -> int:
    """Epoch of the driver that holds, or last held, a lease; 0 where none ever did."""
    return int((read_json(file) or {}).get("epoch", 0))


def check_epoch(file: Path, epoch: int, *, what: str) -> None:
    """Turn away a write of a driver that has been replaced.

    Raises
    ------
    StoreConflictError
        If the lease has another epoch by now.
    """
    now = current_epoch(file)
    if now != epoch:
        raise StoreConflictError(
            f"{what}: this run (epoch {epoch}) was replaced by another one (epoch {now}); "
            f"its late write was turned away"
        )


def _release(file: Path, mine: Mapping[str, Any]) -> None:
    try:
        write_json(file, {**mine, "held": False})
    except OSError:  # on a full disk there is room for what takes the place of as many bytes
        with file.open("r+b") as stream:
            at = stream.read().index(_HELD)
            stream.seek(at)
            stream.write(_HELD.replace(b"true", b"null"))


def _claim(file: Path, what: str) -> dict[str, Any]:
    # The lock file makes check-and-take one step; it is held for that moment only.
    lock = file.with_name(file.name + ".lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if time.time() - lock.stat().st_mtime < HEARTBEAT_S:
            raise StoreConflictError(f"{what} is being claimed by another run just now") from None
        lock.touch()  # left by a driver that died within these few milliseconds
    try:
        held = read_json(file) or {}
        if held.get("held") and _alive(held):
            raise StoreConflictError(
                f"{what} is being written by process {held['pid']} on {held['host']} since "
                f"{held['started']}: wait for it, or end it first"
            )
        mine = {
            "epoch": int(held.get("epoch", 0)) + 1,
            "held": True,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "heartbeat": time.time(),
        }
        write_json(file, mine)
        return mine
    finally:
        lock.unlink(missing_ok=True)


def _alive(held: dict[str, Any]) -> bool:
    if held.get("host") == socket.gethostname():
        try:
            os.kill(int(held["pid"]), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's process: alive
    return time.time() - float(held.get("heartbeat", 0)) < STALE_S
