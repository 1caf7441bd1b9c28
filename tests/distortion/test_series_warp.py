import numpy as np
import pytest

from stemscale.distortion import DistortionMap
from stemscale.distortion.series_warp import SeriesWarp
from stemscale.distortion.warp import Warp
from stemscale.errors import DistortionError

SHAPE = (5, 7)
FRAMES = np.random.default_rng(0).integers(0, 1000, (4, *SHAPE)).astype(np.uint16)
DRIFT = np.array([[0, 0], [1, -2], [np.nan, np.nan], [0.5, 0.0]])


def _map():
    return DistortionMap(
        source_x=(0.8 * np.arange(6) + 0.5)[None],
        source_y=np.arange(4.0)[:, None],
        rapid_shape=SHAPE,
    )


def test_frames_that_are_not_corrected_stay_as_they_are():
    series = SeriesWarp(None, rapid_shape=SHAPE)
    found = series(FRAMES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, FRAMES)
    assert series.at_once == 1
    assert series.distortion is None


@pytest.mark.parametrize("interpolation", [None, "linear", "cubic"])
def test_frames_are_corrected_by_the_map_and_linearly_unless_told_otherwise(interpolation):
    distortion = _map()
    series = SeriesWarp(distortion, rapid_shape=SHAPE, interpolation=interpolation)
    assert series.distortion is distortion
    warp = Warp(distortion, interpolation=interpolation or "linear")
    np.testing.assert_array_equal(series(FRAMES), warp(FRAMES))
    assert series.at_once == warp.at_once


def test_each_frame_is_put_where_its_scene_lies_by_its_number_in_the_series():
    """frame(y + 1, x - 2) of the second, rows midway of the fourth; the third has no place."""
    series = SeriesWarp(None, rapid_shape=SHAPE, drift=DRIFT)
    first, second, third, fourth = series(FRAMES)
    np.testing.assert_array_equal(first, FRAMES[0])
    np.testing.assert_array_equal(second[:4, 2:], FRAMES[1, 1:, :5])
    assert np.isnan(second[4]).all()
    assert np.isnan(second[:, :2]).all()
    assert np.isnan(third).all()
    middle = (FRAMES[3, :4].astype(float) + FRAMES[3, 1:]) / 2
    np.testing.assert_allclose(fourth[:4], middle, rtol=1e-6)
    np.testing.assert_array_equal(series(FRAMES[1:3], first=1), [second, third])


def test_a_map_and_a_drift_are_undone_together():
    drift = np.array([[1.0, 0.5]])
    found = SeriesWarp(_map(), rapid_shape=SHAPE, drift=drift)(FRAMES[:1])
    np.testing.assert_array_equal(found, Warp(_map().shifted(1.0, 0.5))(FRAMES[:1]))


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(DistortionError, match="'sinc' is unknown"):
        SeriesWarp(_map(), rapid_shape=SHAPE, interpolation="sinc")
