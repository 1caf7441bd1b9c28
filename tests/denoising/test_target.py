import numpy as np
import pytest
from denoising.builders import COUNTS, lines, smeared

from stemscale.denoising.target import match_target
from stemscale.quality import lag_tail, remove_background


def images(size=160, seed=5, tail_px=4.0):
    """A truth, the mean of its smeared frames, and its slow scan; a lopsided background in each."""
    rng = np.random.default_rng(seed)
    truth = 24 * lines(size, rng)
    y, x = np.mgrid[:size, :size] / size
    mean = COUNTS * smeared(truth + 6 * np.cos(2 * y), tail_px, 64) + 2000
    slow = 900.0 * (truth + 6 * x**2) + 7000
    return truth, mean, slow


def wanted():
    truth, _, _ = images()
    y = np.mgrid[:160, :160][0] / 160
    return COUNTS * (truth + 6 * np.cos(2 * y)) + 2000


def test_the_contrast_is_that_of_the_detectors_in_spite_of_the_smear():
    # A plain regression of the smeared mean on the slow scan finds half of it.
    _, mean, slow = images()
    matched = remove_background(match_target(slow, mean, background_px=20.0))
    detail = remove_background(wanted())
    assert (matched * detail).sum() / (detail**2).sum() == pytest.approx(1, abs=0.1)


def test_the_target_has_the_background_of_the_frames_and_the_detail_of_the_slow_scan():
    _, mean, slow = images()
    error = match_target(slow, mean, background_px=20.0) - wanted()
    assert np.std(error) < 0.12 * np.std(wanted())
    assert abs(np.mean(error)) < 0.02 * np.ptp(wanted())


def test_the_target_has_nothing_of_the_smear():
    # with the smooth part of the smeared mean itself as background, .027 of it would stay
    _, mean, slow = images(tail_px=9.0)
    matched = match_target(slow, mean, background_px=20.0)
    assert lag_tail(mean, wanted()).weight > 0.7
    assert abs(lag_tail(matched, wanted()).weight) < 0.01


def test_gain_and_offset_of_the_slow_scan_do_not_matter():
    _, mean, slow = images()
    one = match_target(slow, mean, background_px=20.0)
    other = match_target(0.01 * slow - 5, mean, background_px=20.0)
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_either_did_not_see_is_not_seen():
    _, mean, slow = images()
    slow[:4], mean[:, :6] = np.nan, np.nan
    matched = match_target(slow, mean, background_px=20.0)
    assert np.isnan(matched[:4]).all()
    assert np.isnan(matched[:, :6]).all()
    assert np.isfinite(matched[4:, 6:]).all()


def test_lines_too_short_for_a_response_are_matched_by_contrast():
    _, mean, slow = images()
    matched = match_target(slow[:, :12], mean[:, :12], background_px=20.0)
    assert np.std(matched) == pytest.approx(np.std(mean[:, :12]), rel=0.3)
