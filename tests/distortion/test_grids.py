import numpy as np
import pytest

from stemscale.distortion.grids import on_other_count, onto_pixel_count


def test_the_borders_of_a_view_are_the_same_on_any_number_of_pixels():
    """Four pixels from -0.5 to 3.5 are eight from -0.5 to 7.5."""
    np.testing.assert_allclose(on_other_count([-0.5, 0, 3, 3.5], 4, 8), [-0.5, 0.5, 6.5, 7.5])
    np.testing.assert_allclose(on_other_count([0.5, 6.5], 8, 4), [0, 3])


def test_an_image_on_its_own_grid_is_left_alone():
    image = np.arange(12).reshape(3, 4)
    assert onto_pixel_count(image, (3, 4)) is image


@pytest.mark.parametrize("axis", [0, 1])
def test_half_the_pixels_show_a_wave_through_the_low_pass_of_their_size(axis):
    """Gaussian of sqrt(2² - 1) / 2 = 0.866 px, then midway between two pixels.

    Of a wave of 8 px: exp(-(2 pi 0.866 / 8)² / 2) · cos(pi / 8) = 0.7331.
    """
    wave = np.tile(np.cos(2 * np.pi * np.arange(64) / 8), (64, 1))
    shape = (64, 32) if axis == 1 else (32, 64)
    fine = onto_pixel_count(wave if axis == 1 else wave.T, shape)
    seen = fine[5] if axis == 1 else fine[:, 5]
    expected = 0.7331 * np.cos(2 * np.pi * (2 * np.arange(32) + 0.5) / 8)
    np.testing.assert_allclose(seen[4:-4], expected[4:-4], atol=2e-3)


def test_twice_the_pixels_lie_on_the_straight_lines_between_them():
    coarse = np.array([[0.0, 4, 4], [0, 4, 4]])
    fine = onto_pixel_count(coarse, (2, 6))
    np.testing.assert_allclose(fine, [[0, 1, 3, 4, 4, 4]] * 2)
