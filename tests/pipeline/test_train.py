"""Ways to train on the FOVs of a store, from end to end; what a training is worth is measured in
tests/denoising and tests/benchmarks."""

import json
import logging
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest
import torch
from builders import write_image, write_stack
from pipeline.builders import scene, two_fovs

import stemscale
from stemscale.corrections import load_calibration, save_calibration
from stemscale.denoising import denoise_frames, load_filter, series_scale
from stemscale.distortion import Warp
from stemscale.errors import DistortionError, SettingsError, StemscaleError, TrainingError
from stemscale.pipeline import TrainingStep
from stemscale.reports import plot_learning_curve
from stemscale.store import AcquisitionStore

QUICK = {"epochs": 1, "threads": 1, "width": 4, "seed": 1}


def card_of(store, folder, **arguments):
    output = folder / "f.safetensors"
    stemscale.train(store, output=output, **{**QUICK, **arguments})
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith("f.")) == [output.name]
    return load_filter(output).card


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"target": "dcfi", "correction": False}, {"target": "dcfi", "corrected": False}),
        ({"target": "frames"}, {"target": "frames"}),
    ],
)
def test_other_targets_need_no_calibration(store, tmp_path, arguments, expected):
    card = card_of(store, tmp_path, **arguments)
    assert {k: card[k] for k in expected} == expected


def test_training_on_other_frames_needs_no_slow_scan(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", scene(seed=1)[0], dwell_time_ns=100)
    stemscale.ingest(tmp_path / "s.zarr", rapid)
    with pytest.raises(TrainingError, match=r"a has no slow scan.*--target frames"):
        card_of(tmp_path / "s.zarr", tmp_path)
    assert card_of(tmp_path / "s.zarr", tmp_path, target="frames")["target"] == "frames"


def test_uncorrected_frames_are_trained_on_with_a_warning(tmp_path, monkeypatch):
    """Row F5: with views matched, but the distortion left."""
    rapid, slow = (np.repeat(np.repeat(a, 2, axis=-1), 2, axis=-2) for a in scene(seed=1))
    stemscale.ingest(
        tmp_path / "s.zarr",
        write_stack(tmp_path / "a.tif", rapid, dwell_time_ns=100),
        slow=write_image(tmp_path / "a_slow.tif", slow, dwell_time_ns=5000),
    )
    said = []
    monkeypatch.setattr(logging.getLogger("stemscale.pipeline.train"), "warning", said.append)
    card = card_of(tmp_path / "s.zarr", tmp_path, correction=False)
    assert not card["corrected"]
    assert "without distortion correction" in said[0]


def test_a_faint_fov_is_brought_to_its_view_by_the_calibration(calibrated, tmp_path, monkeypatch):
    """Row F5 where the edges of the slow scan are lost in noise."""

    def match_views(*_):
        raise DistortionError("the slow scan is not found")

    monkeypatch.setattr(import_module("stemscale.pipeline.train"), "match_views", match_views)
    assert not card_of(calibrated, tmp_path, correction=False)["corrected"]
    (tmp_path / "other").mkdir()
    other = two_fovs(tmp_path / "other")
    carried_over = load_calibration(AcquisitionStore(calibrated), "fov01")
    unknown = {"dcfi": None, "shifts": None, "attrs": {}}
    save_calibration(AcquisitionStore(other), "fov01", carried_over, **unknown)
    with pytest.raises(DistortionError, match=r"fov01: .* or calibrate first"):
        card_of(other, tmp_path / "other", correction=False)


@pytest.mark.parametrize("name", ["dlf-100", "dlf-500", "dlf-1000", "dlf-2500"])
def test_the_single_fov_filters_of_the_paper_have_their_frames_and_rate(calibrated, tmp_path, name):
    """Row F4."""
    card = card_of(calibrated, tmp_path, preset=name, fovs=["fov01"])
    frames = int(name.removeprefix("dlf-"))
    assert (card["recipe"]["frames"], card["recipe"]["rate"]) == (
        frames,
        5e-6 if frames == 2500 else 1e-5,
    )
    assert card["training"]["fovs"] == ["fov01"]


def test_frames_of_each_fov_can_be_limited(calibrated, tmp_path):
    few = card_of(calibrated, tmp_path, frames=5)
    assert few["training"]["frames"] == 2 * 4  # of 5 frames, one is held out for validation


def test_several_frames_in_are_read_with_their_neighbours(calibrated, tmp_path, client, frames_of):
    """Whatever the blocks: the frame beside a border of a block sees the next block's."""
    output = tmp_path / "five.safetensors"
    stemscale.train(calibrated, output=output, frames_in=5, **QUICK)
    stemscale.process(calibrated, filter=output, client=client)
    found = frames_of(calibrated, "fov01/filtered/five").astype(float)
    store = AcquisitionStore(calibrated)
    frames = store.frames("fov01/rapid").read(0, 11)
    corrected = Warp(load_calibration(store, "fov01").distortion)(frames)
    whole = denoise_frames(corrected, load_filter(output), scale=series_scale(frames))
    seen = np.isfinite(whole)
    assert np.abs(found - np.rint(whole))[seen].max() <= 1


def test_equalised_training_is_carried_to_the_output(calibrated, tmp_path, client, frames_of):
    """Row F8."""
    output = tmp_path / "equal.safetensors"
    stemscale.train(calibrated, output=output, equalize=True, **QUICK)
    assert load_filter(output).normalisation == "frame_equalized"
    stemscale.process(calibrated, filter=output, client=client)
    assert np.ptp(frames_of(calibrated, "fov01/filtered/equal")) > 0


def test_the_learning_curve_is_drawn(calibrated, tmp_path):
    card = card_of(calibrated, tmp_path, epochs=3)
    picture = plot_learning_curve(card, tmp_path / "curve.png", title="f_$x")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_training_goes_on_and_another_is_refused(calibrated, tmp_path):
    undisturbed, output = tmp_path / "u.safetensors", tmp_path / "f.safetensors"
    given = {**QUICK, "epochs": 30}
    stemscale.train(calibrated, output=undisturbed, **given)

    def interrupt(event):
        if isinstance(event, TrainingStep) and event.progress.epoch >= 3:
            raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="nothing to resume"):
        stemscale.train(calibrated, output=output, resume=True, **given)
    with pytest.raises(KeyboardInterrupt):
        stemscale.train(calibrated, output=output, listener=interrupt, **given)
    assert (tmp_path / "f.safetensors.checkpoint").is_file()
    with pytest.raises(TrainingError, match="run that command again"):
        stemscale.train(calibrated, output=output, **{**given, "seed": 2})
    stemscale.train(calibrated, output=output, resume=True, **given)
    one, other = (load_filter(f).network.state_dict() for f in (undisturbed, output))
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not (tmp_path / "f.safetensors.checkpoint").exists()


