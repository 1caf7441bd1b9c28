import numpy as np
import pytest
from distortion.builders import make_scan

from stemscale.distortion import ViewSearch, match_views
from stemscale.distortion.template import highest, scan_template
from stemscale.errors import DistortionError, SettingsError
from stemscale.quality import zncc

N = 192


def _linear_scan(seed=1, left=11.0, right=175.0, row_offset=2.4, **kwargs):
    """A rapid scan that shows slow columns 0 to N - 1 at its columns left to right."""
    path = (np.arange(N) - left) * (N - 1) / (right - left)
    return make_scan(seed, N, path=path, row_offset=row_offset, **kwargs)


def test_the_template_scan_is_the_slow_loop_over_zncc():
    """Row C1."""
    rng = np.random.default_rng(0)
    image, template = rng.normal(5, 1, (12, 15)), rng.normal(2, 3, (6, 4))
    scores = scan_template(image, template)
    loop = [[zncc(image[y : y + 6, x : x + 4], template) for x in range(12)] for y in range(7)]
    np.testing.assert_allclose(scores, loop, atol=1e-9)


def test_a_flat_place_scores_nothing():
    image = np.zeros((20, 20))
    image[:, 12:] = np.random.default_rng(0).normal(size=(20, 8))
    scores = scan_template(image, image[4:12, 12:18])
    assert scores[4, 12] == pytest.approx(1.0)
    np.testing.assert_array_equal(scores[:, :5], 0)


def test_the_highest_place_is_found_to_a_fraction():
    y, x = np.mgrid[0:9, 0:9]
    # parabolas through three samples are exact for a paraboloid
    scores = 1 - 0.01 * (y - 3.3) ** 2 - 0.02 * (x - 5.8) ** 2
    row, column, best = highest(scores)
    assert (row, column) == pytest.approx((3.3, 5.8))
    assert best == pytest.approx(1 - 0.01 * 0.09 - 0.02 * 0.04)


@pytest.mark.parametrize("row_offset", [-3.0, 0.0, 2.4])
def test_the_cuts_and_the_row_offset_of_a_stretched_view_are_found(row_offset):
    """Rows C1 and C2."""
    scan = _linear_scan(row_offset=row_offset, lag=False)
    match = match_views(scan.dcfi, scan.slow)
    # a template of 50 px is not stretched, so either end may be off by half of what it would
    # have to be: 50 px * 16 % / 2 = 4 px; on slanted lines that looks like a row offset, too
    assert match.left == pytest.approx(11, abs=4.5)
    assert match.right == pytest.approx(175, abs=4.5)
    assert match.row_offset == pytest.approx(row_offset, abs=0.8)
    assert max(match.score_left, match.score_right) > 0.8


def test_an_undistorted_view_is_found_exactly():
    path = np.arange(N) - 9.0
    scan = make_scan(2, N, path=path, row_offset=3.0, lag=False, noise=False)
    match = match_views(scan.dcfi, scan.slow)
    assert match.left == pytest.approx(9.0, abs=0.1)
    assert match.row_offset == pytest.approx(3.0, abs=0.1)


def test_a_slow_scan_on_other_pixels_is_matched_on_its_own_grid():
    scan = _linear_scan(lag=False)
    same = match_views(scan.dcfi, scan.slow)
    fine = np.repeat(np.repeat(scan.slow, 2, axis=0), 2, axis=1)
    match = match_views(scan.dcfi, fine)
    # the first column of the fine grid lies a quarter of a coarse pixel further left
    assert match.left == pytest.approx(same.left - 0.25, abs=0.3)
    assert match.right == pytest.approx(same.right + 0.25, abs=0.3)
    assert match.row_offset == pytest.approx(same.row_offset, abs=0.2)


def test_the_linear_map_of_a_match_cuts_stretches_and_shifts():
    match = match_views(*(lambda s: (s.dcfi, s.slow))(_linear_scan()))
    distortion = match.distortion_map((N, N), (N, N))
    assert distortion.source_x[0, 0] == pytest.approx(match.left)
    assert distortion.source_x[0, -1] == pytest.approx(match.right)
    np.testing.assert_allclose(distortion.source_y[:, 0], np.arange(N) + match.row_offset)


def test_a_slow_scan_of_another_area_is_refused():
    with pytest.raises(DistortionError, match=r"ZNCC of 0\.\d\d.*same area"):
        match_views(_linear_scan(1).dcfi, _linear_scan(77).slow)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda image: np.full_like(image, 7.0), "constant", id="constant"),
        pytest.param(
            lambda image: np.minimum(image, np.quantile(image, 0.2)), "saturated", id="saturated"
        ),
        pytest.param(
            lambda image: np.maximum(image, np.quantile(image, 0.8)), "cut off", id="cut off"
        ),
        pytest.param(lambda image: np.full_like(image, np.nan), "only NaN", id="unseen"),
        pytest.param(lambda image: image[:20], "at least 32", id="too small"),
    ],
)
def test_images_without_contrast_are_refused_with_the_reason(spoil, words):
    scan = _linear_scan()
    with pytest.raises(DistortionError, match=words):
        match_views(scan.dcfi, spoil(scan.slow))
    with pytest.raises(DistortionError, match=words):
        match_views(spoil(scan.dcfi), scan.slow)


@pytest.mark.parametrize(
    "wrong", [{"template_px": 3}, {"max_row_offset": 0.4}, {"min_zncc": 1.0}, {"background_px": 1}]
)
def test_a_search_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SettingsError):
        ViewSearch(**wrong)


def test_a_search_may_go_to_its_limits():
    search = ViewSearch(template_px=8, background_px=3, max_row_offset=0.25, min_zncc=0.0)
    assert (search.template_px, search.background_px) == (8, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"template_px": 7},
        {"background_px": 2},
        {"max_row_offset": 0.0},
        {"max_row_offset": 0.26},
        {"min_zncc": -0.1},
    ],
)
def test_a_search_beyond_its_limits_is_refused(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(SettingsError, match=f"{name} (is )?{value:g}"):
        ViewSearch(**wrong)


def test_the_highest_place_at_a_border_is_that_pixel():
    scores = np.zeros((4, 5))
    scores[0, 4] = 0.8
    assert highest(scores) == (0.0, 4.0, 0.8)
    scores[3, 0] = 0.9
    assert highest(scores) == (3.0, 0.0, 0.9)
