"""Files that workers need, kept beside the ledgers: never in the graph, never scattered."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion import DistortionMap
from stemscale.store import Ledger, ledger_root


def filter_file(store: Path, sha256: str) -> Path:
    """Where the filter of that content hash lies."""
    return ledger_root(store) / "filters" / f"{sha256}.safetensors"


def keep_filter(store: Path, source: Path, sha256: str) -> None:
    """Put a filter file where workers find it, under its content hash."""
    kept = filter_file(store, sha256)
    if kept.is_file():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_suffix(f".{os.getpid()}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(kept)


def keep_distortion(ledger: Ledger, distortion: DistortionMap | None) -> None:
    """Put the map of a run beside its records."""
    file = ledger.folder / "distortion.npz"
    if distortion is None:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        file,
        source_x=distortion.source_x,
        source_y=distortion.source_y,
        rapid_shape=np.array(distortion.rapid_shape),
    )


def load_distortion(ledger: Ledger) -> DistortionMap | None:
    """Read the map of a run, or None where frames are not corrected."""
    file = ledger.folder / "distortion.npz"
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as found:
        n_y, n_x = (int(n) for n in found["rapid_shape"])
        return DistortionMap(
            source_x=found["source_x"], source_y=found["source_y"], rapid_shape=(n_y, n_x)
        )


def keep_drift(ledger: Ledger, shifts: NDArray[np.float64] | None) -> None:
    """Put the drift (dy, dx) of each frame of a run beside its records, or take it away."""
    file = ledger.folder / "drift.npy"
    if shifts is None:
        file.unlink(missing_ok=True)
        return
    temporary = file.with_name(f"drift.{os.getpid()}.tmp.npy")
    np.save(temporary, shifts)
    temporary.replace(file)


def load_drift(ledger: Ledger) -> NDArray[np.float64] | None:
    """Read the drift of a run, or None where it is not corrected, or not known yet."""
    file = ledger.folder / "drift.npy"
    return np.load(file, allow_pickle=False) if file.is_file() else None


def keep_parameters(ledger: Ledger, parameters: Mapping[str, Any] | None) -> None:
    """Put the parameters found for a run's filter beside its records, or take them away."""
    file = ledger.folder / "filter_parameters.json"
    if parameters is None:
        file.unlink(missing_ok=True)
        return
    temporary = file.with_name(f"filter_parameters.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(parameters), encoding="utf-8")
    temporary.replace(file)


def load_parameters(ledger: Ledger) -> dict[str, Any] | None:
    """Read the parameters of a run's filter, or None where it has none, or not yet."""
    file = ledger.folder / "filter_parameters.json"
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
