"""A process that reads whatever of HDF5 files the library could loop or crash on, and may die.

It is run as a file, since ``stemscale.ingestion`` takes a second to import: it knows h5py only.
Arguments: CPU time for one object [s]. Input: a JSON array of paths. Output: a line at the start,
and one for each file that it has come through, good or bad.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import h5py

_WHOLE_BYTES = 2**20  # datasets up to this size are read: labels and settings, not frames


def walk(path: str, cpu_limit_s: float) -> None:
    """Read names, attributes, small datasets and chunk indices of a file; die of the time limit.

    What HDF5 says is wrong with a file does not matter here: the reader comes upon it again.

    Parameters
    ----------
    path : str
        The file.
    cpu_limit_s : float
        For one object. It counts CPU time: a slow disk has as long as it needs.
    """
    with suppress(Exception), h5py.File(path, "r") as file:
        for found in _objects(file):
            # The kernel ends the process: a loop in C never comes back to Python's handlers.
            signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
            for name in _each(found.attrs):
                with suppress(Exception):
                    found.attrs[name]
            if isinstance(found, h5py.Dataset):
                with suppress(Exception):
                    found.id.get_num_chunks()  # goes through the whole index
                with suppress(Exception):
                    # by a selection, as readers do: without one HDF5 checks more
                    found[(slice(None if found.nbytes <= _WHOLE_BYTES else 2),) * found.ndim]


def _objects(file: Any) -> Iterator[Any]:
    """Every object once, beginning with the root; links out of the file are not followed."""
    waiting: list[Any] = [file]
    seen = set()
    while waiting:
        found = waiting.pop()
        with suppress(Exception):
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
        yield found
        if isinstance(found, h5py.Group):
            for name in _each(found):
                with suppress(Exception):
                    if isinstance(found.get(name, getlink=True), h5py.HardLink):
                        waiting.append(found[name])


def _each(names: Any) -> list[str]:
    with suppress(Exception):
        return list(names)
    return []


def main() -> None:
    """Walk through the files that are asked for."""
    cpu_limit_s = float(sys.argv[1])
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
    os.write(1, b"\n")
    for path in json.load(sys.stdin):
        signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
        walk(path, cpu_limit_s)
        os.write(1, b"\n")


if __name__ == "__main__":
    main()
