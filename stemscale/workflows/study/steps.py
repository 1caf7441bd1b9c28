"""Steps of a study that goes on where it was interrupted."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemscale.store import read_json, write_json
from stemscale.workflows.commands import run_command, typed


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command of a study.

    Attributes
    ----------
    name : str
        Names its record.
    command : tuple of str
        As typed, from ``stemscale`` on.
    needs : tuple of str
        Names of the steps whose results it reads: where one of them runs again, so does this one.
    again : tuple of str
        What to add where it was begun before and did not end, or ended otherwise.
    output : Path or None
        Takes what it prints.
    removes : tuple of Path
        Files that it writes and does not replace by itself: away with them before it runs again.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    output: Path | None = None
    removes: tuple[Path, ...] = ()


@dataclass(kw_only=True)
class StepRecords:
    """What is known of the steps of a study that have been run.

    Attributes
    ----------
    folder : Path
        Holds a file for each.
    root : Path
        Of the study: wherever it lies, and however that is spelled, a step is the same.
    keys : dict
        By name, what the step that was run was: it, and all that it needed.
    """

    folder: Path
    root: Path
    keys: dict[str, str] = field(default_factory=dict)

    def key_of(self, step: Step) -> str:
        """Give what a step is: its command, and those of the steps it needs, in turn."""
        command = (self._from_root(part) for part in step.command)
        parts = [*command, *(self.keys[name] for name in step.needs)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self, name: str) -> dict[str, Any]:
        """Give the record of a step: ``key``, ``seconds`` once it has ended, ``command``."""
        return read_json(self._file(name)) or {}

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Replace the record of a step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._file(name), record)

    def _from_root(self, part: str) -> str:
        path, root = Path(part).absolute(), self.root.absolute()
        return str(path.relative_to(root)) if path.is_relative_to(root) else part

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def run_steps(
    steps: Iterable[Step], records: StepRecords, *, say: Callable[[str], None] = print
) -> None:
    """Run the steps of a study that have not been run; say each command before.

    Parameters
    ----------
    steps : iterable of Step
        Each after those that it needs.
    records : StepRecords
    say : callable

    Raises
    ------
    ProcessingError
        If a command fails: the same call goes on there.
    """
    for step in steps:
        key = records.key_of(step)
        before = records.read(step.name)
        records.keys[step.name] = key
        if before.get("key") == key and "seconds" in before:
            say(f"# done: {typed(step.command)}")
            continue
        command = step.command
        if before:
            other = before.get("key") != key
            command = (*command, *step.again)
            for path in step.removes if other else ():
                _remove(path)
        say(f"\n$ {typed(command)}")
        records.write(step.name, {"key": key, "command": typed(command)})
        began = time.time()
        run_command(command, output=step.output)
        seconds = time.time() - began
        records.write(step.name, {"key": key, "command": typed(command), "seconds": seconds})


def times_of(steps: Iterable[Step], records: StepRecords, *, folder: Path) -> str:
    """List commands with the time that each took.

    Parameters
    ----------
    steps : iterable of Step
        All of them run.
    records : StepRecords
    folder : Path
        Left out of the commands' paths.

    Returns
    -------
    str
        A line for each, in a block for a page in Markdown.
    """
    lines = []
    for step in steps:
        record = records.read(step.name)
        command = record.get("command", "").replace(f"{folder}/", "")
        lines.append(f"{record.get('seconds', 0.0):7.0f} s  {command}")
    return "```text\n" + "\n".join(lines) + "\n```"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
