"""What is true of a simulated acquisition, in a Zarr v3 store that plain xarray opens."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import ZarrUserWarning


class TruthFile:
    """The store of what is true: one group per FOV.

    Parameters
    ----------
    path : Path
        Made anew.
    attrs : mapping
        Of the root: settings and seeds.
    """

    def __init__(self, path: Path, attrs: Mapping[str, Any]) -> None:
        self._path = path
        self._root = zarr.create_group(path, zarr_format=3, attributes=dict(attrs))

    def add_fov(self, name: str, shape: tuple[int, int], pixel_size_nm: float) -> "TruthOfFov":
        """Start the group of one FOV, with its coordinates x and y."""
        group = TruthOfFov(self._root.create_group(name))
        for axis, n in zip("yx", shape, strict=True):
            group.write(axis, (axis,), np.arange(n) * pixel_size_nm, "nm", f"position along {axis}")
        return group

    def close(self) -> None:
        """Put all metadata into one place: quicker to open, and xarray does not warn."""
        with warnings.catch_warnings():
            # Said of every v3 store, though zarr and xarray both read it.
            warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
            zarr.consolidate_metadata(self._path)


class TruthOfFov:
    """The truth of one FOV: arrays with units."""

    def __init__(self, group: zarr.Group) -> None:
        self._group = group

    def write(
        self, name: str, dims: tuple[str, ...], values: NDArray[Any], units: str, long_name: str
    ) -> None:
        """Write a whole array."""
        array = self._create(name, dims, values.shape, values.dtype, units, long_name)
        array[...] = values

    def create_frames(self, n_frames: int, shape: tuple[int, int]) -> zarr.Array[Any]:
        """Make ``frames(frame, y, x)``, to be filled frame by frame; one frame is one chunk."""
        return self._create(
            "frames",
            ("frame", "y", "x"),
            (n_frames, *shape),
            np.dtype(np.uint16),  # rounding is far below the noise of any frame
            "counts",
            "noise-free scene at the middle of each frame, on the grid of the slow scan",
        )

    def _create(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        units: str,
        long_name: str,
    ) -> zarr.Array[Any]:
        return self._group.create_array(
            name,
            shape=shape,
            chunks=(1, *shape[1:]) if len(shape) == 3 else shape,
            dtype=dtype,
            dimension_names=dims,
            attributes={"units": units, "long_name": long_name},
        )
