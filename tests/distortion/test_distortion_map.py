from dataclasses import replace

import numpy as np
import pytest

from stemscale.distortion import DistortionMap, shared_map
from stemscale.errors import DistortionError


def _map(offset=0.0, std=None, n=8):
    return DistortionMap(
        source_x=np.linspace(1, n - 2, n)[None] + offset,
        source_y=np.arange(n, dtype=float)[:, None] - offset,
        source_x_std=None if std is None else np.full((1, n), std),
        rapid_shape=(n, n),
    )


def test_identity_sees_every_pixel_where_it_is():
    distortion = DistortionMap.identity((3, 5))
    assert distortion.shape == (3, 5)
    assert distortion.rapid_shape == (3, 5)
    np.testing.assert_array_equal(distortion.source_x, [[0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(distortion.source_y, [[0], [1], [2]])


@pytest.mark.parametrize(
    ("source_x", "source_y", "words"),
    [
        pytest.param([[0, 1, np.nan]], [[0], [1]], "NaN", id="not finite"),
        pytest.param([[0, 2, 1]], [[0], [1]], "from pixel 1 to 2 along x", id="folded in x"),
        pytest.param([[0, 1, 1]], [[0], [1]], "from pixel 1 to 2 along x", id="standing still"),
        pytest.param([[0, 1, 2]], [[1], [0]], "along y", id="folded in y"),
        pytest.param([0, 1, 2], [[0], [1]], "two axes", id="no plane"),
        pytest.param([[0, 1, 2]], [[0, 1], [1, 2]], "one grid", id="two grids"),
        pytest.param([[0, 1, 2]] * 3, [[0], [1]], "one grid", id="rows differ"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(source_x, source_y, words):
    with pytest.raises(DistortionError, match=words):
        DistortionMap(source_x=source_x, source_y=source_y, rapid_shape=(2, 3))


def test_a_full_map_and_a_separable_one_have_the_same_shape():
    separable = _map()
    full = DistortionMap(
        source_x=np.broadcast_to(separable.source_x, (8, 8)),
        source_y=np.broadcast_to(separable.source_y, (8, 8)),
        rapid_shape=(8, 8),
    )
    assert full.shape == separable.shape == (8, 8)


def test_a_map_is_read_only_and_does_not_share_memory():
    given = np.arange(4, dtype=float)[None]
    distortion = DistortionMap(
        source_x=given, source_y=np.arange(4, dtype=float)[:, None], rapid_shape=(4, 4)
    )
    given[0, 0] = -9
    assert distortion.source_x[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        distortion.source_x[0, 0] = 1


def test_shared_map_is_the_mean_of_the_views_offsets():
    """Row C7."""
    shared = shared_map([_map(-0.5, std=0.1), _map(1.5, std=0.1)])
    np.testing.assert_allclose(shared.source_x, _map(0.5).source_x)
    np.testing.assert_allclose(shared.source_y, _map(0.5).source_y)
    np.testing.assert_allclose(shared.source_x_std, 0.1)


def test_shared_map_wants_one_scan_setting():
    with pytest.raises(DistortionError, match="one scan setting"):
        shared_map([_map(n=8), _map(n=9)])
    with pytest.raises(DistortionError, match="no map"):
        shared_map([])


def test_a_shifted_map_follows_the_drift_of_a_frame():
    shifted = _map().shifted(0.5, -1.0)
    np.testing.assert_allclose(shifted.source_x, _map().source_x - 1)
    np.testing.assert_allclose(shifted.source_y, _map().source_y + 0.5)


def test_the_uncertainty_of_a_map_is_that_inside_the_view():
    n = 50
    std = np.full((1, n), 0.3)
    std[0, [0, -1]] = 9.0  # 2 % at either end: the map is extrapolated there
    found = replace(DistortionMap.identity((4, n)), source_x_std=std)
    assert found.uncertainty_px == pytest.approx(0.3)
    assert np.isnan(DistortionMap.identity((4, n)).uncertainty_px)


def test_a_shared_map_is_as_uncertain_as_the_root_mean_square_of_its_views():
    """sqrt((0.1² + 0.7²) / 2) = 0.5; where one view does not know, nobody does."""
    shared = shared_map([_map(std=0.1), _map(std=0.7)])
    np.testing.assert_allclose(shared.source_x_std, 0.5)
    assert shared.rapid_shape == (8, 8)
    assert shared_map([_map(std=0.1), _map()]).source_x_std is None


def test_a_shifted_map_is_as_uncertain_as_before():
    shifted = _map(std=0.1).shifted(0.5, -1.0)
    np.testing.assert_array_equal(shifted.source_x_std, 0.1)
    assert shifted.rapid_shape == (8, 8)


@pytest.mark.parametrize(
    ("std", "words"),
    [([[0.1, -0.1, 0.1]], "negative"), ([[0.1, 0.1]], r"source_x_std has shape \(1, 2\)")],
)
def test_an_uncertainty_that_makes_no_sense_is_refused(std, words):
    with pytest.raises(DistortionError, match=words):
        replace(DistortionMap.identity((2, 3)), source_x_std=std)
    assert replace(DistortionMap.identity((2, 3)), source_x_std=[[0.0] * 3]).uncertainty_px == 0


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2,), (1, 2, 3)])
def test_rapid_frames_of_no_size_are_refused(shape):
    with pytest.raises(DistortionError, match="rapid_shape is"):
        replace(DistortionMap.identity((2, 3)), rapid_shape=shape)
    assert replace(DistortionMap.identity((2, 3)), rapid_shape=(1, 1)).rapid_shape == (1, 1)


def test_the_linear_map_keeps_the_ends_and_is_straight_between():
    x = np.array([[1.0, 2.0, 6.0, 7.0], [3.0, 4.0, 8.0, 9.0]])
    y = np.array([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 7.0, 7.0]])
    bent = DistortionMap(source_x=x, source_y=y, rapid_shape=(9, 12), source_x_std=np.ones((1, 4)))
    linear = bent.linear()
    np.testing.assert_allclose(linear.source_x, [[2.0, 4.0, 6.0, 8.0]])
    np.testing.assert_allclose(linear.source_y, [[1.0], [6.0]])
    assert linear.rapid_shape == (9, 12)
    assert linear.source_x_std is None


def test_of_a_map_that_is_straight_the_linear_one_is_the_same():
    straight = DistortionMap.identity((3, 5)).shifted(0.5, -1.0)
    linear = straight.linear()
    np.testing.assert_allclose(linear.source_x, straight.source_x)
    np.testing.assert_allclose(linear.source_y, straight.source_y)
