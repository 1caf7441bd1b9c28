"""Frames are filtered while they are written: nothing is lost, whatever fails."""

import threading
import time

import numpy as np
import pytest
import xarray as xr
from denoising.builders import tiny_filter
from watching import append, mrc_bytes, mrc_header

import stemscale
from stemscale.clusters import connect
from stemscale.denoising import save_filter
from stemscale.errors import FilterError, InputFileError, StoreConflictError
from stemscale.pipeline import Ready
from stemscale.pipeline.engine import run_blocks

pytestmark = pytest.mark.cluster

SHAPE = (24, 32)


@pytest.fixture(scope="module")
def client():
    with connect("local", workers=1) as ready:
        yield ready


def frames(n):
    return np.random.default_rng(0).poisson(900, (n, *SHAPE)).astype("uint16")


@pytest.fixture
def filter_file(tmp_path):
    file = tmp_path / "f.safetensors"
    save_filter(tiny_filter(), file)
    return file


@pytest.fixture
def live(tmp_path, client, filter_file):
    """Run `live` on an MRC file that gets frames once workers are ready."""
    source = tmp_path / "series.mrc"

    def run(write, **asked):
        writer = threading.Thread(target=write, args=(source,))

        def listen(event):
            if isinstance(event, Ready):
                writer.start()

        asked = {"filter": filter_file, "name": "x", "client": client, **asked}
        try:
            return stemscale.live(source, tmp_path / "s.zarr", **asked, listener=listen)
        finally:
            if writer.ident is not None:
                writer.join()

    return run


def paced(n, per_s=60):
    def write(source):
        source.write_bytes(mrc_header(SHAPE, 0))
        for frame in frames(n):
            append(source, frame.tobytes())
            time.sleep(1 / per_s)

    return write


def test_every_frame_is_taken_and_filtered_and_a_second_call_finds_all_there(live, tmp_path):
    done = live(paced(101), until_idle_s=1.5)
    assert (done.taken, done.filtered, done.lost) == (101, 101, 0)
    assert done.followed.latency.frames == 101
    assert 0 < done.followed.latency.median_s <= done.followed.latency.worst_s
    assert stemscale.verify(tmp_path / "s.zarr").damage == []
    with (
        xr.open_zarr(tmp_path / "s.zarr", group=f"{done.fov}/rapid") as rapid,
        xr.open_zarr(tmp_path / "s.zarr", group=f"{done.fov}/filtered/x") as filtered,
    ):
        np.testing.assert_array_equal(rapid.frames, frames(101))
        assert (filtered.frame_status == 1).all()
        assert filtered.attrs["state"] == "complete"
    again = live(lambda source: None, until_idle_s=0.5)
    assert (again.taken, again.followed.frames, again.lost) == (101, 0, 0)


def test_stopped_it_filters_what_has_come(live):
    stop = threading.Event()

    def write(source):
        paced(60)(source)
        stop.set()

    done = live(write, stop=stop)
    assert done.taken >= 16
    assert done.lost == 0


def test_where_no_frame_comes_it_says_so(live):
    done = live(lambda source: None, until_idle_s=0.5)
    assert (done.taken, done.followed) == (0, None)


def test_an_error_of_the_watch_ends_it_once_what_came_is_filtered(live, tmp_path):
    def write(source):
        paced(40)(source)
        time.sleep(1)
        source.write_bytes(mrc_bytes(frames(3)))  # fewer than there were

    with pytest.raises(InputFileError):
        live(write)
    with xr.open_zarr(tmp_path / "s.zarr", group="series/filtered/x") as filtered:
        assert filtered.sizes["frame"] == 40
        assert (filtered.frame_status == 1).all()


def test_an_error_of_the_filtering_ends_the_watch(live, monkeypatch):
    def fails(*args, **kwargs):
        yield from run_blocks(*args, **kwargs) if False else ()
        raise StoreConflictError("taken over")

    monkeypatch.setattr("stemscale.pipeline.follow.run_blocks", fails)
    with pytest.raises(StoreConflictError, match="taken over"):
        live(paced(40))
    assert not [t for t in threading.enumerate() if t.name == "stemscale-watch"]


def test_a_filter_that_is_none_is_refused_before_anything_is_watched(live, tmp_path):
    with pytest.raises(FilterError, match="is unknown"):
        live(paced(1), filter="none-such")
    assert not (tmp_path / "s.zarr").exists()


def test_fractions_of_counts_are_kept_where_asked_for(live, tmp_path):
    live(paced(8), until_idle_s=1.5, filter="dcfi", window=3, dtype="float32")
    with xr.open_zarr(tmp_path / "s.zarr", group="series/filtered/x") as opened:
        assert opened["frames"].dtype == np.float32
        assert (opened["frames"].values % 1 != 0).any()
