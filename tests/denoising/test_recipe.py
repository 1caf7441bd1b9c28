from dataclasses import FrozenInstanceError, fields, replace

import pytest

from stemscale.denoising import PRESETS, Recipe, UNetSettings, find_recipe
from stemscale.errors import SettingsError


def test_the_paper_preset_is_the_recipe_of_the_paper():
    """Rows F1 and F3."""
    paper = find_recipe("paper")
    assert paper.network == UNetSettings(width=64, depth=4, stem=1, residual=False)
    assert (paper.patch_px, paper.loss, paper.rate, paper.epochs) == (64, "mse", 1e-3, 100)
    assert (paper.schedule, paper.validation_share) == ("constant", 0.2)
    assert paper.normalisation == "frame_min_max"
    assert not any([paper.flip_y, paper.gain_jitter, paper.offset_jitter, paper.background_px])


def test_no_recipe_can_ask_for_a_flip_along_x():
    assert {f.name for f in fields(Recipe) if "flip" in f.name or "rot" in f.name} == {"flip_y"}


def test_presets_are_frozen():
    with pytest.raises(FrozenInstanceError):
        PRESETS["standard"].rate = 1.0
    with pytest.raises(TypeError):
        PRESETS["standard"] = PRESETS["paper"]


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r'"best".*standard, live, paper'):
        find_recipe("best")


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_px": 0},
        {"batch": 0},
        {"epochs": 0},
        {"rate": 0.0},
        {"validation_share": 1.0},
        {"warmup": 1.0},
        {"average_decay": 1.0},
        {"frames": 0},
        {"patience": 0},
        {"lag_jitter": -0.1},
    ],
    ids=str,
)
def test_recipes_that_make_no_training_are_refused(wrong):
    with pytest.raises(SettingsError):
        replace(PRESETS["standard"], **wrong)
