"""How the filters that come with the package are made."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from stemscale.denoising import load_filter
from stemscale.errors import SettingsError
from stemscale.quality import zncc
from stemscale.workflows.shipping.data import make_data
from stemscale.workflows.shipping.fovs import make_fov, read_scenes
from stemscale.workflows.shipping.settings import draw_settings


@pytest.fixture(scope="module")
def scenes():
    return read_scenes()


def test_a_fov_depends_on_its_seed_and_number_alone(scenes):
    one, again = make_fov(5, 3, scenes), make_fov(5, 3, scenes)
    assert np.array_equal(one.frames, again.frames, equal_nan=True)
    assert np.array_equal(one.target, again.target)
    assert not np.array_equal(one.target, make_fov(5, 4, scenes).target)
    assert not np.array_equal(one.target, make_fov(6, 3, scenes).target)


def test_the_target_lies_where_the_frames_show_it(scenes):
    """Over many FOVs, no shift along x or y makes frames and targets more alike."""
    shifts = range(-2, 3)
    alike = {(axis, s): 0.0 for axis in (0, 1) for s in shifts}
    for number in range(16):
        fov = make_fov(11, number, scenes)
        frame = np.nan_to_num(fov.frames.mean(axis=0), nan=np.nanmean(fov.frames))
        for axis, s in alike:
            moved = np.roll(fov.target, s, axis=axis)
            alike[axis, s] += zncc(frame[8:-8, 8:-8], moved[8:-8, 8:-8])
    assert max(shifts, key=lambda s: alike[0, s]) == 0
    assert max(shifts, key=lambda s: alike[1, s]) == 0


def test_settings_are_wide_about_the_reference():
    drawn = [draw_settings(np.random.default_rng((0, i))) for i in range(200)]
    doses = [s.dose_electrons for s in drawn]
    assert min(doses) < 6 < 24 < 80 < max(doses)
    tails_px = [s.lag_slow_ns / s.rapid_dwell_ns for s in drawn]
    assert 3 <= min(tails_px) < 5 < 10 < max(tails_px) <= 14
    assert 0 < sum(not s.has("lag") for s in drawn) < 60
    assert 0 < sum(not s.has("distortion") for s in drawn) < 100


def test_parts_that_are_there_are_not_made_again(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("stemscale.workflows.shipping.data.PART", 2)
    first = make_data(tmp_path, seed=1, fovs=4, scenes=scenes)
    next(tmp_path.glob("1-000002-*")).unlink()
    made = []
    real = make_fov
    monkeypatch.setattr(
        "stemscale.workflows.shipping.data.make_fov", lambda *a: made.append(a[1]) or real(*a)
    )
    again = make_data(tmp_path, seed=1, fovs=4, scenes=scenes)
    assert made == [2, 3]
    assert np.array_equal(again.frames, first.frames, equal_nan=True)


def test_without_pictures_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr("stemscale.workflows.shipping.fovs.files", lambda _: tmp_path)
    (tmp_path / "scenes").mkdir()
    with pytest.raises(SettingsError, match="checkout"):
        read_scenes()


OPTIONS = ["--only", "live", "--fovs", "40", "--epochs", "2"]

KILLED = """
import os, signal
from stemscale.denoising import training, training_run
from stemscale.workflows.shipping import __main__

training_run._SAVE_EVERY_S = 0.0  # after each epoch, however short
save = training.save_checkpoint

def save_and_die(made, path):
    save(made, path)
    os.kill(os.getpid(), signal.SIGKILL)

training.save_checkpoint = save_and_die
__main__.main()
"""


def weights(file):
    return torch.cat([w.ravel() for w in load_filter(file).network.state_dict().values()])


def test_killed_it_goes_on_to_the_same_filter(tmp_path):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    python = partial(subprocess.run, capture_output=True, text=True, env=environment)
    ship = [sys.executable, "-m", "stemscale.workflows.shipping"]
    python([*ship, tmp_path / "whole", *OPTIONS], check=True)
    killed = python([sys.executable, "-c", KILLED, tmp_path / "cut", *OPTIONS])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    checkpoint = tmp_path / "cut" / "live.safetensors.checkpoint"
    assert checkpoint.is_file()
    assert not (tmp_path / "cut" / "live.safetensors").exists()
    done = python([*ship, tmp_path / "cut", *OPTIONS], check=True)
    assert "held out" in done.stdout
    whole, cut = (tmp_path / name / "live.safetensors" for name in ("whole", "cut"))
    assert torch.equal(weights(whole), weights(cut))
    assert not checkpoint.exists()
