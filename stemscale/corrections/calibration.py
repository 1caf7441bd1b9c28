"""The calibration of a FOV, as it lies in the store."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.acquisition import Image, ScanSettings, image_coordinates
from stemscale.distortion import DistortionMap
from stemscale.errors import DamagedDataError
from stemscale.store import AcquisitionStore, calibration_group

_DIMS = ("y", "x")


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Where each pixel of the corrected grid lies on the rapid frames, and how that is known.

    Attributes
    ----------
    distortion : DistortionMap
        The map.
    rapid : ScanSettings
        Scan of the frames that it was estimated on.
    pixel_ratio : float
        Nominal pixel size of the corrected grid over that of the rapid frames.
    method : str
        How it was estimated.
    source : str
        FOVs that it was estimated on.
    """

    distortion: DistortionMap
    rapid: ScanSettings
    pixel_ratio: float
    method: str
    source: str

    def corrected_settings(self, rapid: ScanSettings) -> ScanSettings:
        """Give the scan settings of corrected frames: the grid is that of the slow scan."""
        n_y, n_x = self.distortion.shape
        attrs = rapid.to_attrs()
        if rapid.pixel_size_nm is not None:
            attrs["pixel_size_nm"] = rapid.pixel_size_nm * self.pixel_ratio
        if rapid.frame_interval_s is not None:  # of the scan, not of the grid
            attrs["frame_time_s"] = rapid.frame_interval_s
        return ScanSettings.from_attrs(attrs, (n_y, n_x))


def save_calibration(
    store: AcquisitionStore,
    fov: str,
    calibration: Calibration,
    *,
    dcfi: Image | None,
    shifts: NDArray[np.float64] | None,
    attrs: dict[str, Any],
) -> None:
    """Write the calibration of a FOV, in place of the one it had.

    Parameters
    ----------
    store : AcquisitionStore
    fov : str
    calibration : Calibration
    dcfi : ndarray, shape (y, x), optional
        Average of the frames, corrected; NaN where no frame saw.
    shifts : ndarray, shape (frame, 2), optional
        Drift (dy, dx) of each frame [px of the rapid frame].
    attrs : dict
        Further attributes: parameters, score.
    """
    distortion = calibration.distortion
    settings = calibration.corrected_settings(store.settings(f"{fov}/rapid"))
    variables: dict[str, Any] = {}
    for name, axis in (("source_x", "column"), ("source_y", "row")):
        long_name = f"{axis} of the rapid frame seen at this pixel"
        values = getattr(distortion, name)
        variables[name] = _without_unit_axes(values, {"units": "px", "long_name": long_name})
    if distortion.source_x_std is not None:
        variables["source_x_std"] = _without_unit_axes(
            distortion.source_x_std,
            {"units": "px", "long_name": "standard uncertainty of source_x"},
        )
    if shifts is not None:
        variables.update({str(n): v for n, v in shift_variables(shifts).data_vars.items()})
    if dcfi is not None:
        long_name = "average of the rapid frames (DCFI), corrected"
        variables["dcfi"] = (_DIMS, dcfi, {"units": "counts", "long_name": long_name})
    group = calibration_group(fov)
    about = {
        **attrs,
        "method": calibration.method,
        "estimated_on": calibration.source,
        "rapid_shape": list(distortion.rapid_shape),
        "rapid_settings": calibration.rapid.to_attrs(),
        "pixel_ratio": calibration.pixel_ratio,
        "fingerprint": fingerprint(distortion),
    }
    dataset = xr.Dataset(variables, coords=image_coordinates(settings), attrs=about)
    store.write_dataset(group, dataset, replace=True)


def load_calibration(store: AcquisitionStore, fov: str) -> Calibration | None:
    """Read the calibration of a FOV, or None where it has none."""
    group = calibration_group(fov)
    if not store.has(group):
        return None
    with store.dataset(group) as dataset:
        return read_calibration(dataset)


def load_map(store: AcquisitionStore, fov: str) -> DistortionMap:
    """Read the map of a calibrated FOV alone."""
    with store.dataset(calibration_group(fov)) as dataset:
        return _read_map(dataset)


def read_calibration(dataset: xr.Dataset) -> Calibration:
    """Read a calibration from the variables and attributes of its group."""
    distortion, attrs = _read_map(dataset), dataset.attrs
    return Calibration(
        distortion=distortion,
        rapid=ScanSettings.from_attrs(attrs["rapid_settings"], distortion.rapid_shape),
        pixel_ratio=float(attrs["pixel_ratio"]),
        method=str(attrs["method"]),
        source=str(attrs["estimated_on"]),
    )


def shift_variables(shifts: NDArray[np.float64]) -> xr.Dataset:
    """Give the drift (dy, dx) of each frame, shape (frame, 2), as variables of the store."""
    found: dict[str, Any] = {}
    for i, name in enumerate(("shift_y", "shift_x")):
        long_name = f"drift of the frame along {name[-1]}"
        found[name] = ("frame", shifts[:, i], {"units": "px", "long_name": long_name})
    return xr.Dataset(found)


def load_shifts(store: AcquisitionStore, fov: str) -> NDArray[np.float64] | None:
    """Read the drift (dy, dx) of each frame of a calibrated FOV [px], shape (frame, 2)."""
    if not store.has(f"{calibration_group(fov)}/shift_x"):
        return None
    with store.dataset(calibration_group(fov)) as dataset:
        return np.stack([dataset["shift_y"].values, dataset["shift_x"].values], axis=1)


def fingerprint(distortion: DistortionMap) -> str:
    """Name a map by what is in it (SHA-256)."""
    digest = hashlib.sha256(json.dumps(distortion.rapid_shape).encode())
    for plane in (distortion.source_x, distortion.source_y):
        digest.update(json.dumps(plane.shape).encode())
        digest.update(np.ascontiguousarray(plane, dtype="<f8").tobytes())
    return digest.hexdigest()


def _read_map(dataset: xr.Dataset) -> DistortionMap:
    source_x, source_y = (_plane(dataset, name) for name in ("source_x", "source_y"))
    if source_x is None or source_y is None:  # written together, by save_calibration
        raise DamagedDataError("a calibration has no map: run `stemscale calibrate` again")
    n_y, n_x = dataset.attrs["rapid_shape"]
    return DistortionMap(
        source_x=source_x,
        source_y=source_y,
        source_x_std=_plane(dataset, "source_x_std"),
        rapid_shape=(int(n_y), int(n_x)),
    )


def _without_unit_axes(
    plane: NDArray[np.float64], attrs: dict[str, Any]
) -> tuple[tuple[str, ...], NDArray[np.float64], dict[str, Any]]:
    kept = [i for i in (0, 1) if plane.shape[i] > 1]
    shape = tuple(plane.shape[i] for i in kept)
    return tuple(_DIMS[i] for i in kept), plane.reshape(shape), attrs


def _plane(dataset: xr.Dataset, name: str) -> NDArray[np.float64] | None:
    if name not in dataset:
        return None
    found = dataset[name]
    shape = tuple(found.sizes.get(d, 1) for d in _DIMS)
    return np.asarray(found.values, dtype=np.float64).reshape(shape)
