import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.builders import dislocations, exponential_tail, lagged, smooth_background
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality import match_gain, remove_background, ssim


def test_a_checkerboard_under_stripes_as_strong_is_similar_by_0_667():
    """Variances 1/2 (after the best gain, 1/2) and 1, covariance 1/2, range 2, means 1.

    (2 · 1/2 + c2) / (1/2 + 1 + c2) with c2 = (0.03 · 2)² = 0.0036.
    """
    y, x = np.mgrid[:64, :64]
    board, stripes = (-1.0) ** (x + y), (-1.0) ** x
    score = ssim(board + stripes, board, sigma_px=200)  # the mean is all the background there is
    assert score == pytest.approx(1.0036 / 1.5036, abs=2e-3)


def test_what_is_seen_whole_scores_as_with_scikit_image():
    truth = dislocations(96)
    image = 500 * (truth + np.random.default_rng(0).normal(0, 0.1, truth.shape)) + 3000
    b = remove_background(truth)
    a = match_gain(remove_background(image), b)
    expected = structural_similarity(
        a - b.min(),
        b - b.min(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=np.ptp(b),
    )
    assert ssim(image, truth) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25)
@given(gain=st.floats(0.01, 1e4), offset=st.floats(-1e4, 1e4))
def test_gain_and_offset_count_for_nothing(gain, offset):
    truth = dislocations(48)
    assert ssim(gain * truth + offset, truth) == pytest.approx(1)


def test_a_smooth_background_counts_for_little_and_detail_for_much():
    truth = dislocations(128)
    with_background = truth + smooth_background(128)
    assert ssim(with_background, truth) > 0.95
    assert ssim(with_background, truth) > ssim(with_background, truth, sigma_px=1000) + 0.05
    rng = np.random.default_rng(1)
    noisy = truth + rng.normal(0, 0.2, truth.shape)
    assert ssim(noisy, truth) < ssim(gaussian_filter(noisy, 1.5), truth) < 1
    assert ssim(lagged(truth, exponential_tail(9.0)), truth) < 0.95


def test_unseen_pixels_are_left_out_of_the_windows_too():
    truth = dislocations(64)
    image = truth + np.random.default_rng(0).normal(0, 0.1, truth.shape)
    holed = truth.copy()
    holed[20:30, 20:40] = np.nan
    damaged = image.copy()
    damaged[20:30, 20:40] = 1e6
    assert ssim(damaged, holed) == ssim(image, holed)
    assert ssim(2 * holed + 1, truth) == pytest.approx(1)
    assert np.isnan(ssim(np.full((64, 64), np.nan), truth))


def test_bad_input_is_refused():
    with pytest.raises(FrameShapeError, match="11 x 11"):
        ssim(np.zeros((10, 64)), np.zeros((10, 64)))
    with pytest.raises(SeriesError, match="constant"):
        ssim(dislocations(32), np.full((32, 32), 7.0))
    with pytest.raises(FrameShapeError):
        ssim(np.zeros((16, 16)), np.zeros((16, 12)))


def test_one_window_is_enough_and_its_centre_has_to_be_seen():
    truth = dislocations(64)[20:31, 20:31]
    assert ssim(truth, truth) == pytest.approx(1)
    holed = truth.copy()
    holed[5, 5] = np.nan
    assert np.isnan(ssim(holed, truth))
