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


def fields_of(found: Any) -> dict[str, Any]:
    """Give what a dataclass holds, by name."""
    return {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _jsonable(fields_of(value))
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


def duration(seconds: float) -> str:
    """Write how long work took: 42 s, 12.1 min, 3.0 h."""
    for unit, scale in (("h", 3600), ("min", 60)):
        if seconds >= scale:
            return f"{seconds / scale:.1f} {unit}"
    return f"{seconds:.3g} s"


def interval(seconds: float) -> str:
    """Write a time of the scan: 100 ns, 5 µs, 26.2 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale * (1 - 1e-9):  # 5000 ns times 1e-9 is a little less than 5 µs
            return f"{seconds / scale:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"


def size(n_bytes: float) -> str:
    """Write a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}" if unit != "B" else f"{n_bytes:.0f} B"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
