import numpy as np
import pytest

from stemscale.quality import mean_and_std


def test_mean_and_population_std_by_hand():
    """Row Q2: 2, 4, 4, 6 have mean 4; squared deviations 4, 0, 0, 4; sqrt(8 / 4) = sqrt(2)."""
    summary = mean_and_std([2, 4, 4, 6])
    assert (summary.mean, summary.n) == (4, 4)
    assert summary.std == pytest.approx(np.sqrt(2))


def test_frames_without_a_score_are_left_out_and_not_counted():
    summary = mean_and_std(np.array([np.nan, 3.0, np.nan, 5.0]))
    assert (summary.mean, summary.std, summary.n) == (4, 1, 2)


def test_no_scores_give_no_mean():
    summary = mean_and_std([])
    assert summary.n == 0
    assert np.isnan([summary.mean, summary.std]).all()


def test_a_perfect_frame_makes_the_mean_infinite():
    summary = mean_and_std([np.inf, 30.0])
    assert (summary.mean, summary.n) == (np.inf, 2)
    assert np.isnan(summary.std)
