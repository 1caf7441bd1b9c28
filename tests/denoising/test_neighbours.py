import numpy as np
import pytest
from denoising.builders import TINY, scan_of, tiny_filter, tiny_recipe

from stemscale.denoising import TrainingFov, denoise_frames, series_scale, train_filter
from stemscale.denoising.neighbours import neighbours
from stemscale.denoising.training_set import PatchSampler, prepare_fov
from stemscale.denoising.unet import UNetSettings

FIVE = UNetSettings(frames_in=5, width=4, depth=1, stem=2, residual=True)


@pytest.mark.parametrize(
    ("index", "frames_in", "n_frames", "expected"),
    [
        (3, 1, 10, [3]),
        (3, 5, 10, [1, 2, 3, 4, 5]),
        (0, 5, 10, [2, 1, 0, 1, 2]),
        (9, 5, 10, [7, 8, 9, 8, 7]),
        (0, 3, 1, [0, 0, 0]),
        (1, 7, 2, [0, 1, 0, 1, 0, 1, 0]),
    ],
)
def test_neighbours_are_mirrored_at_the_ends(index, frames_in, n_frames, expected):
    assert neighbours(index, frames_in, n_frames) == expected


def test_a_part_of_a_series_with_its_neighbours_gives_what_the_whole_series_gives():
    frames = scan_of(32, frames=9).rapid
    filter = tiny_filter(network=FIVE)
    scale = series_scale(frames)
    whole = denoise_frames(frames, filter, scale=scale)
    for start, stop in [(0, 3), (3, 6), (6, 9)]:
        first, last = max(0, start - 2), min(9, stop + 2)
        mine = slice(start - first, stop - first)
        part = denoise_frames(frames[first:last], filter, scale=scale, which=mine, batch=2)
        np.testing.assert_allclose(part, whole[start:stop], rtol=1e-5)


def test_a_filter_of_five_frames_looks_two_frames_far():
    frames = scan_of(32, frames=9).rapid
    filter = tiny_filter(network=FIVE)
    scale = series_scale(frames)
    before = denoise_frames(frames, filter, scale=scale)
    frames[4] += 500
    changed = np.abs(denoise_frames(frames, filter, scale=scale) - before).max(axis=(1, 2)) > 0
    assert changed.tolist() == [False, False, True, True, True, True, True, False, False]


def coded(n_frames=6):
    """Frame n holds n everywhere; rows and columns cannot be told."""
    frames = np.broadcast_to(
        np.arange(n_frames, dtype=np.float32)[:, None, None], (n_frames, 64, 64)
    )
    target = np.linspace(0, 5, 64 * 64, dtype=np.float32).reshape(64, 64)
    return TrainingFov(name="fov", frames=frames + target / 1e6, target=target)


def test_patches_hold_the_frames_around_in_the_order_of_time():
    recipe = tiny_recipe(
        network=FIVE, flip_y=False, gain_jitter=0.0, offset_jitter=0.0, background_px=None
    )
    part = prepare_fov(coded(), recipe)
    batch = PatchSampler([part], recipe, 0).draw(0)
    numbers = np.rint(batch.inputs[:, :, 0, 0] * part.scale.spread + part.scale.center)
    for row in numbers.astype(int).tolist():
        assert row == neighbours(row[2], 5, 6)


def test_motion_moves_the_neighbours_and_never_the_frame_itself():
    scan = scan_of(96, frames=1)
    scan.rapid[0] = np.arange(96 * 96, dtype=np.float32).reshape(96, 96)
    recipe = tiny_recipe(
        network=FIVE, motion_px=2.0, flip_y=False, gain_jitter=0.0, offset_jitter=0.0, patch_px=16
    )
    part = prepare_fov(TrainingFov(name="fov", frames=scan.rapid, target=scan.rapid[0]), recipe)
    still = PatchSampler([part], tiny_recipe(network=TINY, patch_px=16), 0)
    del still
    batch = PatchSampler([part], recipe, 1).draw(0)
    counts = batch.inputs[:, :, 0, 0] * part.scale.spread + part.scale.center
    rows, columns = np.divmod(np.rint(counts).astype(int), 96)
    away = np.hypot(rows - rows[:, 2:3], columns - columns[:, 2:3])
    assert (away[:, [0, 1, 3, 4]] > 0).any()
    assert away.max() < 20
    target = np.rint(batch.targets[:, 0, 0] * part.scale.spread + part.scale.center)
    # match_target leaves a smooth background, so the place is known to some pixels of a row
    assert np.abs(target - counts[:, 2]).max() < 96 * 4


def test_five_frames_filter_a_still_scene_better_than_one():
    def score(frames_in):
        from stemscale.quality import psnr_without_background

        network = UNetSettings(frames_in=frames_in, width=8, depth=1, stem=2, residual=True)
        recipe = tiny_recipe(network=network, patch_px=32)
        fovs = [scan_of(64, frames=6, seed=seed).fov(f"fov{seed}") for seed in range(3)]
        trained = train_filter(fovs, recipe=recipe, epochs=10)
        scan = scan_of(64, frames=5, seed=9)
        filtered = denoise_frames(scan.rapid, trained, scale=series_scale(scan.rapid))
        return psnr_without_background(filtered[2], scan.truth)

    assert score(5) > score(1) + 1
