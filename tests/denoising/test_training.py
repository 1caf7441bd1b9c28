import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from denoising.builders import TINY, scan_of, tiny_recipe

from stemscale.denoising import TrainingFov, denoise_frames, series_scale, train_filter
from stemscale.denoising.steps import weighted_mse
from stemscale.denoising.training_run import _rate
from stemscale.errors import FrameShapeError, SettingsError, TrainingError
from stemscale.quality import lag_tail, psnr_without_background


def small_training(**arguments):
    settings = {"recipe": tiny_recipe(patch_px=32), "epochs": 1, **arguments}
    return train_filter([scan_of(48, frames=3).fov()], **settings)


def weights(trained):
    return torch.cat([w.ravel() for w in trained.network.state_dict().values()])


def test_a_filter_removes_noise_and_smear_from_frames_it_never_saw(learned):
    """Row F1: a U-net from rapid frames to the slow scan, on a FOV held out."""
    trained, _ = learned
    scan = scan_of(128, frames=4, seed=77)
    filtered = denoise_frames(scan.rapid, trained, scale=series_scale(scan.rapid))

    def score(frames):
        return np.mean([psnr_without_background(frame, scan.truth) for frame in frames])

    def tail(frames):
        return np.mean([lag_tail(frame, scan.truth).weight for frame in frames])

    assert score(filtered) > score(scan.rapid) + 3
    assert abs(tail(filtered)) < tail(scan.rapid) / 2


def test_the_output_is_on_the_scale_of_the_frames(learned):
    trained, _ = learned
    scan = scan_of(128, frames=2, seed=78)
    filtered = denoise_frames(scan.rapid, trained, scale=series_scale(scan.rapid))
    wanted = 300 * scan.truth + 2000
    gain, _ = np.polyfit(wanted.ravel(), filtered.mean(axis=0).ravel(), 1)
    assert gain == pytest.approx(1, abs=0.25)
    assert filtered.mean() == pytest.approx(wanted.mean(), rel=0.03)


def test_progress_is_told(learned):
    _, events = learned
    last = events[-1]
    assert last.share == 1
    assert last.epoch == 24
    assert last.eta_s == 0
    assert last.patches_per_s > 0
    assert last.validation_psnr > last.validation_psnr_rapid + 2
    assert last.loss < events[0].loss
    assert [e.step for e in events] == sorted(e.step for e in events)


def test_the_card_says_what_the_filter_is(learned):
    card = learned[0].card
    assert json.loads(json.dumps(card)) == card
    assert card["architecture"] == {"name": "unet", "arguments": asdict(TINY)}
    assert card["target"] == "slow"
    training = card["training"]
    assert len(training["fovs"]) == 3
    assert len(training["validation_fovs"]) == 1
    assert not set(training["fovs"]) & set(training["validation_fovs"])
    assert (training["held_out"], training["frames"], training["epochs"]) == ("FOVs", 18, 24)
    assert card["scores"]["validation_psnr_db"] > card["scores"]["validation_psnr_rapid_db"]


def test_the_same_seed_gives_the_same_weights():
    state = torch.get_rng_state()
    one = small_training(seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's numbers change
    torch.manual_seed(12345)
    same, other = small_training(seed=3), small_training(seed=4)
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_a_listener_changes_nothing():
    assert torch.equal(weights(small_training()), weights(small_training(listener=print_nothing)))


def print_nothing(progress):
    del progress


def test_training_by_the_clock_ends_in_time():
    start = time.monotonic()
    events = []
    small_training(epochs=None, minutes=0.02, listener=events.append)  # 1.2 s
    assert 1.1 < time.monotonic() - start < 4
    assert events[-1].share == 1


def test_threads_are_set_for_the_training_only():
    assert small_training(threads=2).card["training"]["threads"] == 2
    assert torch.get_num_threads() == 1


def test_extras_join_the_card():
    extras = {"scan": {"dwell_time_ns": 100}, "licence": "CC-BY-4.0"}
    card = small_training(target="dcfi", card_extras=extras).card
    assert card["scan"] == {"dwell_time_ns": 100}
    assert card["licence"] == "CC-BY-4.0"
    assert card["target"] == "dcfi"


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 1.0},
        {"epochs": 0},
        {"epochs": None, "minutes": 0.0},
        {"card_extras": {"scores": 1}},
    ],
    ids=str,
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError):
        small_training(**wrong)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(TrainingError, match="no FOV"):
        train_filter([], recipe=tiny_recipe())


