"""What a run corrects frames with, kept beside its records: for workers, and for a later look."""

import numpy as np
from numpy.typing import NDArray

from stemscale.distortion import DistortionMap
from stemscale.store import Ledger, read_arrays, write_arrays


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
