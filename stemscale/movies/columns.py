"""What a group of the store knows of each of its frames, also while it grows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import DamagedDataError, StemscaleError
from stemscale.store import AcquisitionStore


def frame_column(store: AcquisitionStore, group: str, name: str) -> NDArray[np.float64] | None:
    """Read a variable along ``frame``.

    Parameters
    ----------
    store : AcquisitionStore
    group : str
        Path of a group of frames.
    name : str
        Of the variable.

    Returns
    -------
    ndarray of float64, shape (frame,), or None
        None where there is no such variable, or it is no number. Where the group grows, it may be
        shorter or longer than the frames for a moment.

    Raises
    ------
    DamagedDataError
        If it cannot be read.
    """
    if not (store.path / group / name / "zarr.json").is_file():
        return None
    try:
        array = store.array(f"{group}/{name}")
        values: NDArray[Any] = np.asarray(array[:]) if array.ndim == 1 else np.empty((0, 0))
    except StemscaleError:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        raise DamagedDataError(
            f"{store.path}: {name} of {group} cannot be read ({error}): run `stemscale verify` to "
            f"see what is damaged"
        ) from error
    return values.astype(np.float64) if values.ndim == 1 and values.dtype.kind in "iuf" else None
