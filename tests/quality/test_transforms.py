import numpy as np
import pytest
from scipy.fft import ifft2

from stemscale.quality.transforms import frequencies, hann, transforms_alike


def test_both_images_lose_their_background():
    """A Gaussian of 20 px takes exp(-(pi/2)²/2) of a wave of 80 px: 0.709 of it is left."""
    wave = np.tile(np.sin(2 * np.pi * np.arange(800) / 80), (40, 1))
    one, other = transforms_alike(wave, 2 * wave)
    whole = np.abs(np.fft.rfft2(wave * np.hanning(801)[:-1] * np.hanning(41)[:-1, None])).max()
    assert np.abs(one).max() / whole == pytest.approx(0.7088, abs=2e-3)
    assert np.abs(other).max() / np.abs(one).max() == pytest.approx(2)


def test_frequencies_are_cycles_a_pixel_without_their_sign():
    f_y, f_x = frequencies((4, 5))
    np.testing.assert_allclose(f_y, [[0], [0.25], [0.5], [0.25]])
    np.testing.assert_allclose(f_x, [[0, 0.2, 0.4, 0.4, 0.2]])


def test_what_was_not_seen_is_at_the_mean_of_what_was():
    """So what was seen is 0 on average, under its window."""
    image = np.random.default_rng(0).normal(size=(12, 14)) + np.arange(14) ** 2
    image[0], image[:, 0] = np.nan, np.nan  # where the window is 0
    image[5:8, 6] = np.nan
    transform, _ = transforms_alike(image, image)
    shown = ifft2(transform).real[1:, 1:] / np.outer(hann(12), hann(14))[1:, 1:]
    assert shown.mean() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(shown[4:7, 5], 0, atol=1e-9)
    assert shown.std() > 0.5
