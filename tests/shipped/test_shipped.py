"""The filters that come with the package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

import stemscale
from stemscale.denoising import (
    RESPECTS,
    SeenFrames,
    denoise_frames,
    find_recipe,
    load_filter,
    series_scale,
)
from stemscale.errors import FilterError
from stemscale.filter_card import read_card
from stemscale.quality import lag_tail, psnr_without_background
from stemscale.shipped import SHIPPED, find_filter
from stemscale.simulation import FieldOfView, preset_settings
from stemscale.workflows.shipping.fovs import read_scenes, scenes_hash

ROOT = Path(stemscale.__file__).parents[1]
DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("name", SHIPPED)
def test_files_are_as_they_were_written_and_say_what_they_are(name):
    card = read_card(find_filter(name)).card  # refuses a file of which the hash does not fit
    assert (card["preset"], card["target"]) == (name, "truth")
    assert card["licence"] == "GPL-3.0-or-later"
    assert card["simulated"]["pictures_sha256"] == scenes_hash(read_scenes())
    assert card["seen"]["frames"]["count"] > 1000
    assert load_filter(find_filter(name)).network.settings == find_recipe(name).network


@pytest.mark.parametrize("name", SHIPPED)
def test_noise_and_smear_go_from_frames_of_the_reference_microscope(name):
    settings = preset_settings("reference").without("distortion", "drift", "gamma", "background")
    fov = FieldOfView(901, size=256, n_frames=4, settings=settings, seed=5)
    frames = np.stack([fov.frame(i).counts for i in range(4)])
    truth = fov.truth()
    filtered = denoise_frames(frames, load_filter(find_filter(name)), scale=series_scale(frames))
    both = (frames, filtered)
    before, after = (np.mean([psnr_without_background(f, truth) for f in s]) for s in both)
    assert after > before + 3
    late = [np.mean([lag_tail(f, truth).weight for f in s]) for s in both]
    assert abs(late[1]) < late[0] / 2


def test_a_file_is_given_back_as_it_is(tmp_path):
    assert find_filter(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"


def test_a_package_without_its_filters_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("stemscale.shipped.files", lambda _: tmp_path)
    with pytest.raises(FilterError, match="install stemscale again"):
        find_filter("live")


def test_the_wheel_brings_the_filters_and_not_what_they_were_made_of(tmp_path):
    copy = tmp_path / "source"  # building leaves files behind
    for folder in ("stemscale", "cli"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, copy]
    subprocess.run([str(word) for word in command], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"stemscale/shipped/{name}.safetensors" for name in SHIPPED} <= set(names)
    assert not [name for name in names if name.endswith(".png")]
    assert wheel.stat().st_size < 20e6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_camera_in_place_of_a_scan_is_flagged_and_a_real_scan_is_not(name):
    seen = SeenFrames.of_card(read_card(find_filter(name)).card, recorded=True)
    tem = tifffile.imread(DATA / "Ti_dislocation_line_17f_crop.tif")
    stem = rapid_pair()
    flagged = {}
    for word, frames in (("TEM", tem), ("STEM", stem)):
        scale = series_scale(frames)
        flagged[word] = [seen.judge(np.float32(frame), scale).flag for frame in frames]
    assert all(flag & RESPECTS["lag"] for flag in flagged["TEM"])
    assert flagged["STEM"] == [0, 0]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_smear_of_a_real_scan_goes(name):
    """Noise, in the difference of two frames of a scene, is then no more alike along x than y."""
    pair = np.float32(rapid_pair())
    made = denoise_frames(pair, load_filter(find_filter(name)), scale=series_scale(pair))
    before, after = (f[0] - f[1] for f in (pair, made))
    assert correlation(before, axis=1) > 0.45 > 0.05 > correlation(before, axis=0)
    assert correlation(after, axis=1) < correlation(after, axis=0) + 0.02
    assert after.std() < 0.35 * before.std()


def rapid_pair():
    shape = (2, 512, 512)
    pixels = (DATA / "rapid_scan_pair_512.mrc").read_bytes()[-2 * np.prod(shape) :]
    return np.frombuffer(pixels, dtype="<i2").reshape(shape)


def correlation(image, *, axis):
    moved = np.moveaxis(image - image.mean(), axis, -1)
    return float((moved[..., 1:] * moved[..., :-1]).mean() / moved.var())
