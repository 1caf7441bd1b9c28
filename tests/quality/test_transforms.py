import numpy as np
import pytest
from scipy.fft import ifft2

from stemscale.quality.common import hann
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


def test_what_was_not_seen_is_at_the_mean_of_what_was():
    """So what was seen is 0 on average, under its window."""
    image = np.random.default_rng(0).normal(size=(12, 14)) + np.arange(14) ** 2
    image[0], image[:, 0] = np.nan, np.nan  # where the window is 0
    image[5:8, 6] = np.nan
    transform, _ = transforms_alike(image, image, sigma_px=3)
    shown = ifft2(transform).real[1:, 1:] / np.outer(hann(12), hann(14))[1:, 1:]
    assert shown.mean() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(shown[4:7, 5], 0, atol=1e-9)
    assert shown.std() > 0.5
