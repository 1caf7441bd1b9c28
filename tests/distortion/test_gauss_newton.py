import numpy as np

from stemscale.distortion.gauss_newton import Offsets, State, place_of
from stemscale.distortion.prediction import along_rows


def _state(views=2, degree=0):
    shape = (views, degree + 1)
    x = np.arange(views * (degree + 1), dtype=float).reshape(shape)
    return State(path=np.zeros(7), offset_x=x, offset_y=10 + x)


def test_offsets_run_over_the_rows_of_a_frame_from_minus_one_to_one():
    """Legendre: 1, u, (3 u² - 1) / 2; beyond the frame as at its border."""
    along = along_rows(np.array([0.0, 1, 2, 4, 9, -3]), 5, 2)
    expected = [[1, -1, 1], [1, -0.5, -0.125], [1, 0, -0.5], [1, 1, 1], [1, 1, 1], [1, -1, 1]]
    np.testing.assert_allclose(along, expected)
    np.testing.assert_allclose(along_rows(np.array([0.0]), 1, 1), [[1, -1]])


def test_a_state_of_another_degree_keeps_what_both_have():
    state = _state(degree=1)  # x: (0, 1) and (2, 3)
    grown = state.of_degree(2)
    np.testing.assert_array_equal(grown.offset_x, [[0, 1, 0], [2, 3, 0]])
    np.testing.assert_array_equal(grown.offset_y, [[10, 11, 0], [12, 13, 0]])
    np.testing.assert_array_equal(state.of_degree(0).offset_y, [[10], [12]])
    assert grown.path is state.path


def test_offsets_are_known_by_their_inverse_variance():
    """2 px and, of each polynomial along y, 0.5 px."""
    known = Offsets(std_x=1.0, mean_y=np.zeros(1), std_y=2.0, std_along_y=0.5)
    assert known.precision(known.std_y, 2).tolist() == [0.25, 4, 4]
    assert known.precision(known.std_x, 0).tolist() == [1]


def test_offsets_of_a_view_stand_behind_the_path_and_the_views_before():
    assert place_of(_state(degree=1), 0).tolist() == [7, 8]
    assert place_of(_state(degree=1), 1).tolist() == [9, 10]
