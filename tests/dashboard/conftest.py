"""Small stores to be filtered while somebody watches."""

import numpy as np
import pytest
from builders import write_image, write_stack
from pipeline.builders import two_fovs

import stemscale

SIZE = 64


@pytest.fixture
def store(tmp_path):
    """Two FOVs of 11 frames in blocks of 4, with slow scans."""
    return two_fovs(tmp_path)


@pytest.fixture(scope="session")
def long_store(tmp_path_factory):
    """One FOV that takes half a minute to filter."""
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE]
    clean = 20000 - 6000 * np.exp(-(((x - 20 - 0.3 * y) / 3) ** 2))
    clean -= 5000 * np.exp(-(((y - 16 - 0.4 * x) / 3) ** 2))
    rapid = rng.normal(clean, 2500, (1600, SIZE, SIZE)).clip(1, 65535)
    write_stack(folder / "fov01.tif", rapid.astype("uint16"), dwell_time_ns=100, flyback_time_us=25)
    write_image(folder / "slow.tif", clean.astype("uint16"), dwell_time_ns=5000)
    stemscale.ingest(folder / "s.zarr", folder / "fov01.tif", slow=folder / "slow.tif", block=4)
    return folder / "s.zarr"
