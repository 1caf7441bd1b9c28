import sys
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from builders import write_image, write_stack
from distortion.builders import make_series
from hypothesis import given
from hypothesis import strategies as st
from pipeline.builders import BLOCK, N_FRAMES, scene

import stemscale
from stemscale.errors import StoreError
from stemscale.pipeline import BlockDone
from stemscale.pipeline.summarize import _probes
from stemscale.quality import (
    agreement_cutoff,
    horizontal_profile,
    lag_tail,
    psnr_by_band,
    psnr_matched,
    psnr_paper,
    unsupervised_mse,
)
from stemscale.quality.measures import MEASURES, Measure
from stemscale.reports import score_table
from stemscale.store import AcquisitionStore

pytestmark = pytest.mark.cluster


def frames_in(store, group):
    """As xarray shows them: NaN = not seen."""
    with xr.open_zarr(store, group=group) as opened:
        return opened["frames"].values.astype(np.float64)


def scores_in(store, fov, name):
    with xr.open_zarr(store, group=f"summary/{fov}/{name}") as opened:
        return opened.load()


def slow_in(store, fov):
    with xr.open_zarr(store, group=f"{fov}/slow") as opened:
        return opened["image"].values.astype(np.float64)


@pytest.fixture
def filtered(calibrated, client):
    """Corrected frames alone, and a Gaussian of them."""
    for name in ("none", "gaussian"):
        stemscale.process(calibrated, filter=name, client=client)
    return calibrated


def test_each_frame_is_scored_as_the_functions_of_quality_score_it(filtered):
    """Rows Q1, Q3, Q5, Q6."""
    stemscale.summarize(filtered)
    for fov, name in (("fov01", "gaussian"), ("fov02", "none")):
        found, slow = scores_in(filtered, fov, name), slow_in(filtered, fov)
        frames = frames_in(filtered, f"{fov}/filtered/{name}")
        assert len(frames) == N_FRAMES
        for i, frame in enumerate(frames):
            tail = lag_tail(frame, slow)
            expected = {
                "psnr": psnr_paper(frame, slow),
                "psnr_band": psnr_by_band(frame, slow),
                "psnr_matched": psnr_matched(frame, slow),
                "lag_tail": tail.weight,
                "lag_delay": tail.delay_px,
            }
            for score, value in expected.items():
                assert found[score][i].values == pytest.approx(value, rel=2e-3, abs=2e-3), score


def test_the_cut_off_is_that_of_the_profiles_on_one_scale(filtered):
    """Row Q5."""
    stemscale.summarize(filtered)
    slow, frames = slow_in(filtered, "fov01"), frames_in(filtered, "fov01/filtered/gaussian")
    seen = np.isfinite(frames[0])
    shown = np.where(seen, slow, np.nan)
    wave_number, expected = horizontal_profile(shown, pixel_size_nm=2.0)
    gain = slow[seen].var() / np.cov(frames[0][seen], slow[seen], bias=True)[0, 1]
    on_scale = gain * (frames[0] - frames[0][seen].mean()) + slow[seen].mean()
    _, profile = horizontal_profile(on_scale, pixel_size_nm=2.0)
    found = scores_in(filtered, "fov01", "gaussian")["agreement_cutoff"]
    assert float(found[0]) == pytest.approx(agreement_cutoff(profile, expected, wave_number))
    assert found.attrs["units"] == "1/um"


def test_rapid_frames_are_scored_as_the_calibration_corrects_them(filtered):
    stemscale.summarize(filtered)
    rapid, none = (scores_in(filtered, "fov01", name) for name in ("rapid", "none"))
    for score in ("psnr", "psnr_matched", "lag_tail"):
        assert rapid[score].values == pytest.approx(none[score].values, rel=1e-3), score


