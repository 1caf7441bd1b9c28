import numpy as np
import pytest

from stemscale.denoise.augmentation import Batch, augment

N = 64
# every pixel has its own value, so that any turn shows
PATCH = np.arange(12, dtype=np.float32).reshape(3, 4)


def batch() -> Batch:
    inputs = np.stack([PATCH] * N)
    return Batch(inputs=inputs, targets=10 + inputs, weights=(inputs > 3).astype(np.float32))


def test_patches_are_flipped_along_y_and_never_along_x_nor_turned():
    """The smear has a direction: a filter that saw it both ways removes it half."""
    result = augment(batch(), np.random.default_rng(0), flip_y=True, gain_jitter=0, offset_jitter=0)
    as_it_was = [np.array_equal(patch, PATCH) for patch in result.inputs]
    upside_down = [np.array_equal(patch, PATCH[::-1]) for patch in result.inputs]
    assert all(a or b for a, b in zip(as_it_was, upside_down, strict=True))
    assert 20 < sum(upside_down) < 44  # half of 64, ± 3 standard deviations


def test_lines_keep_their_direction_whatever_the_jitter():
    result = augment(
        batch(), np.random.default_rng(1), flip_y=True, gain_jitter=0.3, offset_jitter=0.3
    )
    assert np.all(np.diff(result.inputs, axis=-1) > 0)


def test_input_target_and_weight_stay_together():
    result = augment(
        batch(), np.random.default_rng(2), flip_y=True, gain_jitter=0.2, offset_jitter=0.2
    )
    gain = np.diff(result.inputs, axis=-1)[:, 0, 0]
    np.testing.assert_allclose(
        result.targets - result.inputs,
        np.broadcast_to(10 * gain[:, None, None], (N, 3, 4)),
        rtol=1e-4,
    )
    upside_down = result.inputs[:, 0, 0] > result.inputs[:, 2, 0]
    np.testing.assert_array_equal(result.weights[:, 0, 0] == 1, upside_down)


def test_gain_and_offset_vary_as_asked():
    flat = Batch(
        inputs=np.tile(np.float32([[0, 1]]), (4000, 1, 1)),
        targets=np.zeros((4000, 1, 2), np.float32),
        weights=np.ones((4000, 1, 2), np.float32),
    )
    result = augment(
        flat, np.random.default_rng(3), flip_y=False, gain_jitter=0.2, offset_jitter=0.1
    )
    assert np.std(result.inputs[:, 0, 0]) == pytest.approx(0.1, rel=0.1)
    assert np.std(np.log(np.diff(result.inputs)[:, 0, 0])) == pytest.approx(0.2, rel=0.1)


def test_nothing_asked_changes_nothing():
    before = batch()
    after = augment(before, np.random.default_rng(4), flip_y=False, gain_jitter=0, offset_jitter=0)
    np.testing.assert_array_equal(after.inputs, before.inputs)
