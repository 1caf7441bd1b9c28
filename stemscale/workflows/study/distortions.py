"""How far estimated distortions lie from the true ones of a simulation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.corrections import map_of
from stemscale.store import AcquisitionStore

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """A map against the true one (rows C4 to C7).

    Attributes
    ----------
    what : str
        Where it is from.
    fov : str
        The FOV it corrects.
    before_px, after_px : float
        Root mean square distance of a pixel from where it belongs along the fast axis, before the
        correction and after it [px], the best constant shift of the view taken out.
    """

    what: str
    fov: str
    before_px: float
    after_px: float


def departure(store: Path, truth: Path, fov: str, *, what: str) -> Departure | None:
    """Compare the map of a FOV with the truth.

    Parameters
    ----------
    store : Path
        With a calibration of the FOV.
    truth : Path
        ``truth.zarr`` of the simulation.
    fov : str
    what : str
        Where the map is from, for the table.

    Returns
    -------
    Departure or None
        None where the FOV is not calibrated.
    """
    found = map_of(AcquisitionStore(store), fov)
    if found is None:
        return None
    with xr.open_zarr(truth, group=fov, chunks=None) as dataset:
        true = np.atleast_2d(np.asarray(dataset["source_x"].values, dtype=np.float64))
    ours = np.broadcast_to(found.source_x, found.shape)
    wanted = np.broadcast_to(true, found.shape)
    inside = (wanted >= 0) & (wanted <= found.rapid_shape[1] - 1)
    nominal = np.broadcast_to(np.arange(found.shape[1], dtype=np.float64), found.shape)
    return Departure(
        what=what,
        fov=fov,
        before_px=_spread((nominal - wanted)[inside]),
        after_px=_spread((ours - wanted)[inside]),
    )


def _spread(differences: FloatArray) -> float:
    return float(differences.std())