def add_truth(store, path):
    """Take the slow scans for the truth."""
    for fov in ("fov01", "fov02"):
        image = xr.Dataset({"image": (("y", "x"), slow_in(store, fov))})
        image.to_zarr(path, group=fov, mode="a", consolidated=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata")
        zarr.consolidate_metadata(path)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_scores_do_not_hang_on_where_a_series_is_cut(
    calibrated, client, tmp_path, monkeypatch, size
):
    """Eleven frames are one stretch; cut, each frame keeps its own scores and neighbours."""
    add_truth(calibrated, tmp_path / "truth.zarr")
    stemscale.summarize(calibrated, truth=tmp_path / "truth.zarr")  # nothing filtered: all anew
    whole = {"rapid": scores_in(calibrated, "fov01", "rapid")}
    monkeypatch.setattr(
        sys.modules["stemscale.pipeline.summarize"], "frames_per_block", lambda *_: size
    )
    stemscale.summarize(calibrated, truth=tmp_path / "truth.zarr")
    for score in ("psnr", "psnr_band", "psnr_matched", "psnr_truth", "lag_tail", "lag_tail_truth"):
        found = scores_in(calibrated, "fov01", "rapid")[score].values
        assert found == pytest.approx(whole["rapid"][score].values, rel=1e-4), score


def test_neighbours_are_the_same_wherever_a_series_is_cut(filtered, monkeypatch):
    stemscale.summarize(filtered)
    whole = scores_in(filtered, "fov01", "gaussian")["upsnr"].values
    monkeypatch.setattr(
        sys.modules["stemscale.pipeline.summarize"], "frames_per_block", lambda *_: 4
    )
    stemscale.summarize(filtered)
    cut = scores_in(filtered, "fov01", "gaussian")["upsnr"].values
    assert np.isfinite(cut).all()
    # the peak is told by fewer frames: it shifts all by the same
    assert cut - cut[0] == pytest.approx(whole - whole[0], abs=0.01)


def test_a_frame_is_held_against_neighbours_that_its_filter_did_not_see(calibrated, client):
    """Of a filter over 5 frames, those 3 away are the next that it did not see."""
    stemscale.process(calibrated, filter="none", client=client)
    stemscale.process(calibrated, filter="dcfi", window=5, name="five", client=client)
    stemscale.summarize(calibrated)
    rapid = frames_in(calibrated, "fov01/filtered/none")
    frames = frames_in(calibrated, "fov01/filtered/five")
    found = scores_in(calibrated, "fov01", "five")["upsnr"].values
    errors = {
        5: unsupervised_mse(frames[5], rapid[2], rapid[8]),
        0: unsupervised_mse(frames[0], rapid[3], rapid[4]),
        10: unsupervised_mse(frames[10], rapid[6], rapid[7]),
    }
    # the peak is one for the series: differences of dB are ratios of errors
    for i, j in ((5, 0), (5, 10)):
        expected = 10 * np.log10(errors[j] / errors[i])
        assert found[i] - found[j] == pytest.approx(expected, abs=0.05)


def test_means_are_over_all_frames_of_a_fov(filtered):
    """Row Q2."""
    summary = stemscale.summarize(filtered)
    assert summary.attrs["filter_names"] == ["rapid", "gaussian", "none"]
    for j, name in enumerate(summary.attrs["filter_names"]):
        psnr = scores_in(filtered, "fov02", name)["psnr"].values
        assert float(summary["psnr_mean"][1, j]) == pytest.approx(psnr.mean())
        assert float(summary["psnr_std"][1, j]) == pytest.approx(psnr.std())
        assert int(summary["n_frames"][1, j]) == N_FRAMES
    assert float(summary["psnr_last"][1, 1]) == pytest.approx(
        scores_in(filtered, "fov02", "gaussian")["psnr"].values[-1]
    )


def test_worker_processes_find_what_threads_find(filtered, client):
    here = stemscale.summarize(filtered).drop_attrs()
    there = stemscale.summarize(filtered, client=client).drop_attrs()
    xr.testing.assert_allclose(here, there, rtol=1e-4)


def test_workers_in_another_folder_find_store_and_truth(calibrated, client, monkeypatch):
    monkeypatch.chdir(calibrated.parent)  # the workers stay where they were started
    add_truth(calibrated, calibrated.parent / "truth.zarr")
    summary = stemscale.summarize(calibrated.name, truth="truth.zarr", client=client)
    assert summary.attrs["problems"] == []
    assert np.isfinite(scores_in(calibrated, "fov01", "rapid")["psnr_truth"].values).all()


def test_psnr_that_process_did_not_keep_is_worked_out(filtered):
    expected = stemscale.summarize(filtered)
    store = AcquisitionStore(filtered)
    for name in ("none", "gaussian"):
        store.set_attrs(f"fov01/filtered/{name}", {"state": "partial"})  # not to be trusted
    found = stemscale.summarize(filtered)
    # `process` scored rapid frames before they were rounded to integers
    xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs(), rtol=2e-3)


def test_an_average_of_all_frames_is_scored_beside_the_series(calibrated, client):
    """Row D3."""
    stemscale.process(calibrated, filter="dcfi", client=client)
    stemscale.summarize(calibrated)
    found = scores_in(calibrated, "fov01", "dcfi")
    assert found.sizes["frame"] == 1
    frame = frames_in(calibrated, "fov01/filtered/dcfi")[0]
    expected = psnr_matched(frame, slow_in(calibrated, "fov01"))
    assert float(found["psnr_matched"][0]) == pytest.approx(expected, rel=1e-3)
    assert "upsnr" not in found


