"""Real microscope files, the whole way, by the commands that a user types."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from builders import DATA

import stemscale
from stemscale.denoising import TrainingFov, find_recipe, save_filter, train_filter
from stemscale.quality import remove_background

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FILES = {
    "rapid_scan": "rapid_scan_pair_512.mrc",
    "tia_preview": "03_Scanning Preview.emi",
    "velox_stack": "velox_haadf_stack_10f.emd",
    "insitu_line": "Ti_dislocation_line_17f_crop.tif",
}
N_FRAMES = {"rapid_scan": 2, "tia_preview": 5, "velox_stack": 10, "insitu_line": 17}


def command(*args):
    done = subprocess.run(
        [sys.executable, "-m", "stemscale_cli.app", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def filter_file(tmp_path_factory):
    """A filter trained for a moment: that it runs on every file is the point here."""
    rng = np.random.default_rng(0)
    target = rng.normal(1000, 50, (64, 64)).cumsum(axis=0).astype(np.float32)
    frames = target + rng.normal(0, 100, (4, 64, 64)).astype(np.float32)
    fov = TrainingFov(name="made", frames=frames, target=target)
    path = tmp_path_factory.mktemp("filter") / "tiny.safetensors"
    save_filter(train_filter([fov], recipe=find_recipe("standard"), epochs=1), path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory, filter_file):
    path = tmp_path_factory.mktemp("real") / "real.zarr"
    for fov, file in FILES.items():
        command("ingest", path, DATA / file, "--fov", fov)
    command("process", path, "--filter", "dcfi")
    command("process", path, "--filter", filter_file)
    command("summarize", path)
    return path


def frames_of(store, group):
    with xr.open_zarr(store, group=group) as opened:
        return opened["frames"].values


@pytest.mark.parametrize("fov", FILES)
def test_every_frame_is_filtered_in_its_own_shape_and_dtype(store, fov):
    with (
        xr.open_zarr(store, group=f"{fov}/rapid") as rapid,
        xr.open_zarr(store, group=f"{fov}/filtered/tiny", mask_and_scale=False) as filtered,
    ):
        assert filtered["frames"].shape == rapid["frames"].shape
        assert filtered["frames"].shape[0] == N_FRAMES[fov]
        assert filtered["frames"].dtype == rapid["frames"].dtype
        assert filtered.attrs["state"] == "complete"


@pytest.mark.parametrize("fov", ["tia_preview", "rapid_scan"])
def test_dcfi_lowers_the_noise_of_a_still_series(store, fov):
    """Row D3: of white noise, the variance goes down by the number of frames."""
    rapid = frames_of(store, f"{fov}/rapid").astype(float)
    average = frames_of(store, f"{fov}/filtered/dcfi")[0]
    inner = (slice(8, -8), slice(8, -8))
    noise = np.diff(rapid, axis=0)[:, *inner].std() / np.sqrt(2)
    left = (rapid[-1] - average)[inner].std()
    n = N_FRAMES[fov]
    # frame n less the mean of n frames: sqrt(1 - 1/n) of a frame's noise
    assert left == pytest.approx(noise * np.sqrt(1 - 1 / n), rel=0.15)


def test_dcfi_of_a_drifting_series_is_sharper_than_the_plain_mean(store):
    rapid = frames_of(store, "insitu_line/rapid").astype(float)
    average = frames_of(store, "insitu_line/filtered/dcfi")[0].astype(float)

    def detail(image):
        """Contrast of what is between 4 and some 30 px large, away from the edges."""
        sharp = remove_background(image, sigma_px=12)[40:-40, 40:-40]
        return np.nanstd(sharp.reshape(44, 4, 44, 4).mean(axis=(1, 3)))

    assert detail(average) > 1.2 * detail(rapid.mean(axis=0))


def test_the_average_of_a_series_has_the_mean_of_its_clock(store):
    with (
        xr.open_zarr(store, group="tia_preview/rapid") as rapid,
        xr.open_zarr(store, group="tia_preview/filtered/dcfi") as dcfi,
    ):
        clock, mean = rapid["timestamp"].values, dcfi["timestamp"].values
    assert mean[0] - clock[0] == np.timedelta64(400, "ms")  # 3 frames in one second, 2 in the next


def test_the_report_of_real_files_says_that_there_is_no_slow_scan(store, tmp_path):
    page = tmp_path / "real.html"
    command("report", store, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert all(fov in text for fov in FILES)
    assert "no slow scan" in text.lower()
    assert len(text) < 20e6


def test_nothing_of_it_is_damaged(store):
    assert stemscale.verify(store).damage == []