def test_a_loss_that_is_no_number_stops_the_training():
    with pytest.raises(TrainingError, match="step"):
        small_training(recipe=tiny_recipe(rate=1e30, patch_px=32), epochs=20)


def test_the_paper_recipe_trains_too():
    """Row F3, at a width and length that a test can pay."""
    from dataclasses import replace

    from stemscale.denoising import UNetSettings, find_recipe

    recipe = replace(find_recipe("paper"), network=UNetSettings(width=4))
    trained = train_filter([scan_of(64, frames=2).fov()], recipe=recipe, epochs=1)
    scan = scan_of(64, frames=1, seed=5)
    filtered = denoise_frames(scan.rapid, trained, scale=series_scale(scan.rapid))
    assert np.isfinite(filtered).all()
    assert trained.normalisation == "frame_min_max"


def test_the_rate_rises_then_falls_along_a_cosine():
    recipe = tiny_recipe(rate=1.0, warmup=0.2)
    assert [_rate(recipe, share) for share in (0.1, 0.2, 0.6, 1.0)] == pytest.approx(
        [0.5, 1.0, 0.5, 0.0]
    )
    constant = tiny_recipe(rate=1.0, warmup=0.0, schedule="constant")
    assert _rate(constant, 0.0) == _rate(constant, 0.9) == 1.0


def test_pixels_without_weight_do_not_count_in_the_loss():
    output, target = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.0, 0.0, 0.0])
    assert weighted_mse(output, target, torch.tensor([1.0, 1.0, 0.0])) == 2.5  # (1 + 4) / 2


def test_a_training_may_start_from_a_filter():
    first = small_training(seed=1)
    barely = tiny_recipe(patch_px=32, rate=1e-12, average_decay=None, patience=None)
    further = small_training(seed=2, recipe=barely, start_from=first)
    torch.testing.assert_close(weights(further), weights(first), atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": tiny_recipe().network.__class__(width=4, depth=1)}, "network"),
        ({"normalisation": "frame_min_max"}, "normalisation"),
    ],
    ids=["network", "normalisation"],
)
def test_a_filter_of_another_kind_is_no_start(changed, message):
    recipe = tiny_recipe(patch_px=32, **changed)
    with pytest.raises(SettingsError, match=f"has {message}"):
        small_training(recipe=recipe, start_from=small_training())


def test_a_checkpoint_of_a_training_from_another_filter_is_refused(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    checkpoint = tmp_path / "f.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        small_training(
            start_from=small_training(seed=1), checkpoint=checkpoint, listener=interrupt, epochs=9
        )
    with pytest.raises(TrainingError, match="cut short"):
        small_training(start_from=small_training(seed=2), checkpoint=checkpoint, epochs=9)


def taught_fov(taught):
    fov = scan_of(48, frames=3).fov()
    return replace(fov, taught=taught)


def test_a_filter_learns_what_a_larger_one_makes_of_each_frame():
    scan = scan_of(64, frames=4, seed=3)
    doubled = np.float32(2 * (scan.rapid - scan.rapid.mean()) + scan.rapid.mean())
    recipe = tiny_recipe(patch_px=32, background_px=None, gain_jitter=0.0, offset_jitter=0.0)
    made = train_filter(
        [TrainingFov(name="a", frames=scan.rapid, target=scan.slow, taught=doubled)],
        recipe=recipe,
        epochs=60,
        seed=1,
    )
    output = denoise_frames(scan.rapid, made, scale=series_scale(scan.rapid))
    contrast = [np.std(f - scan.rapid.mean()) for f in (output, scan.rapid)]
    assert contrast[0] > 1.7 * contrast[1]  # the slow scan has less, for it has no noise


@pytest.mark.parametrize(
    "changed", [{"dose_jitter": 0.2}, {"normalisation": "frame_min_max"}], ids=str
)
def test_what_is_taught_must_fit_the_frames_that_are_drawn(changed):
    fov = taught_fov(np.zeros((3, 48, 48), dtype=np.float32))
    with pytest.raises(SettingsError, match="taught by a filter"):
        train_filter([fov], recipe=tiny_recipe(patch_px=32, **changed), epochs=1)


def test_what_is_taught_has_the_shape_of_the_frames():
    with pytest.raises(FrameShapeError, match="what is taught"):
        taught_fov(np.zeros((2, 48, 48), dtype=np.float32))
