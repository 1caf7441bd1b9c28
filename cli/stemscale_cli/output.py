"""What a verb prints: results on stdout, talk on stderr."""

import dataclasses
import json
import math
import sys
from typing import Any

import typer


def talk(text: str) -> None:
    """Say something on stderr, as one line without control characters."""
    typer.echo(plain(text), err=True)


def plain(text: str) -> str:
    """Make text safe to print: file names and metadata may hold anything."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def print_json(result: Any) -> None:
    """Print one JSON object on stdout; numbers that JSON does not have become null."""
    json.dump(_jsonable(result), sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _jsonable({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if hasattr(value, "is_file"):  # a path, or that of an object
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def count(number: int, thing: str) -> str:
    """Write how many there are, in English."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def size(n_bytes: float) -> str:
    """Write a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}" if unit != "B" else f"{n_bytes:.0f} B"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
