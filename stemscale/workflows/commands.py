"""Commands of this installation, run as a user types them."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stemscale.errors import ProcessingError


def words(*parts: object) -> tuple[str, ...]:
    """Put a command together, from ``stemscale`` on."""
    return ("stemscale", *(str(part) for part in parts))


def typed(command: Sequence[str]) -> str:
    """Write a command as it is typed."""
    return shlex.join(command)


def run_command(command: Sequence[str], *, output: Path | None = None) -> None:
    """Run a command; what it says goes to the terminal.

    Parameters
    ----------
    command : sequence of str
        As typed, from ``stemscale`` on. The same interpreter runs it, whatever the PATH.
    output : Path, optional
        Takes what it prints to standard output, and is there only once all of it is.

    Raises
    ------
    ProcessingError
        If it fails.
    """
    argv = [sys.executable, "-m", "stemscale_cli.app", *command[1:]]
    if output is None:
        done = subprocess.run(argv)
    else:
        unfinished = output.with_name(f".{output.name}.unfinished")
        with unfinished.open("wb") as file:
            done = subprocess.run(argv, stdout=file)
        if not done.returncode:
            unfinished.replace(output)
    if done.returncode:
        raise ProcessingError(
            f"`{typed(command)}` ended with exit code {done.returncode}: see above"
        )
