"""`process` with drift undone: all frames of a series on one grid."""

import numpy as np
import pytest
import xarray as xr
from builders import write_image, write_stack
from distortion.builders import make_series

import stemscale
from stemscale.corrections import Calibration, save_calibration
from stemscale.distortion import DistortionMap, Warp, integrate_frames
from stemscale.errors import SettingsError, StoreConflictError
from stemscale.pipeline import FramesAligned
from stemscale.store import AcquisitionStore

pytestmark = pytest.mark.cluster

N, COUNT = 96, 10
DRIFT = np.arange(COUNT)[:, None] * [[0.5, -1.25]]
SERIES = make_series(4, N, DRIFT, dose=400.0).astype(np.uint16)
MAP = DistortionMap(
    source_x=(0.9 * np.arange(N) + 3.0)[None],
    source_y=(np.arange(N) + 0.5)[:, None],
    rapid_shape=(N, N),
)


def ingested(tmp_path, frames=SERIES, **options):
    file = write_stack(tmp_path / "in.tif", frames, dwell_time_ns=100, flyback_time_us=25)
    stemscale.ingest(tmp_path / "s.zarr", file, fov="insitu", block=4, **options)
    return tmp_path / "s.zarr"


def calibrated(path, shifts):
    store = AcquisitionStore(path)
    calibration = Calibration(
        distortion=MAP,
        rapid=store.settings("insitu/rapid"),
        pixel_ratio=1.0,
        method="by hand",
        source="insitu",
    )
    save_calibration(store, "insitu", calibration, dcfi=None, shifts=shifts, attrs={})
    store.consolidate()


def test_without_a_calibration_frames_come_onto_the_grid_of_the_first_ones(tmp_path, client):
    path = ingested(tmp_path)
    done = stemscale.process(path, filter="none", drift=True, client=client)
    assert (done.frames, done.state) == (COUNT, "complete")
    shifts = integrate_frames([SERIES]).shifts
    with xr.open_zarr(path, group="insitu/filtered/none") as found:
        np.testing.assert_allclose(found["shift_y"], shifts[:, 0])
        np.testing.assert_allclose(found["shift_x"], shifts[:, 1])
        assert found["shift_x"].attrs["units"] == "px"
        assert found.attrs["distortion"].endswith("drift")
        frames = found["frames"].values
        missing = np.isnan(frames).sum(axis=(1, 2))
        assert found.attrs["masked_pixels"] == missing.sum()
    # the frames of the middle are hardly moved; the outer ones lose what moved out of view
    assert missing[0] >= 5 * N
    assert missing[4] < missing[0]
    inner = np.s_[:, 8:-8, 30:-10]  # the smear starts anew at the left border of every frame
    assert frames[inner].std(axis=0).mean() < 0.35 * SERIES[inner].std(axis=0).mean()
    np.testing.assert_allclose(np.diff(shifts, axis=0).mean(axis=0), [0.5, -1.25], atol=0.03)


def test_drift_and_distortion_are_undone_in_one_interpolation(tmp_path, client, frames_of):
    path = ingested(tmp_path)
    calibrated(path, DRIFT)
    events = []
    asked = {"filter": "none", "drift": True, "client": client, "listener": events.append}
    stemscale.process(path, **asked)
    assert not any(isinstance(e, FramesAligned) for e in events)  # known already
    stored = frames_of(path, "insitu/filtered/none")
    for frame, shift, found in zip(SERIES, DRIFT, stored, strict=True):
        once = Warp(MAP.shifted(*shift))(frame[None])[0]
        np.testing.assert_array_equal(found == 0, np.isnan(once))
        seen = found > 0
        np.testing.assert_allclose(found[seen], np.rint(once[seen]), atol=1)


