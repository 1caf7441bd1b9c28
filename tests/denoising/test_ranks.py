"""Several devices train one network: two processes of a CPU, over gloo, as GPUs do over NCCL."""

from contextlib import suppress

import numpy as np
import psutil
import pytest
import torch
from denoising.builders import scan_of, tiny_recipe

from stemscale.denoising import train_filter
from stemscale.denoising.augmentation import Batch
from stemscale.denoising.training_set import PatchSampler
from stemscale.errors import TrainingError

TWO = ("cpu", "cpu")


def weights(trained):
    return torch.cat([w.ravel() for w in trained.network.state_dict().values()])


def helpers():
    children = psutil.Process().children()
    return [child for child in children if "spawn_main" in command_of(child)]


def command_of(process):
    with suppress(psutil.NoSuchProcess):  # or ended, and not asked for its exit code yet
        return " ".join(process.cmdline())
    return ""


def are_gone():
    """Whether no helper is left; one that was told to end may take a moment."""
    _, alive = psutil.wait_procs(helpers(), timeout=30)
    return not alive


def train(**arguments):
    fovs = [scan_of(48, frames=4, seed=seed).fov(f"fov{seed}") for seed in range(3)]
    settings = {"recipe": tiny_recipe(patch_px=32, batch=3), "epochs": 8, "seed": 5, **arguments}
    return train_filter(fovs, threads=2, **settings)


@pytest.fixture(scope="module")
def by_two():
    return train(device=TWO)


def test_two_devices_take_the_steps_of_one_that_sees_both_batches(by_two, monkeypatch):
    draw = PatchSampler.draw

    def draw_both(sampler, number):
        first, second = draw(sampler, 2 * number), draw(sampler, 2 * number + 1)
        both = [np.concatenate([getattr(b, k) for b in (first, second)]) for k in Batch.__slots__]
        return Batch(**dict(zip(Batch.__slots__, both, strict=True)))

    monkeypatch.setattr(PatchSampler, "draw", draw_both)
    alone = train(epochs=4)  # its epochs have twice the steps
    done = by_two.card["training"]
    assert done["steps"] == alone.card["training"]["steps"] == 24
    assert done["patches"] == 6 * done["steps"]
    assert done["device"] == "cpu,cpu"
    assert torch.allclose(weights(by_two), weights(alone), atol=1e-4)


def test_the_same_seed_gives_the_same_filter_again(by_two):
    assert torch.equal(weights(by_two), weights(train(device=TWO)))


def test_an_interrupted_training_of_two_devices_goes_on(by_two, tmp_path):
    def interrupt(progress):
        if progress.epoch >= 3:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "f.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(device=TWO, checkpoint=checkpoint, listener=interrupt)
    assert are_gone()
    with pytest.raises(TrainingError, match="number of devices"):
        train(checkpoint=checkpoint)
    again = train(device=TWO, checkpoint=checkpoint)
    assert torch.equal(weights(again), weights(by_two))


def test_a_device_whose_process_ends_ends_the_training_with_its_reason(monkeypatch):
    monkeypatch.setattr("stemscale.denoising.training_run._EVENT_EVERY_S", 0)  # told at each step

    def kill(progress):
        for process in helpers():
            process.kill()

    with pytest.raises(TrainingError, match=r"process of a device has ended: .*SIGKILL"):
        train(device=TWO, listener=kill)
    assert are_gone()
