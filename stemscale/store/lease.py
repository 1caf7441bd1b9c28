"""One driver at a time writes an array of frames; a dead one's late writes are turned away."""

import json
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

from stemscale.errors import StemscaleError, StoreConflictError
from stemscale.store.files import StorePath, read_json, write_json
from stemscale.store.object_path import ObjectPath

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
STALE_S = 60.0
_HELD = b'"held": true'


@contextmanager
def hold_lease(
    file: StorePath, *, what: str, about: Mapping[str, Any] | None = None
) -> Iterator[int]:
    """Be the only driver that writes ``what``, and keep saying so.

    Parameters
    ----------
    file : Path or ObjectPath
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
            try:
                if not _renew(file, {**(about or {}), **mine, "heartbeat": time.time()}):
                    logger.warning("the lease of %s was taken over", what)
                    return
            # as on a full disk, or where a server is away: what it guards fails by itself
            except (OSError, StemscaleError) as error:
                logger.warning("the lease of %s cannot be renewed: %s", what, error)

    thread = threading.Thread(target=beat, name="stemscale-lease", daemon=True)
    thread.start()
    try:
        yield int(mine["epoch"])
    finally:
        stop.set()
        thread.join()
        _release(file, mine)


def lease_holder(file: StorePath) -> dict[str, Any] | None:
    """Give what the driver that writes an array says of itself; None where none is alive."""
    held = read_json(file) or {}
    return held if held.get("held") and _alive(held) else None


def was_left(file: StorePath) -> bool:
    """Tell whether the last driver that wrote an array died before it could say that it ends."""
    held = read_json(file) or {}
    return bool(held.get("held")) and not _alive(held)


def current_epoch(file: StorePath) -> int:
    """Epoch of the driver that holds, or last held, a lease; 0 where none ever did."""
    return int((read_json(file) or {}).get("epoch", 0))


def check_epoch(file: StorePath, epoch: int, *, what: str) -> None:
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


def _renew(file: StorePath, mine: Mapping[str, Any]) -> bool:
    """Say again whose the lease is; tell whether it still was."""
    if isinstance(file, ObjectPath):
        there = file.read_tagged()
        if there is None or json.loads(there[0]).get("epoch") != mine["epoch"]:
            return False
        # An answer that was lost has the same request made again, and that one refused.
        done = file.put_if(json.dumps(mine).encode(), there[1]) is not None
        return done or read_json(file) == mine
    if current_epoch(file) != mine["epoch"]:
        return False
    write_json(file, mine)
    return True


def _release(file: StorePath, mine: Mapping[str, Any]) -> None:
    try:
        _renew(file, {**mine, "held": False})
    except StemscaleError as error:  # it lapses by itself, once nobody renews it
        logger.warning("the lease %s cannot be given back: %s", file, error)
    except OSError:  # on a full disk there is room for what takes the place of as many bytes
        assert isinstance(file, Path)
        with file.open("r+b") as stream:
            at = stream.read().index(_HELD)
            stream.seek(at)
            stream.write(_HELD.replace(b"true", b"null"))


def _claim(file: StorePath, what: str) -> dict[str, Any]:
    if isinstance(file, ObjectPath):
        return _claim_object(file, what)
    # The lock file makes check-and-take one step; it is held for that moment only.
    lock = file.with_name(file.name + ".lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if _age_s(lock) < HEARTBEAT_S:
            raise StoreConflictError(f"{what} is being claimed by another run just now") from None
        lock.touch()  # left by a driver that died within these few milliseconds
    try:
        mine = _next(read_json(file) or {}, what)
        write_json(file, mine)
        return mine
    finally:
        lock.unlink(missing_ok=True)


def _age_s(lock: Path) -> float:
    """Say how old a lock is; one that its claimant let go of in the meantime, not at all."""
    try:
        return time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _claim_object(file: ObjectPath, what: str) -> dict[str, Any]:
    # Put on condition that it still is the one that was read: check-and-take is one step.
    there = file.read_tagged()
    mine = _next({} if there is None else json.loads(there[0]), what)
    taken = file.put_if(json.dumps(mine).encode(), None if there is None else there[1])
    # An answer that was lost has the same request made again, and that one refused.
    if taken is None and read_json(file) != mine:
        raise StoreConflictError(f"{what} is being claimed by another run just now")
    return mine


def _next(held: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Give the lease that follows, if nobody alive has it."""
    if held.get("held") and _alive(held):
        raise StoreConflictError(
            f"{what} is being written by process {held['pid']} on {held['host']} since "
            f"{held['started']}: wait for it, or end it first"
        )
    return {
        "epoch": int(held.get("epoch", 0)) + 1,
        "held": True,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "heartbeat": time.time(),
    }


def _alive(held: Mapping[str, Any]) -> bool:
    if held.get("host") == socket.gethostname():
        try:
            os.kill(int(held["pid"]), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's process: alive
    return time.time() - float(held.get("heartbeat", 0)) < STALE_S
