"""One real cluster of worker processes for all tests of this room, and small calibrated stores."""

import numpy as np
import pytest
import xarray as xr
from builders import write_image, write_stack
from pipeline.builders import BLOCK, known_map, scene

import stemscale
from stemscale.clusters import connect
from stemscale.pipeline.calibration import Calibration, save_calibration
from stemscale.store import AcquisitionStore


@pytest.fixture(scope="session")
def client():
    with connect("local", workers=2) as ready:
        yield ready


@pytest.fixture
def store(tmp_path):
    """Two FOVs of 11 frames in blocks of 4, with slow scans, not calibrated."""
    for fov in ("fov01", "fov02"):
        rapid, slow = scene(seed=int(fov[-1]))
        write_stack(tmp_path / f"{fov}.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
        write_image(tmp_path / f"{fov}_slow.tif", slow, dwell_time_ns=5000)
        stemscale.ingest(
            tmp_path / "s.zarr",
            tmp_path / f"{fov}.tif",
            slow=tmp_path / f"{fov}_slow.tif",
            block=BLOCK,
        )
    return tmp_path / "s.zarr"


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
