import weakref

import numpy as np
import pytest
from distortion.builders import make_series
from scipy.ndimage import gaussian_filter

from stemscale.distortion import DriftSearch, group_bounds, integrate_frames, rolling_dcfi
from stemscale.distortion.accumulator import move_mean
from stemscale.distortion.dcfi import _in_groups
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
    frames = make_series(4, 64, _zigzag(75))
    whole = integrate_frames([frames])
    parts = integrate_frames([frames[:1], frames[1:7], frames[7:74], frames[74:]])
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


@pytest.mark.parametrize("step", [(0.2, 2.0), (2.0, -0.2), (-1.5, 1.2)])
def test_a_drift_beyond_the_whole_frame_is_followed(step):
    drift = np.arange(90)[:, None] * [step]  # up to 178 px of 160
    dcfi = integrate_frames([make_series(4, 160, drift)])
    # small errors add up where the reference moves on: 2 %, of a drift no frame saw whole
    np.testing.assert_allclose(dcfi.shifts - dcfi.shifts[0], drift, atol=4.0)


def test_blocks_are_not_kept():
    alive = []

    def blocks():
        for _ in range(25):
            block = make_series(4, 48, np.zeros((4, 2)))
            alive.append(weakref.ref(block))
            yield block
            del block
            # at most one group of 32 frames and the beginning of the next are held
            assert all(ref() is None for ref in alive[:-12])

    assert integrate_frames(blocks()).n_frames == 100


@pytest.mark.parametrize(
    ("n_frames", "shape", "lengths"),
    [
        (1, (512, 512), [1]),
        (33, (512, 512), [33]),
        (40, (512, 512), [32, 8]),
        (71, (64, 64), [32, 39]),
        (13, (2048, 2048), [8, 5]),
        (9, (4096, 4096), [4, 5]),
        (10, (4096, 4096), [4, 4, 2]),
        (20, (512, 4096), [16, 4]),
        (37, (4096, 512), [16, 16, 5]),
        (0, (64, 64), []),
    ],
)
def test_a_series_is_cut_into_groups_and_none_is_left_with_a_frame_or_two(n_frames, shape, lengths):
    bounds = group_bounds(n_frames, shape)
    assert [stop - start for start, stop in bounds] == lengths
    assert [b[0] for b in bounds[1:]] == [b[1] for b in bounds[:-1]]


@pytest.mark.parametrize("n_frames", [0, 1, 31, 32, 39, 40, 64, 71, 100])
def test_a_stream_of_frames_is_cut_as_a_series_is(n_frames):
    groups = list(_in_groups(iter(np.zeros((n_frames, 4, 4)))))
    assert [len(g) for g in groups] == [b - a for a, b in group_bounds(n_frames, (4, 4))]


def test_how_to_look_for_shifts_is_passed_on():
    frames = make_series(4, 64, _zigzag(6))
    other = integrate_frames([frames], search=DriftSearch(smooth_px=4.0))
    assert np.abs(other.shifts - integrate_frames([frames]).shifts).max() > 0.05


def test_errors_do_not_add_up_from_group_to_group():
    walk = np.cumsum(np.random.default_rng(8).normal(0, 0.3, (160, 2)), axis=0)
    dcfi = integrate_frames([make_series(4, N, walk)])
    error = dcfi.shifts - walk
    error -= error[:32].mean(axis=0)
    by_group = error.reshape(5, 32, 2).mean(axis=1)
    assert np.abs(by_group).max() < 0.15
    assert np.sqrt((error**2).mean()) < 0.2  # of one frame of 128 px: 0.17


def test_a_scene_that_changes_slowly_is_followed():
    drift = np.arange(96)[:, None] * [[0.05, -0.08]]
    share = np.linspace(0, 1, 96)[:, None, None]
    frames = (1 - share) * make_series(4, N, drift) + share * make_series(9, N, drift)
    found = integrate_frames([frames]).shifts
    np.testing.assert_allclose(found - found.mean(axis=0), drift - drift.mean(axis=0), atol=0.8)


