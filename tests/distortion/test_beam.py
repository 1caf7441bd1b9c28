import numpy as np
import pytest

from stemscale.distortion.beam import BeamPath, through_points

N = 101


@pytest.fixture
def beam():
    return BeamPath(N, knot_px=10.0, bend=0.01, start_stretch=0.5)


def _straight(beam, rate, start):
    return np.linalg.lstsq(beam.basis, rate * np.arange(N) + start, rcond=None)[0]


def test_splines_add_up_to_one_at_every_column(beam):
    np.testing.assert_allclose(beam.basis.sum(axis=1), 1)
    assert beam.basis.shape == (N, 13)  # ten pieces of 10 px, and three more of degree 3
    assert beam.design(np.zeros(0)).shape == (0, 13)
    assert BeamPath(9, knot_px=10.0, bend=0.01, start_stretch=0.5).basis.shape == (9, 7)


@pytest.mark.parametrize(("at", "column"), [(3, 0), (103, 50), (203, 100), (-17, -10), (223, 110)])
def test_a_straight_path_is_undone_and_goes_on_straight(beam, at, column):
    """Column c is seen at 2 c + 3."""
    found = beam.source_x(_straight(beam, 2.0, 3.0), np.array([float(at)]), (0, N - 1))
    assert found == pytest.approx([column], abs=1e-6)


def test_beyond_what_was_fitted_a_path_goes_on_as_it_ended(beam):
    """c² / 100 up to column 50 and 3 px more: 28.09 there, and from there on 1.06 a column."""
    bent = np.linalg.lstsq(beam.basis, np.arange(N) ** 2 / 100, rcond=None)[0]
    at = 28.09 + 1.06 * np.array([7.0, 20.0])
    np.testing.assert_allclose(beam.source_x(bent, at, (20, 50)), [60, 73], atol=0.05)


def test_the_prior_lets_straight_paths_be_and_line_starts_bend(beam):
    straight = _straight(beam, 1.1, -4.0)
    decaying = np.exp(-np.arange(N) / 25.0)
    start = np.linalg.lstsq(beam.basis, 5 * decaying, rcond=None)[0]
    end = np.linalg.lstsq(beam.basis, 5 * decaying[::-1], rcond=None)[0]
    cost = [float(c @ beam.prior @ c) for c in (straight, start, end)]
    assert cost[0] == pytest.approx(0, abs=1e-6)
    assert cost[1] < 0.2 * cost[2]


def test_rough_matches_of_several_views_give_one_path_and_their_offsets(beam):
    """Two views see columns at c + 1 and c - 1, weighed alike: the path is c, offsets +1 and -1."""
    at = np.arange(N, dtype=float)
    source_x = np.stack([at - 1, at + 1])  # rapid column per slow column
    path, offsets = through_points(beam, source_x, np.ones((2, N)), offset_std=5.0)
    np.testing.assert_allclose(beam.path(path)[5:-5], at[5:-5], atol=0.05)
    np.testing.assert_allclose(offsets, [1, -1], atol=0.02)


def test_matches_outside_the_rapid_frame_are_left_out(beam):
    at = np.arange(N, dtype=float)
    source_x = at[None].copy()
    source_x[0, 40:60] = N  # one beyond the last column
    source_x[0, 20:30] = -0.5
    path, _ = through_points(beam, source_x, np.ones((1, N)), offset_std=5.0)
    np.testing.assert_allclose(beam.path(path), at, atol=0.05)
