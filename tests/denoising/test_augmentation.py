import numpy as np
import pytest

from stemscale.denoising.augmentation import Batch, augment, delayed, dose_weights

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


def test_the_signal_that_is_delayed_comes_later_and_none_is_lost():
    line = np.zeros((1, 64), dtype=np.float32)
    line[0, 8] = 1.0
    late = delayed(line, share=0.3, tail_px=4.0)
    keep = np.exp(-1 / 4.0)
    expected = 0.3 * (1 - keep) * keep ** np.arange(56)
    expected[0] += 0.7
    np.testing.assert_allclose(late[0, 8:], expected, atol=1e-6)
    assert not late[0, :8].any()
    assert late.sum() == pytest.approx(1, abs=1e-5)


def test_a_constant_line_stays_as_it_is():
    line = np.full((2, 3, 16), 7.0, dtype=np.float32)
    np.testing.assert_allclose(delayed(line, share=0.5, tail_px=9.0), 7.0, rtol=1e-6)


def test_lag_is_added_to_the_inputs_alone():
    rng = np.random.default_rng(0)
    batch = Batch(
        inputs=rng.normal(size=(6, 1, 8, 32)).astype(np.float32),
        targets=rng.normal(size=(6, 8, 32)).astype(np.float32),
        weights=np.ones((6, 8, 32), dtype=np.float32),
    )
    varied = augment(batch, np.random.default_rng(1), lag_jitter=0.2)
    np.testing.assert_array_equal(varied.targets, batch.targets)
    assert not np.allclose(varied.inputs, batch.inputs)


def test_mixing_two_frames_changes_the_dose_within_what_two_frames_can_give():
    rng = np.random.default_rng(0)
    weights = np.array([dose_weights(rng, 0.5) for _ in range(2000)])
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    variance = (weights**2).sum(axis=1)
    assert variance.min() >= 0.5 - 1e-9
    assert variance.max() <= 4 + 1e-9
    assert np.log(variance).std() == pytest.approx(0.45, abs=0.06)
    # w² + (1 - w)² = 2: w = (1 + √3) / 2
    assert dose_weights(rng, 0.0, scale=0.5)[0] == pytest.approx((1 + np.sqrt(3)) / 2)
    assert dose_weights(rng, 0.0, scale=9)[0] == pytest.approx(0.5)
