import numpy as np
import pytest
import torch
from denoising.builders import scan_of, tiny_recipe

from stemscale.denoising import train_filter
from stemscale.errors import TrainingError


def weights(trained):
    return torch.cat([w.ravel() for w in trained.network.state_dict().values()])


def fovs():
    return [scan_of(48, frames=3, seed=seed).fov(f"fov{seed}") for seed in range(3)]


def train(**arguments):
    settings = {"recipe": tiny_recipe(patch_px=32, batch=4), "epochs": 4, "seed": 5, **arguments}
    return train_filter(fovs(), **settings)


class Interruption:
    """Ctrl-C at a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, progress):
        if progress.step >= self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 8, 13])
@pytest.mark.parametrize("patience", [None, 3])
def test_an_interrupted_training_goes_on_to_the_weights_of_an_undisturbed_one(
    tmp_path, step, patience, monkeypatch
):
    monkeypatch.setattr("stemscale.denoising.training_run._EVENT_EVERY_S", 0)  # told at each step
    recipe = tiny_recipe(patch_px=32, batch=4, patience=patience)
    checkpoint = tmp_path / "f.checkpoint"
    undisturbed = train(recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        train(recipe=recipe, checkpoint=checkpoint, listener=Interruption(step))
    assert checkpoint.is_file()
    again = train(recipe=recipe, checkpoint=checkpoint)
    assert torch.equal(weights(again), weights(undisturbed))
    assert again.card["training"]["steps"] == undisturbed.card["training"]["steps"]
    assert again.card["scores"] == undisturbed.card["scores"]


def test_a_checkpoint_is_written_after_epochs_too(tmp_path, monkeypatch):
    monkeypatch.setattr("stemscale.denoising.training_run._SAVE_EVERY_S", 0)
    checkpoint = tmp_path / "f.checkpoint"
    train(checkpoint=checkpoint, epochs=2)
    assert checkpoint.is_file()


@pytest.mark.parametrize("other", [{"seed": 6}, {"epochs": 5}, {"recipe": tiny_recipe(rate=1e-3)}])
def test_the_checkpoint_of_another_training_is_refused(tmp_path, other):
    checkpoint = tmp_path / "f.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=checkpoint, listener=Interruption(1))
    with pytest.raises(TrainingError, match=r"other data, recipe, length, seed.*--overwrite"):
        train(checkpoint=checkpoint, **other)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    checkpoint = tmp_path / "f.checkpoint"
    checkpoint.write_bytes(content)
    with pytest.raises(TrainingError, match="not a whole checkpoint"):
        train(checkpoint=checkpoint)


def test_a_training_that_gets_no_better_ends_and_keeps_its_best_weights():
    recipe = tiny_recipe(patch_px=32, batch=4, rate=0.3, patience=2, average_decay=None)
    trained = train(recipe=recipe, epochs=60)
    training = trained.card["training"]
    assert training["epochs"] < 60
    assert "no better" in training["stopped"]
    best = max(psnr for _, _, psnr in training["curve"])
    assert trained.card["scores"]["validation_psnr_db"] == pytest.approx(best, abs=0.01)


def test_the_card_keeps_the_learning_curve():
    curve = train(epochs=3).card["training"]["curve"]
    shares, losses, _ = np.array(curve, dtype=float).T
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 1], atol=1e-5)
    assert (losses > 0).all()
