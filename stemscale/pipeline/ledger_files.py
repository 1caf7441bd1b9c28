"""Files that workers need, kept beside the ledgers: never in the graph, never scattered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemscale.store import (
    Ledger,
    StorePath,
    ledger_root,
    read_json,
    write_bytes,
    write_json,
)


def filter_file(store: StorePath, sha256: str) -> StorePath:
    """Where the filter of that content hash lies."""
    return ledger_root(store) / "filters" / f"{sha256}.safetensors"


def keep_filter(store: StorePath, source: Path, sha256: str) -> None:
    """Put a filter file where workers find it, under its content hash."""
    kept = filter_file(store, sha256)
    if kept.is_file():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(kept, source.read_bytes())


def keep_parameters(ledger: Ledger, parameters: Mapping[str, Any] | None) -> None:
    """Put the parameters found for a run's filter beside its records, or take them away."""
    file = ledger.folder / "filter_parameters.json"
    if parameters is None:
        file.unlink(missing_ok=True)
    else:
        write_json(file, parameters)


def load_parameters(ledger: Ledger) -> dict[str, Any] | None:
    """Read the parameters of a run's filter, or None where it has none, or not yet."""
    return read_json(ledger.folder / "filter_parameters.json")
