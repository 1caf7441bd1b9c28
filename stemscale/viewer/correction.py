"""The map that corrects the rapid frames of a field of view, wherever it is from."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stemscale.errors import StemscaleError
from stemscale.reports.store_view import UNREADABLE, FovView, StoreView
from stemscale.store import AcquisitionStore, filtered_group, rapid_group

if TYPE_CHECKING:
    from stemscale.distortion import DistortionMap, Warp

FloatImage = npt.NDArray[np.float32]
_SHIFTS = ("shift_y", "shift_x")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Where a map is, and the grid that it corrects to.

    Attributes
    ----------
    shape : tuple of int
        (y, x) of corrected frames.
    pixel_ratio : float
        Nominal pixel size of corrected frames over that of rapid ones.
    filter : str or None
        Name of the filter of whose run it is; None: the field of view's own calibration.
    """

    shape: tuple[int, int]
    pixel_ratio: float
    filter: str | None


def find_correction(store: AcquisitionStore, fov: FovView) -> Found | None:
    """Find out how a field of view can be corrected, without reading the map.

    Parameters
    ----------
    store : AcquisitionStore
    fov : FovView

    Returns
    -------
    Found or None
        Its own calibration comes first; a series without one, as in situ, has the map of another
        store, which each run keeps beside its records.
    """
    if fov.calibration is not None:
        line = fov.calibration
        return Found(shape=line.shape, pixel_ratio=line.pixel_ratio, filter=None)
    for found in fov.filters:
        transfer = _attrs(store, filtered_group(fov.name, found.name)).get("distortion_transfer")
        if isinstance(transfer, dict):
            own, theirs = fov.pixel_size_nm, found.pixel_size_nm
            ratio = theirs / own if own and theirs else fov.shape[2] / found.shape[2]
            return Found(shape=found.shape[1:], pixel_ratio=ratio, filter=found.name)
    return None


class Correction:
    """Corrects rapid frames one at a time.

    Parameters
    ----------
    store : AcquisitionStore
    fov : FovView
    found : Found
        Where the map is.
    """

    def __init__(self, store: AcquisitionStore, fov: FovView, found: Found) -> None:
        self._store, self._fov, self._found = store, fov, found
        self._lock = threading.Lock()
        self._map: DistortionMap | None = None
        self._warp: Warp | None = None
        self._shifts: npt.NDArray[np.float64] | None = None

    def __call__(self, image: npt.NDArray[Any], frame: int) -> FloatImage:
        """Correct one frame.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            As recorded.
        frame : int
            Its number, for its drift.

        Returns
        -------
        ndarray of float32, shape (y', x')
            NaN = not seen.

        Raises
        ------
        StemscaleError
            If the map cannot be read.
        """
        with self._lock:
            if self._map is None:
                self._load()
            warp, whole, shifts = self._warp, self._map, self._shifts
        assert warp is not None
        assert whole is not None
        if shifts is not None and frame < len(shifts):
            if not np.isfinite(shifts[frame]).all():  # without a place on the grid
                return np.full(whole.shape, np.nan, dtype=np.float32)
            if shifts[frame].any():
                warp = type(warp)(whole.shifted(*map(float, shifts[frame])))
        with _one_thread():
            corrected: FloatImage = warp(image[None])[0]
        return corrected

    def _load(self) -> None:
        from stemscale.distortion import Warp  # torch takes a second: the first image need not wait

        self._map = self._own() if self._found.filter is None else self._of_run(self._found.filter)
        self._warp = Warp(self._map)

    def _own(self) -> "DistortionMap":
        from stemscale.reports.pixels import read_map

        path = str(self._store.path)
        return read_map(StoreView(path=path, history=(), fovs=(), summary=None), self._fov)

    def _of_run(self, name: str) -> "DistortionMap":
        from stemscale.pipeline.ledger_files import load_distortion

        group = filtered_group(self._fov.name, name)
        with self._store.dataset(group, decode=False) as dataset:
            if all(s in dataset.variables for s in _SHIFTS):
                self._shifts = np.stack([dataset[s].values for s in _SHIFTS], axis=1)
        kept = load_distortion(self._store.ledger(group))
        return self._of_neighbour(group) if kept is None else kept

    def _of_neighbour(self, group: str) -> "DistortionMap":
        """Look for the map in the store it was taken from, where that lies beside this one."""
        from stemscale.pipeline.transfer import carry_over

        transfer = _attrs(self._store, group)["distortion_transfer"]
        other = self._store.path.parent / str(transfer.get("store"))
        with suppress(*UNREADABLE):
            found = carry_over(
                self._store.settings(rapid_group(self._fov.name)),
                str(other),
                what=group,
                force=True,
            )
            if found.to_attrs()["fingerprint"] == transfer.get("fingerprint"):
                return found.calibration.distortion
        raise StemscaleError(
            f"the distortion of {group} is that of {transfer.get('store')}, which does not lie "
            f"beside {self._store.path.name}: put it there"
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work alone: a single frame takes it half a millisecond, to share it takes longer.

    On a machine that is busy, threads that wait for each other took a hundred times as long.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _attrs(store: AcquisitionStore, group: str) -> dict[str, Any]:
    with suppress(StemscaleError):
        return store.attrs(group)
    return {}
