import numpy as np
import pytest
from denoising.builders import scan_of, tiny_recipe

from stemscale.denoising import PRESETS, TrainingFov
from stemscale.denoising.training_set import PatchSampler, prepare_fov, split_fovs
from stemscale.errors import FrameShapeError, TrainingError


def parts(n, **builder):
    settings = {"size": 64, "frames": 5, **builder}
    return [
        prepare_fov(scan_of(**settings, seed=seed).fov(f"fov{seed}"), tiny_recipe())
        for seed in range(n)
    ]


def sampler(of, seed=0, **recipe):
    return PatchSampler(of, tiny_recipe(**recipe), seed)


@pytest.mark.parametrize(("n", "n_held_out"), [(3, 1), (6, 1), (10, 2), (50, 10)])
def test_whole_fovs_are_held_out(n, n_held_out):
    """Row F3: 20 % for validation, and never patches of a FOV that is trained on."""
    split = split_fovs(parts(1) * n, share=0.2, rng=np.random.default_rng(0))
    assert (len(split.training), len(split.validation)) == (n - n_held_out, n_held_out)
    assert split.held_out == "FOVs"


def test_of_one_fov_the_last_frames_and_the_lowest_rows_are_held_out():
    split = split_fovs(parts(1), share=0.2, rng=np.random.default_rng(0))
    (training,), (validation,) = split.training, split.validation
    assert (training.which, training.rows) == ((0, 1, 2, 3), slice(0, 51))
    assert (validation.which, validation.rows) == ((4,), slice(51, 64))
    assert "rows" in split.held_out


def test_of_a_single_frame_the_lowest_rows_are_held_out():
    split = split_fovs(parts(1, frames=1), share=0.2, rng=np.random.default_rng(0))
    assert split.training[0].which == split.validation[0].which == (0,)
    assert split.training[0].rows.stop == split.validation[0].rows.start


def test_no_patch_comes_from_a_held_out_row_or_frame():
    scan = scan_of(64, frames=5)
    scan.rapid[4], scan.rapid[:, 51:] = 1e9, 1e9
    fov = prepare_fov(scan.fov(), PRESETS["paper"])  # min-max by frame: 1e9 shows as 1
    (training,) = split_fovs([fov], share=0.2, rng=np.random.default_rng(0)).training
    drawn = [
        sampler([training], seed=seed, gain_jitter=0.0, offset_jitter=0.0, patch_px=24).draw(0)
        for seed in range(20)
    ]
    assert max(batch.inputs.max() for batch in drawn) < 0.1


def test_patches_of_lower_rows_come_from_there():
    scan = scan_of(64, frames=5)
    scan.rapid[:, 51:] = 1e9
    fov = prepare_fov(scan.fov(), PRESETS["paper"])
    (held_out,) = split_fovs([fov], share=0.2, rng=np.random.default_rng(0)).validation
    drawn = sampler([held_out], gain_jitter=0.0, offset_jitter=0.0).draw(0)
    assert drawn.inputs.shape == (8, 1, 13, 48)
    assert drawn.inputs.min() == 1


def test_the_same_seed_draws_the_same_patches():
    fovs = parts(2)
    one, same, other = (sampler(fovs, seed=seed).draw(0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.inputs, same.inputs)
    np.testing.assert_array_equal(one.targets, same.targets)
    assert not np.array_equal(one.inputs, other.inputs)


def test_unseen_pixels_have_no_weight_and_a_harmless_value():
    scan = scan_of(64, frames=2)
    scan.rapid[:, :, :12] = np.nan
    scan.slow[:6] = np.nan
    batch = sampler([prepare_fov(scan.fov(), tiny_recipe())], flip_y=False).draw(0)
    assert np.isfinite(batch.inputs).all()
    assert np.isfinite(batch.targets).all()
    assert 0.5 < batch.weights.mean() < 1
    assert np.abs(batch.inputs).max() < 10


def test_a_pixel_that_one_frame_did_not_see_has_no_weight_there():
    scan = scan_of(64, frames=2)
    scan.rapid[0, 30:34, 30:34] = np.nan
    recipe = {"patch_px": 64, "batch": 16, "flip_y": False}
    batch = sampler([prepare_fov(scan.fov(), tiny_recipe(**recipe))], **recipe).draw(0)
    assert set(batch.weights.mean(axis=(1, 2))) == {1, np.float32(1 - 16 / 64**2)}


def test_patches_that_are_hardly_seen_are_not_drawn():
    scan = scan_of(64, frames=2)
    scan.slow[:, :40] = np.nan
    drawn = sampler([prepare_fov(scan.fov(), tiny_recipe())], patch_px=16, batch=64).draw(0)
    assert drawn.weights.mean(axis=(1, 2)).min() >= 0.5


def test_an_epoch_draws_every_pixel_once_on_average():
    # 2 FOVs x 5 frames x 64² px in patches of 16² px: 160 patches, 20 steps of 8
    drawn = sampler(parts(2), patch_px=16)
    assert drawn.patches_per_epoch == 160


def test_patches_are_never_larger_than_the_frames():
    drawn = sampler(parts(1), patch_px=500).draw(0)
    assert drawn.inputs.shape == (8, 1, 64, 64)


def test_input_and_target_show_the_same_place():
    # every pixel of the target has its own value; frame n shows it plus 5,000 n
    codes = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    frames = codes + np.float32([[[0]], [[5000]], [[10000]]])
    fov = TrainingFov(name="fov", frames=frames, target=codes)
    part = prepare_fov(fov, tiny_recipe(background_px=None))
    batch = sampler([part], flip_y=False, gain_jitter=0.0, offset_jitter=0.0).draw(0)
    steps = (batch.inputs[:, 0] - batch.targets) * part.scale.spread / 5000
    assert {round(float(step), 3) for step in steps[:, 0, 0]} == {0.0, 1.0, 2.0}
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_the_paper_scales_every_image_by_itself():
    """Row F3."""
    scan = scan_of(64, frames=3)
    part = prepare_fov(scan.fov(), PRESETS["paper"])
    assert (part.target.min(), part.target.max()) == (0, 1)
    assert part.frame_scale(1).center == scan.rapid[1].min()


def test_frames_and_target_of_different_shapes_are_refused():
    with pytest.raises(FrameShapeError, match=r"fov7.*\(2, 8, 9\).*\(8, 8\)"):
        TrainingFov(name="fov7", frames=np.ones((2, 8, 9)), target=np.ones((8, 8)))


def test_a_fov_without_a_common_view_is_refused():
    scan = scan_of(64, frames=2)
    scan.slow[:] = np.nan
    part = prepare_fov(scan.fov("fov9"), tiny_recipe(background_px=None))
    with pytest.raises(TrainingError, match="fov9"):
        sampler([part])


def test_a_fov_without_frames_is_refused():
    fov = TrainingFov(name="fov3", frames=np.ones((0, 8, 8)), target=np.ones((8, 8)))
    with pytest.raises(TrainingError, match="fov3"):
        prepare_fov(fov, tiny_recipe())
