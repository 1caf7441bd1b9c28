import numpy as np
import pytest

from stemscale.quality.transforms import frequencies, transforms_alike


def test_both_images_lose_the_background_that_is_asked_for():
    """A Gaussian of 5 px takes exp(-(pi/2)²/2) of a wave of 20 px: 0.709 of it is left."""
    wave = np.tile(np.sin(2 * np.pi * np.arange(200) / 20), (40, 1))
    little = transforms_alike(wave, 2 * wave, sigma_px=200)
    much = transforms_alike(wave, 2 * wave, sigma_px=5)
    for before, after in zip(little, much, strict=True):
        assert np.abs(after).max() / np.abs(before).max() == pytest.approx(0.7088, abs=2e-3)
    assert np.abs(much[1]).max() / np.abs(much[0]).max() == pytest.approx(2)


def test_frequencies_are_cycles_a_pixel_without_their_sign():
    f_y, f_x = frequencies((4, 5))
    np.testing.assert_allclose(f_y, [[0], [0.25], [0.5], [0.25]])
    np.testing.assert_allclose(f_x, [[0, 0.2, 0.4, 0.4, 0.2]])
