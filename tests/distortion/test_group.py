import numpy as np
from distortion.builders import make_series

from stemscale.distortion import DriftSearch, align_group
from stemscale.distortion.drift import band_of
from stemscale.distortion.group import _chained


def test_the_second_look_against_all_others_is_closer_than_the_first():
    """The first frames were compared with one or two, the others with up to eight."""
    band = band_of((128, 128), DriftSearch())
    first, second = [], []
    for seed in range(10):
        shifts = np.random.default_rng(seed).uniform(-0.5, 0.5, (16, 2))
        frames = make_series(seed, 128, shifts, dose=8.0)
        shifts -= shifts.mean(axis=0)
        chained = _chained(band, [band.spectrum(f) for f in frames])
        first.append((chained - chained.mean(axis=0) - shifts)[:3])
        [group] = align_group(frames)
        second.append((group.shifts - shifts)[:3])
    assert np.std(second) < 0.95 * np.std(first)


def test_shifts_are_counted_from_the_groups_mean_position():
    shifts = np.random.default_rng(2).uniform(-2, 2, (12, 2)) + 30
    [group] = align_group(make_series(4, 96, shifts))
    np.testing.assert_allclose(group.shifts.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(group.shifts, shifts - shifts.mean(axis=0), atol=0.6)


def test_frames_that_drift_too_far_become_several_groups():
    drift = np.arange(20)[:, None] * [[0.0, 3.0]]  # 57 px of 128
    groups = align_group(make_series(4, 128, drift))
    assert len(groups) > 1
    assert sum(len(g.shifts) for g in groups) == 20
    steps = [s for g in groups for s in np.diff(g.shifts[:, 1])]
    np.testing.assert_allclose(np.mean(steps), 3.0, atol=0.05)


def test_frames_that_are_not_square_are_aligned():
    shifts = np.random.default_rng(2).uniform(-2, 2, (12, 2))
    [group] = align_group(make_series(4, 128, shifts)[:, :80])
    assert group.mean.shape == (80, 128)
    np.testing.assert_allclose(group.shifts, shifts - shifts.mean(axis=0), atol=0.6)
    np.testing.assert_array_equal(group.weights, 1)


def test_two_frames_are_aligned_and_one_weighs_one():
    shifts = np.array([[0.0, 0.0], [1.3, -2.2]])
    frames = make_series(4, 96, shifts, dose=None)
    [pair] = align_group(frames)
    np.testing.assert_allclose(pair.shifts, shifts - shifts.mean(axis=0), atol=0.1)
    [weighed] = align_group(frames, weighted=True)
    assert weighed.weights[0] != 1
    [alone] = align_group(frames[:1])
    np.testing.assert_array_equal(alone.weights, [1])
    np.testing.assert_array_equal(alone.shifts, [[0, 0]])


def test_the_parts_of_a_group_that_drifts_too_far_are_halves_and_weigh_as_asked():
    drift = np.arange(20)[:, None] * [[0.0, 2.0]]  # 38 px of 128: 18 px each half
    frames = make_series(4, 128, drift)
    frames[1::2] = make_series(4, 128, drift, dose=6.0)[1::2]
    groups = align_group(frames, weighted=True)
    assert [len(g.shifts) for g in groups] == [10, 10]
    for group in groups:
        assert group.weights[1::2].max() < group.weights[::2].min()


def test_a_group_without_contrast_has_no_mean():
    [group] = align_group(np.full((3, 32, 32), 7, dtype=np.uint8))
    assert group.mean is None
    assert np.isnan(group.shifts).all()
    np.testing.assert_array_equal(group.weights, 0)


def test_weights_are_the_scenes_amplitude_over_the_variance_of_all_else():
    """Without noise the amplitude is the root of the power, and the variance 1 % of the power."""
    image = make_series(4, 96, np.zeros((1, 2)), dose=None)[0]
    frames = np.stack([image, image, image])
    band = band_of((96, 96), DriftSearch())
    spectrum = band.spectrum(image)
    power = (band.detail * np.abs(spectrum) ** 2).sum()
    [group] = align_group(frames, weighted=True)
    np.testing.assert_allclose(group.weights, 100 / np.sqrt(power), rtol=1e-4)


def test_the_unit_of_the_frames_does_not_change_how_they_weigh():
    shifts = np.zeros((8, 2))
    frames = make_series(4, 96, shifts)
    frames[1::2] = make_series(4, 96, shifts, dose=6.0)[1::2]
    [counts] = align_group(frames, weighted=True)
    [share] = align_group(frames * 1e-9, weighted=True)
    np.testing.assert_allclose(share.weights * 1e-9, counts.weights, rtol=1e-3)
    assert counts.weights[1::2].max() < counts.weights[::2].min()
