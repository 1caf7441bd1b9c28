"""Simulated files to scores, with a known truth, by the functions behind the verbs."""

import numpy as np
import pytest
import tifffile
import xarray as xr
from velox_files import velox_page, write_velox

import stemscale
from stemscale.denoising import load_filter
from stemscale.errors import DistortionError, SettingsError, TrainingError
from stemscale.pipeline import TrainingStep
from stemscale.store import AcquisitionStore

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FOVS, FRAMES, SIZE = 4, 16, 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def truth(folder):
    stemscale.simulate(folder / "raw", fovs=FOVS, frames=FRAMES, size=SIZE, seed=1)
    return folder / "raw" / "truth.zarr"


@pytest.fixture(scope="module")
def store(folder, truth):
    """Ingested, and calibrated by the default method."""
    path = folder / "s.zarr"
    stemscale.ingest(path, manifest=folder / "raw" / "fovs.csv")
    stemscale.calibrate(path)
    return path


@pytest.fixture(scope="module")
def filter_file(folder, store):
    events = []
    stemscale.train(
        store,
        output=folder / "tiny.safetensors",
        epochs=4,
        seed=3,
        threads=1,
        listener=events.append,
    )
    assert any(isinstance(e, TrainingStep) for e in events)
    return folder / "tiny.safetensors"


@pytest.fixture(scope="module")
def summary(store, filter_file, truth, client):
    stemscale.process(store, filter="dcfi", client=client)
    stemscale.process(store, filter=filter_file, client=client)
    return stemscale.summarize(store, truth=truth)


