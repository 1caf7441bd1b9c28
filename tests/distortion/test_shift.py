import numpy as np
import pytest

from stemscale.distortion.shift import shift_image


def _wave(n=64, period=8.0, at=0.0):
    x = np.arange(n) + at
    return np.broadcast_to(np.sin(2 * np.pi * x / period), (n, n))


def test_a_shift_by_whole_pixels_copies_and_cuts():
    image = np.arange(30).reshape(5, 6)
    moved, rows, columns = shift_image(image, 1, -2)
    # moved(y, x) = image(y + 1, x - 2): rows 0 to 3 and columns 2 to 5 are seen
    assert (rows, columns) == (slice(0, 4), slice(2, 6))
    np.testing.assert_array_equal(moved, image[1:5, 0:4])


def test_a_shift_of_less_than_a_twentieth_leaves_the_values_as_they_are():
    image = np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)
    moved, rows, columns = shift_image(image, 0.04, -0.05)
    assert (rows, columns) == (slice(0, 9), slice(0, 9))
    np.testing.assert_array_equal(moved, image)


@pytest.mark.parametrize("shift", [0.3, 0.5, -0.4, 2.7, -5.5])
def test_a_fraction_of_a_pixel_moves_a_wave_by_just_that(shift):
    moved, _, columns = shift_image(_wave(), 0.0, shift)
    expected = _wave(at=shift)[:, columns]
    np.testing.assert_allclose(moved[:, 3:-3], expected[:, 3:-3], atol=0.01)


def test_details_of_three_pixels_keep_nine_tenths_of_their_contrast():
    # midway between pixels: weights sinc(d) sinc(d/3), d = ±1/2, ±3/2, ±5/2, of sum 1, times
    # cos(2 pi d / 3): 0.908; linear interpolation would keep cos(pi / 3) = 1/2
    wave = _wave(period=3.0)
    moved, _, _ = shift_image(wave, 0.0, 0.5)
    whole = np.s_[0, 3:60]  # 19 periods, clear of the borders
    before, after = (np.abs(np.fft.rfft(image[whole]))[19] for image in (wave, moved))
    assert after / before == pytest.approx(0.908, abs=0.002)


def test_nothing_is_made_up_beyond_the_border():
    moved, rows, _ = shift_image(np.ones((4, 4)), 0.5, 0.0)
    assert rows == slice(0, 3)  # row 3 would need row 3.5
    assert moved.shape == (3, 4)
    far, rows, _ = shift_image(np.ones((4, 4)), 9.0, 0.0)
    assert far.size == 0
    assert rows == slice(0, 0)
