"""Tell whether anything of a field of view has changed, without opening it."""

from typing import Any

from stemscale.errors import StoreUnavailableError
from stemscale.store import (
    AcquisitionStore,
    ObjectPath,
    StorePath,
    calibration_group,
    filtered_group,
    rapid_group,
    slow_group,
)

Stamp = tuple[Any, ...]
_FILE = "zarr.json"


def fov_stamp(store: AcquisitionStore, fov: str) -> Stamp:
    """Stamp of a field of view: another one after every frame, score or group that is new.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str

    Returns
    -------
    tuple
        Times and sizes of a few small files, however long the series is.
    """
    rapid = rapid_group(fov)
    parts: list[Any] = [_frames_stamp(store, rapid)]
    for group in (slow_group(fov), calibration_group(fov)):
        parts.append(_stamp(store.path / group / _FILE))
    for name in store.filters(fov):
        parts.append((name, *_frames_stamp(store, filtered_group(fov, name))))
    return tuple(parts)


def _frames_stamp(store: AcquisitionStore, group: str) -> Stamp:
    folder = store.path / group
    files = (folder / _FILE, folder / "frames" / _FILE, folder / "frame_status" / _FILE)
    ledger = store.ledger(group)
    blocks = ledger.run_file.parent / "blocks"
    # a folder is as new as the newest name in it; an object store has no folders
    if isinstance(blocks, ObjectPath):
        times = ledger.commit_times()
        return (*map(_stamp, files), len(times), max(times.values(), default=0.0))
    return (*map(_stamp, files), _stamp(ledger.run_file), _stamp(blocks))


def _stamp(path: StorePath) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except StoreUnavailableError:
        raise
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