def test_a_second_interpolation_keeps_fine_detail():
    """Groups are moved once more, by a fraction of a pixel."""
    y, x = np.mgrid[:64, :64]
    wave = 100 + np.sin(2 * np.pi * x / 3) + np.cos(2 * np.pi * y / 3.5)
    moved, weights, rows, columns = move_mean(wave, np.ones((64, 64)), (0.5, 0.5))
    true = 100 + np.sin(2 * np.pi * (x + 0.5) / 3) + np.cos(2 * np.pi * (y + 0.5) / 3.5)
    inner = np.s_[10:-10, 10:-10]
    kept = (moved - 100)[inner].std() / (true[rows, columns] - 100)[inner].std()
    assert kept > 0.98
    assert (weights == 1).all()


def test_pixels_beside_unseen_ones_stay_unseen_when_a_mean_is_moved():
    mean = np.full((20, 20), 5.0, dtype=np.float32)
    weights = np.full((20, 20), 3.0)
    mean[:, :4], weights[:, :4] = np.nan, 0
    moved, weight, _, columns = move_mean(mean, weights, (0.0, -0.4))
    assert columns == slice(1, 20)
    np.testing.assert_array_equal(weight[0], [0] * 4 + [3] * 15)
    np.testing.assert_allclose(moved, 5.0, rtol=1e-6)


def test_a_blank_frame_is_left_out_and_says_so():
    frames = make_series(4, 96, _zigzag(6))
    frames[2] = 77.0
    dcfi = integrate_frames([frames])
    assert dcfi.n_frames == 5
    assert np.isnan(dcfi.shifts[2]).all()
    assert np.isfinite(np.delete(dcfi.shifts, 2, axis=0)).all()


@pytest.mark.parametrize("blank", [0, 9], ids=["the first", "one among them"])
def test_a_frame_of_noise_alone_is_left_out(blank):
    """The beam was blanked, and the amplifier was not."""
    shifts = _zigzag(20)
    frames = make_series(4, 256, shifts)
    frames[blank] = np.random.default_rng(1).normal(4000, 500, frames[0].shape)
    dcfi = integrate_frames([frames])
    assert np.flatnonzero(np.isnan(dcfi.shifts[:, 0])).tolist() == [blank]
    assert dcfi.weights[blank] == 0
    error = np.delete(dcfi.shifts - shifts, blank, axis=0)
    assert np.abs(error - error.mean(axis=0)).max() < 0.4


def _error(frames, shifts, **options):
    """RMS difference of the DCFI from the scene without noise [counts], and the weights."""
    dcfi = integrate_frames([frames], **options)
    offset = (dcfi.shifts - shifts).mean(axis=0)
    still = make_series(4, N, -offset[None], dose=None)[0]
    return np.std((dcfi.image - still)[6:-6, 6:-6]), dcfi.weights


@pytest.mark.parametrize(("dose", "gain", "weight"), [(12.0, 0.92, 0.45), (6.0, 0.7, 0.17)])
def test_weights_make_the_best_of_frames_of_lower_dose(dose, gain, weight):
    """Row D3: twice the variance is half the weight, and the readout noise adds to it."""
    shifts = _zigzag(40)
    frames = make_series(4, N, shifts)
    frames[1::2] = make_series(4, N, shifts, dose=dose)[1::2]
    plain, _ = _error(frames, shifts)
    weighted, weights = _error(frames, shifts, weighted=True)
    assert weighted < gain * plain
    assert weights[1::2].mean() / weights[::2].mean() == pytest.approx(weight, abs=0.05)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("which", [np.s_[1::2], np.s_[32:]], ids=["every other", "a group"])
