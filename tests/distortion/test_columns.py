import numpy as np
import pytest
from distortion.builders import make_scan
from scipy.ndimage import map_coordinates

from stemscale.distortion.columns import _variance, match_columns, normalised

N = 128


def view(seed):
    return normalised(make_scan(seed, N).slow, background_px=33, smooth_px=1.0)


def images(source_x, row_offset=0):
    """A slow scan, and the frame whose column ``source_x[x]`` shows its column x."""
    scene = view(3)
    columns = np.interp(np.arange(N), source_x, np.arange(N), left=np.nan, right=np.nan)
    rows = np.arange(N) - row_offset
    seen = np.isfinite(columns)
    frame = map_coordinates(scene, np.meshgrid(rows, np.nan_to_num(columns), indexing="ij"))
    return np.where(seen, frame, 0).astype(np.float32), scene


@pytest.mark.parametrize("row_offset", [-4, 0, 3])
def test_columns_are_matched_to_a_pixel_after_a_late_start(row_offset):
    x = np.arange(N)
    path = 0.9 * x + 8 - 5 * np.exp(-x / 25)
    rapid, slow = images(path, row_offset)
    found = match_columns(rapid, slow, max_row_offset=6)
    assert found.row_offset == row_offset
    assert found.zncc > 0.9
    np.testing.assert_allclose(found.source_x, path, atol=1)
    assert (np.diff(found.source_x) >= 0).all()


def test_columns_that_the_frame_did_not_see_are_not_placed():
    path = 0.95 * np.arange(N) - 12  # the first 13 lie left of the frame: the rough path finds some
    rapid, slow = images(path)
    found = match_columns(rapid, slow, max_row_offset=2)
    away = (found.source_x < 0) | (found.source_x > N - 1)
    assert np.isinf(found.variance[away]).all()
    assert np.isfinite(found.variance[~away]).all()
    assert 5 <= away.sum() <= 16
    assert found.zncc > 0.9  # of those that both see
    found = match_columns(rapid[:, ::-1], slow[:, ::-1], max_row_offset=2)
    away = (found.source_x < 0) | (found.source_x > N - 1)
    assert np.isinf(found.variance[away]).all()
    assert 5 <= away.sum() <= 16
    assert away[-1]
    assert found.zncc > 0.9


def test_views_of_other_places_do_not_agree():
    assert match_columns(view(1), view(2), max_row_offset=2).zncc < 0.4


def test_a_column_is_placed_as_well_as_shared_slopes_and_the_mismatch_allow():
    """On slopes of ``a`` a mismatch of ``c`` is ``c / a`` px, which n rows average."""
    n_y, a, c = 50, 0.2, 0.3
    slow = np.tile(a * np.arange(40, dtype=np.float32), (n_y, 1))
    expected = 0.8**2 + 13 * (c / a) ** 2 / n_y
    np.testing.assert_allclose(_variance(slow - np.float32(c), slow), expected, rtol=1e-4)
    np.testing.assert_allclose(_variance(slow, slow), 0.8**2)


def test_a_column_without_slopes_in_common_is_not_placed_at_all():
    slow = np.tile(0.2 * np.arange(40, dtype=np.float32), (50, 1))
    assert (_variance(-slow, slow)[10:] > 1e6).all()
    assert (_variance(np.ones_like(slow), slow)[10:] > 1e6).all()
