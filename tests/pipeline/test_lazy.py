import dask
import numpy as np
import pytest
import xarray as xr
from denoising.builders import tiny_filter

import stemscale
from stemscale.denoising import save_filter
from stemscale.errors import FilterError, SeriesError

pytestmark = pytest.mark.cluster


@pytest.fixture
def filter_file(tmp_path):
    made = tiny_filter()
    save_filter(made, tmp_path / "f.safetensors")
    return tmp_path / "f.safetensors"


@pytest.mark.parametrize(
    ("asked", "chunk"),
    [
        ("file", None),
        ("file", 5),
        ("none", None),
        ("none", 5),
        ("rolling", 4),  # frames are aligned by blocks, which are of 4
        ("fractions", 5),
    ],
)
def test_it_is_what_process_writes(calibrated, client, filter_file, asked, chunk):
    words = {
        "file": {"filter": filter_file},
        "rolling": {"filter": "dcfi", "window": 3},
        "fractions": {"filter": filter_file, "dtype": "float32"},
    }
    words = words.get(asked, {"filter": asked})
    stemscale.process(calibrated, **words, name="x", client=client)
    with xr.open_datatree(calibrated, engine="zarr") as tree:
        fov = tree["fov01"] if chunk is None else tree["fov01"].chunk({"frame": chunk})
        lazy = stemscale.denoise(fov, **words)
        written = tree["fov01/filtered/x"].to_dataset()
        assert dask.is_dask_collection(lazy["frames"])
        np.testing.assert_array_equal(lazy["frames"], written["frames"])
        fractions = lazy["frames"].values % 1
        assert (fractions[np.isfinite(fractions)] > 0).any() == (asked == "fractions")
        for name in ("time", "x", "y"):
            xr.testing.assert_equal(lazy[name], written[name])
        one = lazy["frames"][7].compute(scheduler="synchronous")
        np.testing.assert_array_equal(one, written["frames"][7])


def test_frames_without_a_calibration_stay_on_their_grid(store, filter_file):
    with xr.open_zarr(store, group="fov01/rapid") as rapid:
        assert stemscale.denoise(rapid, filter_file)["frames"].shape == rapid["frames"].shape
        np.testing.assert_array_equal(stemscale.denoise(rapid, "none")["frames"], rapid["frames"])


def test_it_runs_on_worker_processes(calibrated, client, filter_file):
    with xr.open_datatree(calibrated, engine="zarr", chunks={}) as tree:
        frames = stemscale.denoise(tree["fov01"], filter_file)["frames"]
        there = client.compute(frames).result()
        np.testing.assert_array_equal(there, frames.compute(scheduler="synchronous"))


@pytest.mark.parametrize(("word", "message"), [("dcfi", "or give a window"), ("nlm", "process")])
def test_filters_that_look_at_the_whole_series_first_are_refused(calibrated, word, message):
    tree = xr.open_datatree(calibrated, engine="zarr")
    with tree, pytest.raises(FilterError, match=message):
        stemscale.denoise(tree["fov01"], word)


def test_what_holds_no_frames_is_refused(calibrated, filter_file):
    tree = xr.open_datatree(calibrated, engine="zarr")
    with tree, pytest.raises(SeriesError, match="give a FOV of an opened store"):
        stemscale.denoise(tree, filter_file)
