"""How far estimated distortions lie from the true ones of a simulation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.corrections import map_of
from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore
from stemscale.workflows.study.plan import IDEAL, MULTI, Study

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """Maps against the true ones (rows C4 to C7).

    Attributes
    ----------
    what : str
        Where they are from, and what they correct.
    n_fovs : int
    before_px, after_px : float
        Root mean square distance of a pixel from where it belongs along the fast axis, before the
        correction and after it [px], the best constant shift of the view taken out; mean over
        FOVs.
    worst_px : float
        After the correction, of the worst FOV [px].
    """

    what: str
    n_fovs: int
    before_px: float
    after_px: float
    worst_px: float


def departures(study: Study) -> dict[str, Departure]:
    """Compare the maps that a study corrected its frames with, with the truth.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict
        ``joint``: from all FOVs of the multi-FOV set at once, on that set; ``strips``: the
        paper's way, on its one ideal FOV; ``transferred``: the joint one, on the heating series.

    Raises
    ------
    StoreError
        If a set has no map.
    """
    return {
        "joint": _departure(study, [MULTI], "smooth map, from all fields of view at once"),
        "strips": _departure(study, [IDEAL], "strips, as in the paper, from one field of view"),
        "transferred": _departure(study, study.heating, "the smooth map, on the heating series"),
    }


def _departure(study: Study, names: Sequence[str], what: str) -> Departure:
    found = [
        _distances(study, name, fov)
        for name in names
        for fov in AcquisitionStore(study.store(name)).fovs()
    ]
    before, after = np.transpose(found)
    return Departure(
        what=what,
        n_fovs=len(found),
        before_px=float(before.mean()),
        after_px=float(after.mean()),
        worst_px=float(after.max()),
    )


def _distances(study: Study, name: str, fov: str) -> tuple[float, float]:
    found = map_of(AcquisitionStore(study.store(name)), fov)
    if found is None:
        raise StoreError(f"{study.store(name)}: {fov} has no distortion: run the study again")
    with xr.open_zarr(study.raw(name) / "truth.zarr", group=fov, chunks=None) as dataset:
        true = np.atleast_2d(np.asarray(dataset["source_x"].values, dtype=np.float64))
    ours = np.broadcast_to(found.source_x, found.shape)
    wanted = np.broadcast_to(true, found.shape)
    inside = (wanted >= 0) & (wanted <= found.rapid_shape[1] - 1)
    nominal = np.broadcast_to(np.arange(found.shape[1], dtype=np.float64), found.shape)
    return _spread((nominal - wanted)[inside]), _spread((ours - wanted)[inside])


def _spread(differences: FloatArray) -> float:
    return float(differences.std())
