import numpy as np
import pytest

from stemscale.quality.transforms import frequencies, transforms_alike


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
