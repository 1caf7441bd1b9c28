import numpy as np
import pytest

from stemscale.distortion.shift import covered, neighbours, shift_image


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


def _slowly(line, shift, lobes=3):
    """Lanczos as in the textbook, point by point, over a line whose ends go on as they are."""
    found = []
    for x in range(len(line)):
        if not 0 <= x + shift <= len(line) - 1:
            continue
        places = int(np.floor(x + shift)) + np.arange(1 - lobes, lobes + 1)
        distance = places - x - shift
        weights = np.sinc(distance) * np.sinc(distance / lobes)
        found.append(weights @ line[np.clip(places, 0, len(line) - 1)] / weights.sum())
    return found


@pytest.mark.parametrize("shift", [0.3, -0.4, 2.75, -5.5])
@pytest.mark.parametrize("lobes", [1, 3, 8])
def test_every_pixel_is_that_of_the_slow_loop_to_the_border(shift, lobes):
    line = np.random.default_rng(1).normal(size=20)
    moved, _, columns = shift_image(np.tile(line, (3, 1)), 0.0, shift, lobes=lobes)
    np.testing.assert_allclose(moved[1], _slowly(line, shift, lobes), atol=1e-5)
    assert columns.stop - columns.start == moved.shape[1]
    np.testing.assert_array_equal(moved[0], moved[2])


@pytest.mark.parametrize("shift", [0.3, -0.4, 3.0, -70.25])
def test_rows_are_moved_as_columns_are_in_images_of_any_height(shift):
    image = np.random.default_rng(2).normal(size=(150, 9))
    down, rows, all_columns = shift_image(image, shift, 0.0)
    right, all_rows, columns = shift_image(image.T, 0.0, shift)
    assert (rows, all_columns) == (columns, all_rows)
    np.testing.assert_allclose(down, right.T, atol=1e-5)


def test_a_shift_along_both_axes_is_one_after_the_other():
    image = np.random.default_rng(3).normal(size=(70, 12))
    moved, rows, columns = shift_image(image, -1.3, 2.4)
    first, rows_alone, _ = shift_image(image, -1.3, 0.0)
    second, _, columns_alone = shift_image(first, 0.0, 2.4)
    assert (rows, columns) == (rows_alone, columns_alone) == (slice(2, 70), slice(0, 9))
    np.testing.assert_allclose(moved, second, atol=1e-5)
    assert covered(image.shape, -1.3, 2.4) == (rows, columns)


@pytest.mark.parametrize(
    ("shift", "whole"),
    [(0.3, {0, 1}), (-0.3, {-1, 0}), (1.04, {1}), (0.96, {1}), (-2.0, {-2}), (1.06, {1, 2})],
)
def test_a_shift_lies_between_two_whole_ones_or_is_rounded_to_one(shift, whole):
    assert neighbours(shift) == whole
