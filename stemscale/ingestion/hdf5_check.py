"""Whether the HDF5 library survives a file: tried in a process of its own.

On some damaged files the library loops for ever, deaf to Ctrl-C, or ends the interpreter
(https://github.com/HDFGroup/hdf5/issues/1707, https://github.com/h5py/h5py/issues/2088): mostly
where the length of a text was harmed. No check of ours can tell, short of reading them.
"""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from stemscale.errors import InputFileError
from stemscale.ingestion import hdf5_walk

logger = logging.getLogger(__name__)

HDF5 = (".emd", ".h5", ".hspy", ".nxs")
_CPU_LIMIT_S = 30.0  # a million chunks take less than 1 s


def check_hdf5(files: Iterable[Path], *, cpu_limit_s: float = _CPU_LIMIT_S) -> None:
    """Refuse files that would hang or end this process when they are opened.

    Parameters
    ----------
    files : iterable of Path
        All that are going to be opened; those that are no HDF5 do not count. One process is
        started for all of them.
    cpu_limit_s : float
        For one object of a file, of which the process may use no more CPU time [s]; waiting for
        a disk does not count.

    Raises
    ------
    InputFileError
        If the HDF5 library loops or crashes on a file. Damage of other kinds is not looked for.
    """
    asked = [f for f in files if f.suffix.lower() in HDF5]
    if not asked:
        return
    command = [sys.executable, "-P", hdf5_walk.__file__, str(cpu_limit_s)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps([str(f) for f in asked]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for us, and we end it
            check=False,
        )
    except OSError as error:
        logger.warning("HDF5 files are opened unchecked: %s", error)
        return
    n_lines = len(done.stdout)
    if n_lines == 0:
        logger.warning("HDF5 files are opened unchecked: %s did not run", " ".join(command))
    elif n_lines <= len(asked):
        raise InputFileError(
            f"{asked[n_lines - 1]} is damaged: the HDF5 library {_fate(done.returncode)}; copy it "
            f"again from the microscope"
        )


def _fate(returncode: int) -> str:
    if returncode == -signal.SIGPROF:
        return "never comes to an end with it"
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
    return f"crashes on it ({how})"
