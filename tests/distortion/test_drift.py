import numpy as np
import pytest
from distortion.builders import make_series

from stemscale.distortion import DriftSearch, estimate_shifts
from stemscale.errors import FrameShapeError, SettingsError

N = 160


def _random_shifts(seed, count, reach):
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 2))


@pytest.mark.parametrize("lag", [False, True], ids=["no lag", "lag"])
def test_known_sub_pixel_shifts_are_found_without_noise(lag):
    """Row D3."""
    shifts = _random_shifts(1, 6, 3.0)
    frames = make_series(5, N, np.concatenate([[[0, 0]], shifts]), dose=None, lag=lag)
    found = estimate_shifts(frames[1:], frames[0])
    # the smear starts anew in the first column of every frame, wherever the scene is: 0.06 px
    np.testing.assert_allclose(found, shifts, atol=0.08)


def test_shifts_are_found_at_the_rapid_scans_noise_and_smear():
    """Row D3: at 24 electrons a pixel, against a mean of other frames."""
    shifts = _random_shifts(2, 10, 2.0)
    frames = make_series(6, N, shifts)
    reference = make_series(6, N, np.zeros((10, 2))).mean(axis=0)
    error = estimate_shifts(frames, reference) - shifts
    rms_y, rms_x = np.sqrt((error**2).mean(axis=0))
    assert rms_y < 0.1
    assert rms_x < 0.15


def test_smeared_noise_does_not_pull_shifts_towards_zero():
    # noise alone would make the slope of found over true shifts smaller than 1
    true = np.array([[0.0, dx] for dx in (-0.5, -0.25, 0.25, 0.5)] * 4)
    reference = make_series(6, N, np.zeros((10, 2))).mean(axis=0)
    frames = np.concatenate([make_series(6, N, true)])
    found = estimate_shifts(frames, reference)
    slope = (found[:, 1] @ true[:, 1]) / (true[:, 1] @ true[:, 1])
    assert slope == pytest.approx(1.0, abs=0.08)


def test_a_drift_longer_than_any_single_jump_is_followed_from_frame_to_frame():
    drift = np.arange(14)[:, None] * [[4.3, -5.1]]  # 72 px in all, of 160
    frames = make_series(8, N, drift)
    search = DriftSearch(max_jump=0.15)
    np.testing.assert_allclose(estimate_shifts(frames, frames[0], search=search), drift, atol=0.4)


def test_gain_offset_and_a_smooth_background_do_not_count():
    frames = make_series(9, N, np.array([[0, 0], [1.3, -0.7]]), dose=None)
    tilted = 3.0 * frames[1] + 700 + 40 * np.arange(N)[:, None] + 25 * np.arange(N)
    np.testing.assert_allclose(estimate_shifts(tilted[None], frames[0]), [[1.3, -0.7]], atol=0.1)


def test_integers_and_a_reference_that_is_partly_unseen_are_taken():
    frames = make_series(9, N, np.array([[0, 0], [1.3, -0.7]]), dose=None)
    reference = frames[0].copy()
    reference[:12] = np.nan
    found = estimate_shifts(frames[1:].astype(np.uint16), reference)
    np.testing.assert_allclose(found, [[1.3, -0.7]], atol=0.1)


def test_a_blank_frame_has_no_shift_and_does_not_lose_the_next_one():
    frames = make_series(8, N, np.array([[0, 0], [1, 1], [0, 0], [2, 2.5]]), dose=None)
    frames[2] = 500
    found = estimate_shifts(frames[1:], frames[0])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2]], [[1, 1], [2, 2.5]], atol=0.1)


def test_frames_and_reference_must_have_one_shape():
    with pytest.raises(FrameShapeError, match="frame 0 has shape"):
        estimate_shifts(np.zeros((1, 40, 40)), np.zeros((40, 41)))


@pytest.mark.parametrize(
    "wrong", [{"smooth_px": 20.0}, {"smooth_px": 0.0}, {"taper": 0.6}, {"max_jump": 0.0}]
)
def test_a_search_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SettingsError):
        DriftSearch(**wrong)


def test_a_search_may_go_to_its_limits():
    search = DriftSearch(taper=0.5, max_jump=0.5, smooth_px=1.9, background_px=2.0)
    assert (search.taper, search.max_jump) == (0.5, 0.5)


def test_no_frames_have_no_shifts():
    assert estimate_shifts([], np.zeros((40, 40))).shape == (0, 2)