def test_time_and_temperature_stand_beside_the_scores(tmp_path, client):
    rapid, slow = scene(seed=1, n=16)
    files = [
        write_stack(tmp_path / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25),
        write_image(tmp_path / "slow.tif", slow, dwell_time_ns=5000),
    ]
    table = tmp_path / "frames.csv"
    rows = [f"{i},{0.5 * i},{90 + i}" for i in range(16)]
    table.write_text("\n".join(["frame,time_s,temperature_degC", *rows]))
    store = tmp_path / "s.zarr"
    stemscale.ingest(
        store, files[0], slow=files[1], slow_is="after", frame_metadata=table, block=BLOCK
    )
    stemscale.process(store, filter="gaussian", client=client)
    summary = stemscale.summarize(store)
    found = scores_in(store, "fov01", "gaussian")
    assert found["time"].values[:3].tolist() == [0, 0.5, 1]
    assert found["temperature"].values[-1] == 105
    assert found["temperature"].attrs["units"] == "degC"
    assert "after the series" in found["psnr"].attrs["long_name"]
    # row Q9: the slow scan shows the scene of the last frames
    assert np.isfinite(found["psnr"]).all()
    assert np.isfinite(found["lag_tail"]).values.tolist() == [False] * 6 + [True] * 10
    assert float(summary["psnr_last"][0, 1]) == float(found["psnr"][-1])


def test_without_a_slow_scan_there_are_the_scores_that_need_none(tmp_path, client):
    rapid, _ = scene(seed=1, n=12)
    file = write_stack(tmp_path / "fov01.tif", rapid, dwell_time_ns=100)
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, file, block=BLOCK)
    stemscale.process(store, filter="gaussian", client=client)
    summary = stemscale.summarize(store)
    assert "psnr_mean" not in summary
    assert np.isfinite(scores_in(store, "fov01", "gaussian")["upsnr"]).all()
    assert float(summary["frc_cutoff_mean"][0, 1]) > 0
    assert float(summary["frc_rapid_cutoff_mean"][0, 1]) > 0
    assert 0 <= float(summary["residual_clear_mean"][0, 1]) < 1


def test_two_frames_are_enough_for_what_is_told_by_halves(tmp_path, client):
    rapid, _ = scene(seed=1, n=2)
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write_stack(tmp_path / "fov01.tif", rapid, dwell_time_ns=100))
    stemscale.process(store, filter="gaussian", client=client)
    summary = stemscale.summarize(store)
    raw, filtered = 0, 1
    assert summary.attrs["filter_names"] == ["rapid", "gaussian"]
    assert abs(float(summary["noise_along_mean"][0, raw])) < 0.15
    assert float(summary["noise_along_mean"][0, filtered]) > 0.4
    assert 0.1 < float(summary["noise_left_mean"][0, filtered]) < 0.8
    assert summary["n_frames"].values.tolist() == [[2, 2]]


def test_frames_that_were_brought_onto_one_grid_are_held_against_rapid_frames_on_it(
    tmp_path, client
):
    drift = np.arange(8)[:, None] * [[1.0, -2.0]]
    series = make_series(4, 96, drift, dose=400.0).astype(np.uint16)
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write_stack(tmp_path / "fov01.tif", series, dwell_time_ns=100))
    for name, moves in (("still", False), ("moved", True)):
        stemscale.process(store, filter="gaussian", name=name, drift=moves, client=client)
    summary = stemscale.summarize(store)
    moved, still = (summary.attrs["filter_names"].index(name) for name in ("moved", "still"))
    lost = summary["residual_lost_mean"].values[0]
    assert lost[moved] < 0.5 * lost[still]  # where nothing is moved back, the scene itself is left
    confirmed = summary["frc_rapid_cutoff_mean"].values[0]
    assert confirmed[moved] > 1.2 * confirmed[still]


def test_wave_numbers_of_all_fovs_have_one_unit(tmp_path, client):
    """One without a pixel size knows them in 1/px only."""
    store = tmp_path / "s.zarr"
    rapid, _ = scene(seed=1)
    stemscale.ingest(store, write_stack(tmp_path / "known.tif", rapid, dwell_time_ns=100))
    np.save(tmp_path / "unknown.npy", rapid)
    stemscale.ingest(store, tmp_path / "unknown.npy")
    summary = stemscale.summarize(store)
    cutoffs = summary["frc_cutoff_mean"]
    assert cutoffs.attrs["units"] == "1/px"
    assert cutoffs.values[0, 0] == pytest.approx(cutoffs.values[1, 0])
    assert 0 < cutoffs.values[0, 0] < 0.5


