import numpy as np
import pytest
from quality.builders import dislocations, exponential_tail, lagged
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import FlatFrames, NeighbourScores, unsupervised_mse, upsnr

SCENE = 1000.0 * dislocations(256)
NOISE = 300.0


def series(scene=SCENE, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return scene + rng.normal(0, NOISE, (n, *scene.shape))


def test_it_is_the_error_to_the_truth_that_nobody_saw():
    before, frame, after = series()
    filtered = gaussian_filter(frame, 1.5)
    truth = np.mean((filtered - SCENE) ** 2)
    assert unsupervised_mse(filtered, before, after) == pytest.approx(truth, rel=0.05)
    expected = 10 * np.log10(1000**2 / truth)
    assert upsnr(filtered, before, after, peak=1000) == pytest.approx(expected, abs=0.25)


def test_an_unfiltered_frame_has_the_error_of_its_noise():
    """300² = 90,000, less what the best gain takes away of it."""
    before, frame, after = series()
    gain = SCENE.var() / (SCENE.var() + NOISE**2)
    expected = gain * NOISE**2
    assert unsupervised_mse(frame, before, after) == pytest.approx(expected, rel=0.03)


def test_gain_and_offset_change_nothing():
    before, frame, after = series()
    filtered = gaussian_filter(frame, 1.5)
    one = unsupervised_mse(filtered, before, after)
    assert unsupervised_mse(0.1 * filtered + 7, before, after) == pytest.approx(one)


def test_a_perfect_frame_is_too_good_to_be_told():
    before, _, after = series()
    assert upsnr(SCENE, before, after, peak=1000) > 25


def test_a_frame_that_undoes_the_smear_is_charged_for_it():
    """As the docstring warns: the measure is the rapid scan's own expectation."""
    smeared = lagged(SCENE, exponential_tail(4.0))
    before, _, after = series(smeared)
    assert unsupervised_mse(smeared, before, after) < unsupervised_mse(SCENE, before, after)


def test_pixels_that_one_of_them_did_not_see_are_left_out():
    before, frame, after = series()
    filtered = gaussian_filter(frame, 1.5)
    part = np.s_[:, 20:]
    expected = unsupervised_mse(filtered[part], before[part], after[part])
    for image in (filtered, before, after):
        image[:, :20] = np.nan
    assert unsupervised_mse(filtered, before, after) == pytest.approx(expected)
    filtered[:, 20:] = np.nan
    assert np.isnan(upsnr(filtered, before, after, peak=1))


def test_what_makes_no_sense_is_refused():
    before, frame, after = series()
    with pytest.raises(FrameShapeError):
        upsnr(frame[1:], before, after, peak=1)
    with pytest.raises(SettingsError, match="peak"):
        upsnr(frame, before, after, peak=0)


def test_a_block_scores_as_its_frames_do_one_by_one():
    rapid = (20000 + series(n=5)).astype(np.float32)
    filtered = gaussian_filter(rapid, (0, 1.5, 1.5))
    rapid[:, :, :10] = np.nan
    before, after = np.array([1, 0, 1, 2, 2]), np.array([2, 2, 3, 4, 3])
    scores = NeighbourScores(FlatFrames(rapid), before, after)
    for unseen in (0, 15):  # columns that the filtered frames do not show
        filtered[:, :, :unseen] = np.nan
        expected = [
            unsupervised_mse(f, rapid[a], rapid[b])
            for f, a, b in zip(filtered, before, after, strict=True)
        ]
        assert scores(FlatFrames(filtered)) == pytest.approx(expected, rel=2e-3)
        part = scores(FlatFrames(filtered[2:4]), first=2)
        assert part == pytest.approx(expected[2:4], rel=2e-3)


def test_frames_without_neighbours_or_without_pixels_have_no_score():
    rapid = series(n=4).astype(np.float32)
    filtered = gaussian_filter(rapid, (0, 1.5, 1.5))
    rapid[3], filtered[1] = np.nan, np.nan
    scores = NeighbourScores(FlatFrames(rapid), np.array([1, 0, 1, -1]), np.array([2, 2, 3, 1]))
    found = scores(FlatFrames(filtered))
    assert np.isfinite(found).tolist() == [True, False, False, False]


def test_a_frame_without_any_error_or_noise_is_too_good_to_be_told():
    image = np.array([[0.0, 2.0]])
    assert unsupervised_mse(image, image, image) == 0
    assert upsnr(image, image, image, peak=1) == np.inf