def shape_error(store, truth, fov, true_fov=None):
    """RMS of source_x against the truth after a constant shift, over the interior [px]."""
    with (
        xr.open_zarr(store, group=f"{fov}/calibration") as found,
        xr.open_zarr(truth, group=true_fov or fov) as true,
    ):
        error = found["source_x"].values - np.ravel(true["source_x"].values)[:SIZE]
        drawn = np.ravel(true["source_x"].values)[:SIZE] - np.arange(SIZE)
    inner = slice(SIZE // 16, -SIZE // 16)
    return float(np.std(error[inner])), float(np.std(drawn[inner]))


def test_calibration_finds_the_true_distortion(store, truth):
    """Rows C1 to C7."""
    found = [shape_error(store, truth, f) for f in ("fov01", "fov02", "fov03", "fov04")]
    errors, uncorrected = np.array(found).T
    assert np.median(errors) < 0.5
    assert np.median(uncorrected) > 5 * np.median(errors)


def test_a_calibration_says_where_it_is_from_and_is_whole_in_xarray(store):
    with xr.open_zarr(store, group="fov01/calibration") as found:
        assert found.attrs["method"] == "spline"
        assert found.attrs["estimated_on"] == "fov01 fov02 fov03 fov04"
        assert found["source_x"].dims == ("x",)
        assert found["source_y"].dims == ("y",)
        assert found["source_x_std"].dims == ("x",)
        assert found["dcfi"].shape == (SIZE, SIZE)
        assert found["shift_x"].shape == (FRAMES,)
        assert found["source_x"].attrs["units"] == "px"


def test_the_filter_learned_from_train_fovs_only(filter_file):
    card = load_filter(filter_file).card
    assert [f["fov"] for f in card["fovs"]] == ["fov01", "fov02", "fov03"]
    assert card["scan_settings"]["dwell_time_ns"] == 100


def test_filtered_frames_come_closer_to_the_truth_and_smear_less(summary):
    """Row Q2 and the point of it all, on the held-out FOV."""
    names = summary.attrs["filter_names"]
    assert names == ["rapid", "dcfi", "tiny"]
    held_out = summary.isel(fov=summary.attrs["fov_names"].index("fov04"))
    psnr = dict(zip(names, held_out["psnr_truth_mean"].values, strict=True))
    smear = dict(zip(names, held_out["lag_tail_mean"].values, strict=True))
    assert psnr["tiny"] > psnr["rapid"] + 2
    assert smear["tiny"] < 0.75 * smear["rapid"]


def test_the_summary_counts_frames_and_marks_training(summary, store):
    assert summary["n_frames"].values.tolist() == [[FRAMES, 1, FRAMES]] * FOVS
    assert summary["trained"].values[:, 2].tolist() == [1, 1, 1, 0]
    with xr.open_zarr(store, group="summary") as stored:
        np.testing.assert_allclose(stored["psnr_mean"], summary["psnr_mean"])
        assert stored.attrs["filter_names"] == ["rapid", "dcfi", "tiny"]


def test_the_summary_is_the_mean_of_the_frames_psnr(summary, store):
    with xr.open_zarr(store, group="fov02/filtered/tiny") as frames:
        psnr = frames["psnr"].values
        rapid = frames["psnr_rapid"].values
        assert frames.attrs["trained_on"] is True
    assert summary["psnr_mean"].values[1, 2] == pytest.approx(psnr.mean())
    assert summary["psnr_std"].values[1, 2] == pytest.approx(psnr.std())
    assert summary["psnr_mean"].values[1, 0] == pytest.approx(rapid.mean())


def test_nothing_in_the_store_is_damaged(summary, store):
    found = stemscale.verify(store)
    assert found.damage == []
    assert found.blocks == FOVS * 3


def test_the_papers_method_calibrates_too(folder, truth):
    """Rows C3 to C7, with one map for all FOVs."""
    path = folder / "strips.zarr"
    stemscale.ingest(path, manifest=folder / "raw" / "fovs.csv")
    stemscale.calibrate(path, method="strips")
    maps = []
    for fov in AcquisitionStore(path).fovs():
        with xr.open_zarr(path, group=f"{fov}/calibration") as found:
            maps.append(found["source_x"].values)
    assert all(np.array_equal(m, maps[0]) for m in maps)
    error, uncorrected = shape_error(path, truth, "fov01")
    assert error < 0.6 * uncorrected


def test_a_series_without_slow_scan_gets_the_distortion_of_its_setting(folder, store):
    """Row C7: FOVs of one scan setting share one distortion."""
    path = folder / "mixed.zarr"
    raw = folder / "raw"
    stemscale.ingest(path, raw / "fov01_rapid.tif", slow=raw / "fov01_slow.tif", fov="still")
    stemscale.ingest(path, raw / "fov02_rapid.tif", slow=raw / "fov02_slow.tif", fov="second")
    stemscale.ingest(path, raw / "fov03_rapid.tif", fov="alone")
    done = {d.fov: d for d in stemscale.calibrate(path)}
    assert not done["alone"].estimated
    assert AcquisitionStore(path).attrs("alone/calibration")["carried_over"] is True
    with pytest.raises(TrainingError, match="alone has no slow scan"):
        stemscale.train(path, output=folder / "x.safetensors", fovs=["alone"])


def test_detectors_of_one_scan_share_its_distortion_and_a_blank_one_is_no_hindrance(folder, truth):
    raw = folder / "raw"
    rapid = {"HAADF": tifffile.imread(raw / "fov01_rapid.tif")}
    slow = {"HAADF": tifffile.imread(raw / "fov01_slow.tif")[None]}
    noise = np.random.default_rng(0)
    rapid["BF"] = noise.integers(90, 110, rapid["HAADF"].shape, dtype=np.uint16)
    slow["BF"] = noise.integers(90, 110, slow["HAADF"].shape, dtype=np.uint16)
    rapid["DF2"] = 2 * (rapid["HAADF"] // 3)
    pages = {d: [velox_page(i, d) for i in range(FRAMES)] for d in rapid}
    write_velox(folder / "scan.emd", rapid, pages=pages)
    write_velox(folder / "scan_slow.emd", slow)
    store = folder / "together.zarr"
    stemscale.ingest(store, folder / "scan.emd", slow=folder / "scan_slow.emd", detector="all")
    done = {c.fov: c.estimated for c in stemscale.calibrate(store)}
    assert done == {"scan_HAADF": True, "scan_BF": False, "scan_DF2": False}
    maps = []
    for fov in done:
        with xr.open_zarr(store, group=f"{fov}/calibration") as opened:
            maps.append(opened["source_x"].values)
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    error, drawn = shape_error(store, truth, "scan_HAADF", "fov01")
    assert error < drawn / 4


def test_a_slow_scan_taken_after_a_series_is_not_calibrated_on(folder, truth):
    path = folder / "after.zarr"
    raw = folder / "raw"
    rapid, slow = raw / "fov01_rapid.tif", raw / "fov01_slow.tif"
    stemscale.ingest(path, rapid, slow=slow, slow_is="after", fov="insitu")
    with pytest.raises(DistortionError, match="no FOV has a slow scan of the same still view"):
        stemscale.calibrate(path)
    with pytest.raises(DistortionError, match="insitu: its slow scan was taken after"):
        stemscale.calibrate(path, fovs=["insitu"])


def test_a_fov_with_the_slow_scan_of_another_is_left_out_and_gets_the_others_map(folder, truth):
    path, raw = folder / "exchanged.zarr", folder / "raw"
    for fov, slow in {"fov01": "fov01", "fov02": "fov02", "mixed": "fov02"}.items():
        rapid = raw / f"{'fov03' if fov == 'mixed' else fov}_rapid.tif"
        stemscale.ingest(path, rapid, slow=raw / f"{slow}_slow.tif", fov=fov)
    found = {c.fov: c for c in stemscale.calibrate(path)}
    assert {f: c.estimated for f, c in found.items()} == {
        "fov01": True,
        "fov02": True,
        "mixed": False,
    }
    assert "mixed: the slow scan shows another area" in found["mixed"].left_out
    assert found["fov01"].left_out is None
    assert found["mixed"].span_px == pytest.approx(found["fov01"].span_px, rel=0.05)
    with pytest.raises(TrainingError, match="mixed has only a carried-over calibration"):
        stemscale.train(path, output=folder / "m.safetensors", fovs=["mixed"])
    with pytest.raises(DistortionError, match="another area"):
        stemscale.calibrate(path, fovs=["mixed"])


def test_an_existing_filter_is_not_overwritten_unasked(store, filter_file):
    with pytest.raises(SettingsError, match="exists"):
        stemscale.train(store, output=filter_file, epochs=1)


def test_a_fov_marked_test_cannot_be_trained_on(folder, store):
    with pytest.raises(TrainingError, match="fov04 is marked test"):
        stemscale.train(store, output=folder / "y.safetensors", fovs=["fov04"])
