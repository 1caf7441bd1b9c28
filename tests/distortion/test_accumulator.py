import numpy as np

from stemscale.distortion.accumulator import Accumulator, move_mean, weight_map

SHAPE = (3, 4)


def test_images_count_by_their_weight_where_they_saw_the_grid():
    """Rows 0 and 1 are seen by both: (2 + 2 · 8) / 3 = 6; row 2 by the first alone."""
    total = Accumulator(SHAPE)
    total.add(np.full(SHAPE, 2), (0, 0))
    total.add(np.full(SHAPE, 8), (1, 0), weight=2.0)
    np.testing.assert_allclose(total.mean(), [[6] * 4, [6] * 4, [2] * 4])
    weights = weight_map(SHAPE, [(0, 0), (1, 0)], [1.0, 2.0])
    np.testing.assert_array_equal(weights, [[3] * 4, [3] * 4, [1] * 4])


def test_what_no_image_saw_is_nan():
    total = Accumulator(SHAPE)
    assert np.isnan(total.mean()).all()
    total.add(np.full(SHAPE, 8), (0, -1))
    np.testing.assert_array_equal(total.mean(), [[np.nan, 8, 8, 8]] * 3)


def test_a_moved_mean_has_the_least_weight_of_the_pixels_around():
    """Midway between pixels, one beside an unseen one counts as unseen."""
    mean = np.array([[5, 5, np.nan, 5, 5]], dtype=np.float32)
    weights = np.array([[3, 2, 0, 1, 4]], dtype=np.float32)
    moved, weight, _, columns = move_mean(mean, weights, (0.0, 0.5))
    assert columns == slice(0, 4)
    np.testing.assert_array_equal(weight, [[2, 0, 0, 1]])
    np.testing.assert_allclose(moved, 5, rtol=1e-6)
    _, weight, _, columns = move_mean(mean, weights, (0.0, -1.0))
    assert columns == slice(1, 5)
    np.testing.assert_array_equal(weight, weights[:, :4])
    _, weight, rows, _ = move_mean(mean.T, weights.T, (-0.5, 0.0))
    assert rows == slice(1, 5)
    np.testing.assert_array_equal(weight.T, [[2, 0, 0, 1]])


def test_means_are_added_pixel_by_pixel_with_the_weight_of_each():
    """(5 · 3 + 9 · 1) / 4 = 6 where both saw, 9 where the second alone did."""
    total = Accumulator((1, 3))
    mean = np.array([[5, np.nan, np.nan]], dtype=np.float32)
    total.add_mean(mean, np.array([[3, 0, 0]], dtype=np.float32), (0.0, 0.0))
    mean = np.array([[9, 9, np.nan]], dtype=np.float32)
    total.add_mean(mean, np.array([[1, 1, 0]], dtype=np.float32), (0.0, 0.0))
    np.testing.assert_allclose(total.mean(), [[6, 9, np.nan]])
