import numpy as np
import pytest

from stemscale.distortion.forward import (
    LAG_PX,
    SlowScan,
    delayed,
    fit_lag,
    inner_products,
    lagged,
)

MIDDLE = np.arange(14.0, 26.0, 0.7)  # clear of the borders, where a spline is held


def _noise(seed=0, shape=(24, 60)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_delayed_pixel_falls_off_exponentially_from_where_it_is():
    """h(k) = (1 - a) a^k with a = e^(-1/4)."""
    image = np.zeros((2, 30), dtype=np.float32)
    image[:, 3] = 1
    keep = np.exp(-1 / 4)
    expected = np.where(np.arange(30) < 3, 0, (1 - keep) * keep ** (np.arange(30) - 3.0))
    np.testing.assert_allclose(delayed(image, 4.0), [expected] * 2, atol=1e-6)


def test_before_a_line_the_scene_was_like_its_first_column():
    """A step from 2 to 0 after the first column: 2 a^k."""
    image = np.zeros((1, 20), dtype=np.float32)
    image[:, 0] = 2
    np.testing.assert_allclose(delayed(image, 5.0)[0], 2 * np.exp(-np.arange(20) / 5), atol=1e-6)
    assert delayed(image, 0) is image


def test_a_lag_is_a_mixture_whose_shares_are_found_again():
    image = _noise()
    shares = np.zeros(len(LAG_PX))
    shares[[0, 2, -1]] = 0.5, 0.3, 0.4
    smeared = lagged(image, shares)
    parts = [delayed(image, length) for length in LAG_PX]
    np.testing.assert_allclose(
        smeared, 0.5 * parts[0] + 0.3 * parts[2] + 0.4 * parts[-1], atol=1e-5
    )
    nothing = np.zeros((len(LAG_PX),) * 2)
    np.testing.assert_allclose(fit_lag(parts, smeared, nothing), shares, atol=0.02)
    assert fit_lag(parts, -smeared, nothing).sum() == pytest.approx(0, abs=1e-6)


def test_the_noise_of_the_prediction_is_taken_off_its_power():
    """Scene and noise of power 1 each: least squares would halve the share that there is."""
    scene, noise = _noise(1, (200, 200)), _noise(2, (200, 200))
    parts = [delayed(scene + noise, length) for length in LAG_PX]
    of_noise = [delayed(noise, length) for length in LAG_PX]
    shares = fit_lag(parts, scene, inner_products(of_noise, of_noise))
    assert shares[0] == pytest.approx(1, abs=0.05)
    biased = fit_lag(parts, scene, np.zeros((len(LAG_PX),) * 2))
    assert biased[0] == pytest.approx(0.5, abs=0.05)


def test_inner_products_are_sums_over_all_pixels():
    one, other = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 0], [0, -1]])
    assert inner_products([one, other], [other]).tolist() == [[-3], [2]]


def test_the_slow_scan_is_seen_between_its_pixels_with_its_slopes():
    """Of x² + 3 y: value, 2 x along the path, and -3 as a row offset moves the scene down."""
    y, x = np.mgrid[:40, :40].astype(np.float32)
    scan = SlowScan(x**2 + 3 * y, smooth_px=0)
    sampled = scan.sample(MIDDLE[None], MIDDLE)
    np.testing.assert_allclose(sampled.image, MIDDLE**2 + 3 * MIDDLE[:, None], atol=0.05)
    np.testing.assert_allclose(sampled.slope_x, 2 * MIDDLE + 0 * MIDDLE[:, None], atol=0.01)
    np.testing.assert_allclose(sampled.slope_y, -3, atol=0.01)


def test_a_path_for_each_row_sees_what_one_for_all_does():
    scan = SlowScan(_noise(3, (40, 40)), smooth_px=1.0)
    of_all = scan.sample(MIDDLE[None], MIDDLE)
    of_each = scan.sample(np.tile(MIDDLE, (MIDDLE.size, 1)), MIDDLE)
    for name in ("image", "slope_x", "slope_y"):
        np.testing.assert_allclose(getattr(of_each, name), getattr(of_all, name), atol=1e-5)


def test_beyond_the_border_the_beam_sees_the_border_and_no_slope():
    image = _noise(4, (20, 20))
    sampled = SlowScan(image, smooth_px=0).sample(
        np.array([[-3.0, 0, 19, 25]]), np.array([-2.0, 0, 19, 30])
    )
    held = [0, 0, 19, 19]
    np.testing.assert_allclose(sampled.image, image[np.ix_(held, held)], atol=1e-4)
    np.testing.assert_array_equal(sampled.slope_x[:, [0, 3]], 0)
