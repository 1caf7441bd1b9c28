from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from stemscale.distortion.beam import BeamPath
from stemscale.distortion.gauss_newton import Fit, Offsets, State, place_of
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


@pytest.fixture
def beam():
    return BeamPath(64, knot_px=8.0, bend=0.01, start_stretch=0.3)


KNOWN = Offsets(std_x=1.0, mean_y=np.array([10.0, 11.0]), std_y=2.0, std_along_y=0.5)


def test_offsets_away_from_what_is_known_cost_their_square_over_the_variance(beam):
    """4 and 4 (1 + 9) for x = (0, 1), (2, 3); 1/4 and 4 (121 + 169) for y = (10, 11), (12, 13)."""
    fit = Fit([], beam, KNOWN)
    state = replace(_state(degree=1), path=np.zeros(beam.basis.shape[1]))
    assert fit._cost(state, []) == pytest.approx(4 + 40 + 0.25 + 1160)


def test_steps_go_down_the_cost_of_what_is_known(beam):
    """What stands on the right is minus half the slope of the cost, the path's bending included."""
    fit = Fit([], beam, KNOWN)
    path = np.random.default_rng(0).normal(size=beam.basis.shape[1])
    state = replace(_state(degree=1), path=path)
    normal, right = fit._normal_equations(state, [])
    for i, unit in enumerate(np.eye(right.size)):
        up, down = (fit._cost(fit._moved(state, h * unit), []) for h in (1e-3, -1e-3))
        assert (up - down) / 2e-3 == pytest.approx(-2 * right[i], rel=1e-5, abs=1e-5)
        curved = (up + down - 2 * fit._cost(state, [])) / 1e-6
        assert curved == pytest.approx(2 * normal[i, i], rel=1e-3, abs=1e-3)


def test_only_columns_that_some_view_sees_count(beam):
    seen = np.zeros((2, 64), dtype=bool)
    seen[0, 20:41], seen[1, 30:51] = True, True
    fit = Fit([SimpleNamespace(columns=columns) for columns in seen], beam, KNOWN)
    assert fit.seen() == (20, 50)
    step = np.zeros(beam.basis.shape[1] + 8)
    step[: beam.basis.shape[1]] = np.linspace(0.0, 1.0, beam.basis.shape[1])
    move = np.abs(beam.path(step[: beam.basis.shape[1]]))
    assert fit._largest_move(step) == pytest.approx(move[50])
    step[-1] = -3.0
    assert fit._largest_move(step) == 3.0
