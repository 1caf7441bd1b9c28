"""One real cluster of worker processes for all tests of this room, and small calibrated stores."""

import numpy as np
import pytest
import xarray as xr
from pipeline.builders import known_map, two_fovs

from stemscale.clusters import connect
from stemscale.corrections import Calibration, save_calibration
from stemscale.store import AcquisitionStore


@pytest.fixture(scope="session")
def client():
    with connect("local", workers=2) as ready:
        yield ready


@pytest.fixture
def store(tmp_path):
    """Two FOVs of 11 frames in blocks of 4, with slow scans, not calibrated."""
    return two_fovs(tmp_path)


@pytest.fixture
def calibrated(store):
    """The same with a calibration known by hand."""
    opened = AcquisitionStore(store)
    for fov in opened.fovs():
        calibration = Calibration(
            distortion=known_map(),
            rapid=opened.settings(f"{fov}/rapid"),
            pixel_ratio=1.0,
            method="by hand",
            source=fov,
        )
        save_calibration(opened, fov, calibration, dcfi=None, shifts=np.zeros((11, 2)), attrs={})
    opened.consolidate()
    return store


@pytest.fixture
def frames_of():
    def read(store, group):
        with xr.open_zarr(store, group=group, mask_and_scale=False) as opened:
            return opened["frames"].values

    return read
