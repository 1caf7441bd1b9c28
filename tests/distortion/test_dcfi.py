import weakref

import numpy as np
import pytest
from distortion.builders import make_series

from stemscale.distortion import integrate_frames, rolling_dcfi
from stemscale.distortion.dcfi import Accumulator
from stemscale.errors import DistortionError, FrameShapeError, SettingsError

N = 128


def _zigzag(count, reach=1.5):
    return np.random.default_rng(3).uniform(-reach, reach, (count, 2))


def test_a_series_is_aligned_and_its_mean_is_sharper_than_the_plain_one():
    """Row D3."""
    shifts = _zigzag(24)
    frames = make_series(4, N, shifts, dose=400.0)
    dcfi = integrate_frames([frames])
    assert dcfi.n_frames == 24
    error = dcfi.shifts - shifts
    assert np.sqrt(((error - error.mean(axis=0)) ** 2).mean()) < 0.12
    still = make_series(4, N, np.zeros((1, 2)) - error.mean(axis=0), dose=None)[0]
    inner = np.s_[4:-4, 4:-4]
    assert np.std((dcfi.image - still)[inner]) < 0.6 * np.std((frames.mean(axis=0) - still)[inner])


def test_averaging_lowers_the_noise_by_the_root_of_the_number_of_frames():
    frames = make_series(4, N, np.zeros((16, 2)), lag=False)
    clean = make_series(4, N, np.zeros((1, 2)), dose=None, lag=False)[0]
    noise = np.std(frames[0] - clean)
    dcfi = integrate_frames([frames])
    # 1/4, and less where sub-pixel shifts mix neighbours
    assert np.nanstd(dcfi.image - clean) < 0.27 * noise


def test_any_cut_into_blocks_gives_the_same():
    frames = make_series(4, 96, _zigzag(21))
    whole = integrate_frames([frames])
    parts = integrate_frames([frames[:1], frames[1:7], frames[7:]])
    np.testing.assert_array_equal(whole.image, parts.image)
    np.testing.assert_array_equal(whole.shifts, parts.shifts)


def test_a_drift_across_the_frame_is_followed_and_what_nobody_saw_is_nan():
    drift = np.arange(40)[:, None] * [[0.4, 1.7]]  # 66 px of 96 along x
    frames = make_series(4, 96, drift)
    dcfi = integrate_frames(frames[i : i + 4] for i in range(0, 40, 4))
    steps = np.diff(dcfi.shifts, axis=0)
    np.testing.assert_allclose(steps.mean(axis=0), [0.4, 1.7], atol=0.05)
    # the grid is where the first 16 frames are on average, 13 px on; only columns left of that
    # are never seen by later frames, but the first frame sees all from there on
    assert np.isfinite(dcfi.image[2:-2, :80]).all()
    assert np.isnan(dcfi.image).any()


def test_a_drift_beyond_the_whole_frame_is_followed():
    drift = np.arange(90)[:, None] * [[0.2, 2.0]]  # 178 px along x, of 160
    dcfi = integrate_frames([make_series(4, 160, drift)])
    # small errors add up where the reference moves on: 2 %, of a drift no frame saw whole
    np.testing.assert_allclose(dcfi.shifts - dcfi.shifts[0], drift, atol=4.0)


def test_a_frame_is_compared_with_the_mean_of_the_others():
    frames = np.random.default_rng(0).normal(size=(3, 6, 7)).astype(np.float32)
    total = Accumulator((6, 7))
    for frame, shift in zip(frames, [(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)], strict=True):
        total.add(frame, shift)
    before = total.mean()
    others = total.mean_without(frames[1], (1.0, 0.0))
    np.testing.assert_allclose(others, frames[[0, 2]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(total.mean(), before, atol=1e-6)


def test_blocks_are_not_kept():
    alive = []

    def blocks():
        for number in range(12):
            block = make_series(4, 48, np.zeros((4, 2)))
            alive.append(weakref.ref(block))
            yield block
            del block
            if number > 5:  # the first four blocks made the first reference
                assert [ref() is None for ref in alive[:-1]] == [True] * number

    assert integrate_frames(blocks()).n_frames == 48


def test_a_blank_frame_is_left_out_and_says_so():
    frames = make_series(4, 96, _zigzag(6))
    frames[2] = 77.0
    dcfi = integrate_frames([frames])
    assert dcfi.n_frames == 5
    assert np.isnan(dcfi.shifts[2]).all()
    assert np.isfinite(np.delete(dcfi.shifts, 2, axis=0)).all()


def test_one_frame_is_its_own_average():
    frames = make_series(4, 64, np.zeros((1, 2))).astype(np.uint16)
    dcfi = integrate_frames([frames])
    np.testing.assert_array_equal(dcfi.image, frames[0])
    np.testing.assert_array_equal(dcfi.shifts, [[0, 0]])


def test_no_frame_a_blank_series_and_mixed_shapes_are_refused():
    with pytest.raises(DistortionError, match="no frames"):
        integrate_frames([])
    with pytest.raises(DistortionError, match="blanked"):
        integrate_frames([np.full((3, 64, 64), 9)])
    with pytest.raises(FrameShapeError, match="frame 2 has shape"):
        integrate_frames([np.ones((2, 64, 64)), np.ones((2, 64, 65))])
    with pytest.raises(FrameShapeError, match="needed is"):
        integrate_frames([np.ones((64, 64))])


def test_a_rolling_average_stays_on_each_frames_own_grid():
    shifts = np.arange(9)[:, None] * [[0.0, 1.0]]
    frames = make_series(4, 96, shifts, dose=None)
    rolled = rolling_dcfi(frames, 5, shifts=shifts)
    assert rolled.dtype == np.float32
    # whole-pixel shifts and no noise: the average of aligned frames is each frame itself, but for
    # the first columns after the border, where the smear starts anew in every frame
    np.testing.assert_allclose(rolled[:, :, 30:-5], frames[:, :, 30:-5], rtol=2e-3)
    assert np.isfinite(rolled).all()


def test_a_rolling_average_of_one_frame_is_the_frame_and_an_odd_one_is_symmetric():
    frames = np.random.default_rng(0).normal(size=(5, 8, 8)).astype(np.float32)
    still = np.zeros((5, 2))
    np.testing.assert_array_equal(rolling_dcfi(frames, 1, shifts=still), frames)
    rolled = rolling_dcfi(frames, 3, shifts=still)
    np.testing.assert_allclose(rolled[2], frames[1:4].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rolled[0], frames[:2].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_window_without_frames_and_missing_shifts_are_refused():
    with pytest.raises(SettingsError, match="window is 0"):
        rolling_dcfi(np.zeros((2, 8, 8)), 0)
    with pytest.raises(DistortionError, match="1 shifts for 2 frames"):
        rolling_dcfi(np.zeros((2, 8, 8)), 1, shifts=np.zeros((1, 2)))