def test_what_cannot_be_read_is_said_and_the_rest_is_scored(filtered):
    shard = filtered / "fov01/filtered/gaussian/frames/c/1/0/0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    raw = filtered / "fov02/rapid/frames/c/0/0/0"
    raw.write_bytes(raw.read_bytes()[:-20])
    summary = stemscale.summarize(filtered)
    first, second = summary.attrs["problems"]
    assert "fov01" in first
    assert "fov01/filtered/gaussian" in first
    assert "fov02/rapid" in second
    for fov, name in (("fov02", "gaussian"), ("fov01", "none"), ("fov01", "rapid")):
        assert np.isfinite(scores_in(filtered, fov, name)["psnr_matched"]).all(), (fov, name)


def test_frames_that_are_not_made_yet_have_no_scores(filtered):
    store = AcquisitionStore(filtered)
    (filtered / "fov01/filtered/gaussian/frames/c/2/0/0").unlink()
    store.set_attrs("fov01/filtered/gaussian", {"state": "partial"})
    summary = stemscale.summarize(filtered)
    found = scores_in(filtered, "fov01", "gaussian")
    assert np.isfinite(found["psnr"]).values.tolist() == [True] * 8 + [False] * 3
    assert int(summary["n_frames"][0, 1]) == 8


def test_a_store_without_filters_has_scores_of_its_rapid_frames(calibrated):
    summary = stemscale.summarize(calibrated)
    assert summary.attrs["filter_names"] == ["rapid"]
    assert np.isfinite(summary["psnr_mean"].values).all()


def test_a_second_summary_takes_the_place_of_the_first(filtered):
    first = stemscale.summarize(filtered)
    stemscale.summarize(filtered)
    with xr.open_datatree(filtered, engine="zarr") as tree:
        assert set(tree["summary"].children) == {"fov01", "fov02"}
        xr.testing.assert_allclose(
            tree["summary"].to_dataset().drop_attrs(), first.drop_attrs(), rtol=1e-5
        )
    assert stemscale.verify(filtered).damage == []


def test_a_fov_may_be_called_rapid(tmp_path):
    rapid, slow = scene(seed=1)
    files = (
        write_stack(tmp_path / "a.tif", rapid, dwell_time_ns=100),
        write_image(tmp_path / "slow.tif", slow, dwell_time_ns=5000),
    )
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, files[0], slow=files[1], fov="rapid", block=BLOCK)
    stemscale.summarize(store)
    assert AcquisitionStore(store).fovs() == ["rapid"]
    stemscale.summarize(store)


def test_progress_counts_every_frame_that_is_scored(filtered):
    events = []
    stemscale.summarize(filtered, listener=events.append)
    done = [e for e in events if isinstance(e, BlockDone)]
    assert sum(e.frames for e in done) == 2 * 3 * N_FRAMES


def test_a_truth_of_other_frames_is_refused_before_anything_is_read(filtered, tmp_path):
    events = []
    with pytest.raises(StoreError, match=r"truth\.zarr of the simulation"):
        stemscale.summarize(filtered, truth=tmp_path / "truth.zarr", listener=events.append)
    assert events == []


@given(st.integers(1, 5000), st.integers(1, 64))
def test_probes_lie_within_the_series_and_apart(count, size):
    found = _probes(count, count * size)
    assert 1 <= len(found) <= 4
    assert all(0 <= n < count for n in found)


def test_a_measure_is_one_row_of_the_table_and_is_scored_and_shown(filtered, monkeypatch):
    """Nothing else is touched: `summarize` works it out, the store and the page have it."""
    monkeypatch.setitem(
        MEASURES,
        "brightest",
        Measure(
            name="brightest",
            units="1",
            heading="brightest",
            long_name="brightest pixel over that of the slow scan",
            decimals=2,
            of_frame=lambda frame, slow: float(np.nanmax(frame) / np.nanmax(slow)),
        ),
    )
    found = stemscale.summarize(filtered)
    assert np.isfinite(found["brightest_mean"]).any()
    assert found["brightest_mean"].attrs["units"] == "1"
    texts = {s.score for row in score_table(filtered) for s in row.statistics}
    assert "brightest" in texts