def test_frames_out_of_focus_weigh_less(which):
    shifts = _zigzag(64)
    frames, clean = make_series(4, N, shifts), make_series(4, N, shifts, dose=None)
    blurred = np.stack([gaussian_filter(image, 3.0) for image in clean]) + frames - clean
    frames[which] = blurred[which]
    plain, _ = _error(frames, shifts)
    weighted, weights = _error(frames, shifts, weighted=True)
    assert weighted < 0.85 * plain
    sharp = np.ones(64, dtype=bool)
    sharp[which] = False
    assert weights[~sharp].mean() < 0.7 * weights[sharp].mean()


def test_weights_of_frames_that_are_alike_are_alike():
    shifts = _zigzag(40)
    frames = make_series(4, N, shifts)
    plain, ones = _error(frames, shifts)
    weighted, weights = _error(frames, shifts, weighted=True)
    np.testing.assert_array_equal(ones, 1)
    np.testing.assert_allclose(weights, 1, atol=0.15)
    assert weighted < 1.01 * plain


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
    blocks = [np.ones((2, 64, 64)), np.ones((3, 64, 64)), np.ones((2, 64, 65))]
    with pytest.raises(FrameShapeError, match=r"frame 5 has shape \(64, 65\) but the first has"):
        integrate_frames(blocks)
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


def test_an_even_rolling_average_has_one_frame_more_before_than_after():
    frames = np.random.default_rng(0).normal(size=(7, 8, 8)).astype(np.float32)
    rolled = rolling_dcfi(frames, 4, shifts=np.zeros((7, 2)))
    np.testing.assert_allclose(rolled[3], frames[1:5].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rolled[6], frames[4:].mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"weighted": False}, {"weighted": True}])
def test_without_shifts_a_rolling_average_finds_them_and_the_weights(options):
    shifts = _zigzag(12)
    frames = make_series(4, 64, shifts)
    frames[1::2] = make_series(4, 64, shifts, dose=6.0)[1::2]
    dcfi = integrate_frames([frames], **options)
    expected = rolling_dcfi(frames, 3, shifts=dcfi.shifts, weights=dcfi.weights)
    np.testing.assert_array_equal(rolling_dcfi(frames, 3, **options), expected)


def test_a_frame_of_no_weight_counts_as_one_in_its_own_rolling_average():
    frames = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    weights = np.array([0.5, 0.0, 2.0])
    rolled = rolling_dcfi(frames, 3, shifts=np.zeros((3, 2)), weights=weights)
    expected = (0.5 * frames[0] + frames[1] + 2 * frames[2]) / 3.5
    np.testing.assert_allclose(rolled[1], expected, rtol=1e-5, atol=1e-6)


def test_a_rolling_average_takes_weights():
    frames = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    weights = np.array([0.5, 1.0, 0.0])
    rolled = rolling_dcfi(frames, 3, shifts=np.zeros((3, 2)), weights=weights)
    np.testing.assert_allclose(rolled[1], (0.5 * frames[0] + frames[1]) / 1.5, rtol=1e-5)
    np.testing.assert_allclose(rolled[0], (0.5 * frames[0] + frames[1]) / 1.5, rtol=1e-5)


def test_a_frame_without_weight_or_place_is_its_own_rolling_average():
    frames = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    shifts = np.array([[0.0, 0.0], [np.nan, np.nan], [0.0, 0.0]])
    rolled = rolling_dcfi(frames, 3, shifts=shifts, weights=np.array([1.5, 0.0, 0.5]))
    np.testing.assert_array_equal(rolled[1], frames[1])
    rolled = rolling_dcfi(frames, 1, shifts=np.zeros((3, 2)), weights=np.zeros(3))
    np.testing.assert_array_equal(rolled, frames)


def test_a_window_without_frames_and_missing_shifts_are_refused():
    with pytest.raises(SettingsError, match="window is 0"):
        rolling_dcfi(np.zeros((2, 8, 8)), 0)
    with pytest.raises(DistortionError, match="1 shifts for 2 frames"):
        rolling_dcfi(np.zeros((2, 8, 8)), 1, shifts=np.zeros((1, 2)))