@pytest.mark.parametrize("wrong", [{"fovs": ["typo"]}, {"width": None, "start_from": "typo"}])
def test_a_training_that_is_refused_leaves_the_checkpoint(calibrated, tmp_path, wrong):
    checkpoint = tmp_path / "f.safetensors.checkpoint"
    checkpoint.write_bytes(b"hours of work")
    with pytest.raises(StemscaleError, match="typo"):
        card_of(calibrated, tmp_path, overwrite=True, **wrong)
    assert checkpoint.read_bytes() == b"hours of work"


def test_a_killed_training_goes_on_from_its_last_epoch(calibrated, tmp_path):
    output = tmp_path / "f.safetensors"
    command = [sys.executable, "-m", "stemscale_cli.app", "train", str(calibrated), "--output"]
    command += [str(output), "--preset", "paper", "--epochs", "90000"]
    command += ["--width", "4", "--threads", "1"]
    checkpoint = tmp_path / "f.safetensors.checkpoint"
    with subprocess.Popen(command) as running:
        deadline = time.monotonic() + 90
        while not checkpoint.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        running.kill()
    assert checkpoint.is_file()
    from safetensors import safe_open

    with safe_open(checkpoint, framework="pt") as file:
        state = json.loads(file.metadata()["stemscale_checkpoint"])
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, TrainingStep):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stemscale.train(
            calibrated,
            output=output,
            preset="paper",
            epochs=90000,
            width=4,
            threads=1,
            listener=stop,
            resume=True,
        )
    assert events[-1].progress.step >= state["step"]


def test_devices_train_together(calibrated, tmp_path):
    card = card_of(calibrated, tmp_path, device="cpu,cpu")
    assert card["training"]["device"] == "cpu,cpu"


def test_a_gpu_that_is_not_there_is_refused(calibrated, tmp_path):
    with pytest.raises(SettingsError, match=r"--device cuda:99: torch finds \d+ GPUs here"):
        card_of(calibrated, tmp_path, device="cuda:99")


def test_a_filter_is_trained_further_on_other_fovs(calibrated, tmp_path, client):
    parent = tmp_path / "parent.safetensors"
    stemscale.train(calibrated, output=parent, **QUICK, fovs=["fov01"])
    card = card_of(calibrated, tmp_path, width=None, fovs=["fov02"], start_from=parent)
    assert card["architecture"] == load_filter(parent).card["architecture"]
    assert card["recipe"]["rate"] == load_filter(parent).card["recipe"]["rate"] / 4
    assert [f["fov"] for f in card["fovs"]] == ["fov02"]
    assert [f["fov"] for f in card["started_from"]["fovs"]] == ["fov01"]
    stemscale.process(calibrated, filter=tmp_path / "f.safetensors", client=client)
    store = AcquisitionStore(calibrated)
    seen = {f: store.attrs(f"{f}/filtered/f")["trained_on"] for f in ("fov01", "fov02")}
    assert seen == {"fov01": True, "fov02": True}  # the one before counts as well


@pytest.mark.parametrize("changed", [{"width": 8}, {"frames_in": 3}, {"equalize": True}])
def test_a_filter_trained_further_keeps_its_network(calibrated, tmp_path, changed):
    with pytest.raises(SettingsError, match="do not go with --from"):
        card_of(calibrated, tmp_path, **{"width": None, **changed}, start_from="standard")
