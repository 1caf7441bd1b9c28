"""Whether an HDF5 file is closed: one that is being written cannot be read safely."""

import fcntl
import struct
from pathlib import Path

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_STARTS = (0, 512, 1024, 2048)  # of the superblock, behind what others put in front
_HEAD_BYTES = 64


def hdf5_is_closed(path: Path) -> bool:
    """Tell whether an HDF5 file is whole and no program has it open for writing.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        False where a program of this machine holds HDF5's lock on it, where the superblock says
        that it is open for writing (version 3 of it does), or where it says another length than
        the file has: HDF5 sets that, and cuts the file to it, when it closes.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # as on a network share without locks
            pass
        for start in _STARTS:
            file.seek(start)
            head = file.read(_HEAD_BYTES)
            if head.startswith(_SIGNATURE):
                return _is_closed(head, path.stat().st_size)
    return False


def _is_closed(head: bytes, size: int) -> bool:
    version = head[8]
    if version >= 2:
        if version >= 3 and head[11]:
            return False
        width, at = head[9], 12
    else:
        width, at = head[13], 24 + (4 if version == 1 else 0)
    if width != 8 or len(head) < at + 24:
        return False
    (end,) = struct.unpack_from("<Q", head, at + 16)  # after two addresses, of base and extension
    return bool(end == size)
