import numpy as np
import pytest
from quality.builders import dislocations, smooth_background
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import remove_background
from stemscale.quality.background import low_pass


def test_a_constant_image_is_all_background():
    np.testing.assert_allclose(remove_background(np.full((40, 50), 30000, np.uint16)), 0, atol=1e-9)


def test_a_wave_of_known_length_keeps_the_amplitude_of_the_formula():
    """A Gaussian of sigma passes exp(-(2 pi sigma / length)² / 2); the rest stays.

    sigma 5 px, length 20 px: 1 - exp(-(pi/2)²/2) = 0.709.
    """
    x = np.arange(400)
    wave = np.tile(np.sin(2 * np.pi * x / 20), (60, 1))
    middle = remove_background(wave, sigma_px=5)[30, 100:300]
    np.testing.assert_allclose(middle, 0.7088 * wave[30, 100:300], atol=1e-3)


def test_smooth_background_goes_and_structure_stays():
    structure = dislocations(256)
    alone = remove_background(structure)
    both = remove_background(structure + smooth_background(256))
    assert np.abs(both - alone).max() < 0.15 * np.ptp(smooth_background(256))
    inside = (slice(40, -40),) * 2
    assert np.std((both - alone)[inside]) < 0.05 * np.std(alone[inside])


def test_unseen_pixels_stay_unseen_and_pull_nothing():
    """A constant beside a hole stays a constant: the hole is no dark region."""
    image = np.full((60, 60), 100.0)
    image[20:30, 20:] = np.nan
    result = remove_background(image, sigma_px=8)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(image))
    np.testing.assert_allclose(result[~np.isnan(image)], 0, atol=1e-9)


def test_an_image_nobody_saw_stays_unseen():
    assert np.isnan(remove_background(np.full((5, 5), np.nan))).all()


def test_bad_input_is_refused():
    with pytest.raises(SettingsError, match="sigma_px"):
        remove_background(np.zeros((5, 5)), sigma_px=0)
    with pytest.raises(FrameShapeError, match=r"\(2, 5, 5\)"):
        remove_background(np.zeros((2, 5, 5)))


@pytest.mark.parametrize("shape", [(9, 40), (40, 9), (2, 1025)])
def test_the_low_pass_is_that_of_scipy_at_any_size(shape):
    image = np.random.default_rng(0).normal(size=shape)
    expected = gaussian_filter(image, 4.0, mode="constant")
    np.testing.assert_allclose(low_pass(image, 4.0), expected, atol=1e-12)


def test_images_of_any_type_lose_their_background_in_double_precision():
    image = (30000 + dislocations(32)).astype(np.float32)
    exact = remove_background(image.astype(np.float64))
    np.testing.assert_array_equal(remove_background(image), exact)
