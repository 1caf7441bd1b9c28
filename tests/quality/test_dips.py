import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import find_dips, fit_dip

X = np.arange(200, dtype=np.float64)


def dip(at, sigma=3.0, depth=100.0):
    return -depth * np.exp(-0.5 * ((X - at) / sigma) ** 2)


def test_the_width_of_a_gaussian_dip_is_its_full_width_at_half_depth():
    """2.3548 standard deviations: 7.06 px for 3 px."""
    (found,) = find_dips(500 + dip(80.0), smooth_px=0)
    assert found.width_px == pytest.approx(7.064, rel=0.01)
    assert found.depth == pytest.approx(100, rel=1e-3)
    assert found.position_px == pytest.approx(80.0, abs=1e-6)


def test_smoothing_widens_a_dip_as_the_docstring_says():
    """Gaussians add in squares: 2.3548 sqrt(3² + 1.5²) = 7.90 px."""
    (found,) = find_dips(500 + dip(80.0))
    assert found.width_px == pytest.approx(7.898, rel=0.01)


@given(st.floats(20, 180), st.floats(1.5, 6), st.floats(1, 1e4), st.floats(-5, 5))
def test_a_fit_finds_place_depth_and_width_of_a_dip_on_a_slope(at, sigma, depth, slope):
    line = 20000 + slope * X + dip(at, sigma, depth)
    found = fit_dip(line, at + 1, width_px=2.3548 * sigma)
    assert found is not None
    assert found.position_px == pytest.approx(at, abs=1e-3)
    assert found.width_px == pytest.approx(2.3548 * sigma, rel=1e-3)
    assert found.depth == pytest.approx(depth, rel=1e-3)


def test_the_standard_error_of_a_fit_is_the_scatter_of_fits():
    rng, fits = np.random.default_rng(0), []
    for _ in range(200):
        fits.append(fit_dip(500 + dip(80.3) + rng.normal(0, 10, X.size), 80, width_px=7))
    positions = np.array([f.position_px for f in fits])
    assert positions.mean() == pytest.approx(80.3, abs=0.1)
    assert np.mean([f.position_std_px for f in fits]) == pytest.approx(positions.std(), rel=0.15)
    widths = np.array([f.width_px for f in fits])
    assert np.mean([f.width_std_px for f in fits]) == pytest.approx(widths.std(), rel=0.2)


def test_a_smear_widens_a_dip_and_moves_it_downstream():
    """Row Q7. A tail of 4 px moves the centroid by 3.5 px."""
    tail = np.exp(-np.arange(40) / 4)
    line = dip(80.0)
    smeared = np.convolve(line, tail / tail.sum())[: X.size]
    sharp, late = fit_dip(line, 80), fit_dip(smeared, 82)
    assert late.width_px > sharp.width_px + 1
    assert 81 < late.position_px < 84


def test_peaks_are_found_where_structure_is_bright():
    line = 500 - dip(50.0) - dip(120.0, depth=60.0)
    assert [round(d.position_px) for d in find_dips(line, bright=True)] == [50, 120]
    assert [round(d.position_px) for d in find_dips(line, bright=True, most=1)] == [50]
    assert find_dips(line) == () or all(d.depth < 61 for d in find_dips(line))
    assert fit_dip(line, 51, bright=True).position_px == pytest.approx(50, abs=1e-3)


def test_shallow_dips_and_those_in_what_was_not_seen_do_not_count():
    line = 500 + dip(50.0) + dip(120.0, depth=10.0)
    assert [round(d.position_px) for d in find_dips(line)] == [50]
    line[110:130] = np.nan
    line[44:56] = np.nan
    assert find_dips(line, least_share=0.5) == ()
    assert fit_dip(np.full(200, np.nan), 80) is None
    assert find_dips(np.full(200, np.nan)) == ()
    assert find_dips(np.full(200, 7.0)) == ()
    assert fit_dip(np.full(200, 7.0), 80) is None


def test_noise_does_not_make_dips_of_its_own_where_there_are_real_ones():
    rng = np.random.default_rng(1)
    noisy = gaussian_filter1d(rng.normal(0, 12, X.size), 0.5) + 500 + dip(60.0) + dip(140.0)
    assert [round(d.position_px, -1) for d in find_dips(noisy, least_share=0.4)] == [60, 140]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(FrameShapeError, match="profile"):
        find_dips(np.zeros((3, 3)))
    with pytest.raises(SettingsError, match="least_share"):
        find_dips(X, least_share=0)
    with pytest.raises(SettingsError, match="width_px"):
        fit_dip(X, 5, width_px=0)


def test_a_dip_reaches_half_a_width_to_either_side():
    """1.1774 · 3 px = 3.53 px, seen with and without a fit."""
    line = 500 + dip(80.0)
    (seen,), fitted = find_dips(line, smooth_px=0), fit_dip(line, 81)
    for found, within in ((seen, 0.05), (fitted, 1e-3)):
        assert found.left_px == pytest.approx(80 - 3.532, abs=within)
        assert found.right_px == pytest.approx(80 + 3.532, abs=within)


def test_the_place_of_a_dip_is_found_between_pixels():
    """A parabola is found as it is: its vertex lies at 50.3 px, and not at its least pixel."""
    line = np.minimum((X - 50.3) ** 2, 400.0)
    (found,) = find_dips(line, smooth_px=0)
    assert found.position_px == pytest.approx(50.3)


def test_the_deepest_dips_are_given_from_left_to_right():
    line = 500 + dip(40.0, depth=60) + dip(100.0, depth=40) + dip(160.0, depth=100)
    assert [round(d.position_px) for d in find_dips(line, most=2)] == [40, 160]


def test_a_fit_takes_six_pixels_and_no_fewer():
    line = np.full(200, np.nan)
    line[77:83] = (500 + dip(80.0))[77:83]
    assert fit_dip(line, 80, width_px=7).position_px == pytest.approx(80, abs=1e-3)
    line[82] = np.nan
    assert fit_dip(line, 80, width_px=7) is None


def test_no_dip_is_fitted_where_there_is_a_peak_or_beyond_the_profile():
    assert fit_dip(500 - dip(80.0), 80, width_px=2) is None
    assert fit_dip(500 + dip(80.0), 250) is None
    assert fit_dip(500 + dip(80.0), -3) is None


def test_four_pixels_may_hold_a_dip_and_three_do_not():
    (found,) = find_dips(np.array([5.0, 1, 5, 5]), smooth_px=0)
    assert (found.position_px, found.depth) == (1, 4)
    assert find_dips(np.array([5.0, 1, 5]), smooth_px=0) == ()


@pytest.mark.parametrize("at", [2.6, 196.4])
def test_a_dip_is_fitted_to_the_last_pixel_of_a_profile(at):
    ends = (500 + dip(at, sigma=1.0))[[*range(6), *range(194, 200)]]
    line = np.full(200, np.nan)
    line[[*range(6), *range(194, 200)]] = ends
    assert fit_dip(line, at, width_px=2.4).position_px == pytest.approx(at, abs=1e-3)


def test_a_slope_has_no_dip():
    assert fit_dip(3 * X, 80) is None
