"""Files that workers need, kept beside the ledgers: never in the graph, never scattered."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion import DistortionMap
from stemscale.store import (
    Ledger,
    StorePath,
    ledger_root,
    read_arrays,
    read_json,
    write_arrays,
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


def keep_distortion(ledger: Ledger, distortion: DistortionMap | None) -> None:
    """Put the map of a run beside its records."""
    file = ledger.distortion_file
    if distortion is None:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "source_x": distortion.source_x,
        "source_y": distortion.source_y,
        "rapid_shape": np.array(distortion.rapid_shape),
    }
    write_arrays(file, arrays)


def load_distortion(ledger: Ledger) -> DistortionMap | None:
    """Read the map of a run, or None where frames are not corrected."""
    found = read_arrays(ledger.distortion_file)
    if found is None:
        return None
    n_y, n_x = (int(n) for n in found["rapid_shape"])
    return DistortionMap(
        source_x=found["source_x"], source_y=found["source_y"], rapid_shape=(n_y, n_x)
    )


def keep_drift(ledger: Ledger, shifts: NDArray[np.float64] | None) -> None:
    """Put the drift (dy, dx) of each frame of a run beside its records, or take it away."""
    file = ledger.folder / "drift.npz"
    if shifts is None:
        file.unlink(missing_ok=True)
    else:
        write_arrays(file, {"shifts": shifts})


def load_drift(ledger: Ledger) -> NDArray[np.float64] | None:
    """Read the drift of a run, or None where it is not corrected, or not known yet."""
    found = read_arrays(ledger.folder / "drift.npz")
    return None if found is None else found["shifts"]


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