def test_a_run_cut_short_goes_on_with_the_drift_that_it_found(tmp_path, client, frames_of):
    path = ingested(tmp_path)
    stemscale.process(path, filter="none", drift=True, client=client)
    before = frames_of(path, "insitu/filtered/none")
    AcquisitionStore(path).frames("insitu/filtered/none").shard(0).unlink()
    events = []
    again = stemscale.process(
        path, filter="none", drift=True, client=client, listener=events.append
    )
    assert 0 < again.frames < COUNT
    assert not any(isinstance(e, FramesAligned) for e in events)
    np.testing.assert_array_equal(frames_of(path, "insitu/filtered/none"), before)
    assert not stemscale.verify(path).damage


def test_drift_is_part_of_what_tells_one_run_from_another(tmp_path, client):
    path = ingested(tmp_path)
    stemscale.process(path, filter="none", client=client)
    with pytest.raises(StoreConflictError, match="made with another"):
        stemscale.process(path, filter="none", drift=True, client=client)
    stemscale.process(path, filter="none", drift=True, name="still", client=client)
    calibrated(path, DRIFT)
    with pytest.raises(StoreConflictError, match=r"another .*drift"):
        stemscale.process(
            path, filter="none", drift=True, name="still", distortion="none", client=client
        )


def test_a_frame_without_known_drift_is_missing_and_not_put_anywhere(tmp_path, client):
    frames = SERIES.copy()
    frames[3] = 700
    path = ingested(tmp_path, frames)
    stemscale.process(path, filter="none", drift=True, client=client)
    with xr.open_zarr(path, group="insitu/filtered/none") as found:
        lost = np.isnan(found["frames"].values).all(axis=(1, 2))
        assert np.flatnonzero(lost).tolist() == [3]
        assert np.isnan(found["shift_x"].values[3])
        assert (found["frame_status"] == 1).all()


def test_a_slow_scan_taken_after_the_series_sets_the_grid(tmp_path, client):
    slow = write_image(tmp_path / "slow.tif", SERIES[-1], dwell_time_ns=5000)
    path = ingested(tmp_path, np.concatenate([SERIES, SERIES[-1:].repeat(20, axis=0)]), slow=slow)
    AcquisitionStore(path).set_attrs("insitu/slow", {"relation": "after"})
    stemscale.process(path, filter="none", drift=True, client=client)
    with xr.open_zarr(path, group="insitu/filtered/none") as found:
        assert abs(found["shift_x"].values[-10:]).max() < 0.1
        assert found["shift_x"].values[0] == pytest.approx(1.25 * 9, abs=0.2)


def test_a_rolling_average_is_brought_onto_the_grid_too(tmp_path, client):
    path = ingested(tmp_path)
    asked = {"filter": "dcfi", "window": 3, "client": client}
    stemscale.process(path, **asked, drift=True, name="still")
    stemscale.process(path, **asked, name="moving")
    still, moving = (
        xr.open_zarr(path, group=f"insitu/filtered/{name}")["frames"].values
        for name in ("still", "moving")
    )
    inner = np.s_[:, 8:-8, 30:-10]
    assert still[inner].std(axis=0).mean() < 0.5 * moving[inner].std(axis=0).mean()


def test_an_average_of_all_frames_has_no_drift_to_undo(tmp_path):
    with pytest.raises(SettingsError, match="--drift is for series"):
        stemscale.process(ingested(tmp_path), filter="dcfi", drift=True)


def test_weights_are_for_averages_only_and_part_of_the_run(tmp_path, client, frames_of):
    path = ingested(tmp_path)
    with pytest.raises(SettingsError, match="--weighted is for averages"):
        stemscale.process(path, filter="none", weighted=True)
    for asked in ({}, {"window": 3}):
        stemscale.process(path, filter="dcfi", **asked, overwrite=True, client=client)
        plain = frames_of(path, "insitu/filtered/dcfi")
        with pytest.raises(StoreConflictError, match="another filter"):
            stemscale.process(path, filter="dcfi", **asked, weighted=True, client=client)
        stemscale.process(
            path, filter="dcfi", **asked, weighted=True, overwrite=True, client=client
        )
        assert (frames_of(path, "insitu/filtered/dcfi") != plain).any()
