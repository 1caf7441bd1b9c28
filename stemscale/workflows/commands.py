"""Commands of this installation, run as a user types them."""

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stemscale.errors import ProcessingError
from stemscale.whole_file import whole_file

_TIME_TO_END_S = 30.0


def words(*parts: object) -> tuple[str, ...]:
    """Put a command together, from ``stemscale`` on."""
    return ("stemscale", *(str(part) for part in parts))


def typed(command: Sequence[str]) -> str:
    """Write a command as it is typed."""
    return shlex.join(command)


def run_command(command: Sequence[str], *, output: Path | None = None) -> None:
    """Run a command; what it says goes to the terminal. Asked to end, it ends the command first.

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
    if output is None:
        _run(command)
        return
    with whole_file(output) as made, made.open("wb") as file:
        _run(command, file)


def _run(command: Sequence[str], stdout: IO[bytes] | None = None) -> None:
    argv = [sys.executable, "-m", "stemscale_cli.app", *command[1:]]
    if code := _exit_code(argv, stdout):
        raise ProcessingError(f"`{typed(command)}` ended with exit code {code}: see above")


def _exit_code(argv: Sequence[str], stdout: IO[bytes] | None) -> int:
    process: subprocess.Popen[bytes] | None = None
    asked = False

    def end(*_: object) -> None:
        nonlocal asked
        asked = True
        if process is not None:
            process.terminate()

    with _at_a_request_to_end(end):
        process = subprocess.Popen(argv, stdout=stdout)
        if asked:  # while it started
            process.terminate()
        try:
            code = process.wait()
        except BaseException:  # Ctrl-C, which the terminal gave it as well
            try:
                process.wait(_TIME_TO_END_S)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise
    return code or int(asked)  # if it had ended just then, what comes after it is not begun


@contextmanager
def _at_a_request_to_end(end: Callable[..., None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # which alone has signals
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
