"""What others make of a store: OME-Zarr readers, and xarray with nothing of ours installed."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from builders import ramp_frames, write_image, write_stack
from velox_files import write_velox
from yaozarrs import validate_zarr_store

import stemscale


@pytest.fixture
def store(tmp_path):
    """With and without pixel size and interval, a slow scan, and filtered frames."""
    frames = ramp_frames(5)
    rapid = write_stack(tmp_path / "a.tif", frames, dwell_time_ns=100)
    slow = write_image(tmp_path / "a_slow.tif", frames[0], dwell_time_ns=5000)
    stemscale.ingest(tmp_path / "s.zarr", rapid, slow=slow, fov="full")
    np.save(tmp_path / "b.npy", frames)
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "b.npy", fov="bare")
    velox = write_velox(tmp_path / "c.emd", {"HAADF": frames})
    stemscale.ingest(tmp_path / "s.zarr", velox, fov="velox")
    stemscale.process(tmp_path / "s.zarr", filter="none", fovs=["full"])
    return tmp_path / "s.zarr"


@pytest.mark.cluster
def test_every_group_of_pixels_is_a_valid_ome_zarr_image(store):
    groups = ["full/rapid", "full/slow", "full/filtered/none", "bare/rapid", "velox/rapid"]
    for group in groups:
        found = validate_zarr_store(str(store / group))
        (image,) = found.ome_metadata().multiscales
        assert [a.name for a in image.axes][-2:] == ["y", "x"]


PLAIN = """
import sys, warnings
warnings.simplefilter("error")
import xarray as xr
tree = xr.open_datatree(sys.argv[1], engine="zarr")
series = tree["velox/rapid"]
assert series["frames"].dims == ("frame", "y", "x")
assert series["frames"].attrs["units"] == "counts"
assert series["x"].attrs["units"] == "nm"
assert series["time"].attrs["units"] == "s"
assert str(series["timestamp"].dtype) == "datetime64[ns]"
assert int(series["frames"].sum()) > 0
assert not [m for m in sys.modules if m.startswith("stemscale")]
"""


@pytest.mark.cluster
def test_plain_xarray_opens_a_store_whole_without_a_warning(store, tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(textwrap.dedent(PLAIN))
    done = subprocess.run(
        [sys.executable, str(script), str(store)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
