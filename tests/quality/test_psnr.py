import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality.builders import dislocations, smooth_background
from skimage.metrics import peak_signal_noise_ratio

from stemscale.errors import FrameShapeError, SeriesError, SettingsError
from stemscale.quality import (
    psnr,
    psnr_by_band,
    psnr_matched,
    psnr_paper,
    psnr_without_background,
)


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_psnr_of_a_known_error():
    """Row Q1. Every pixel off by 655.35: peak / error = 100, so 20 log10(100) = 40 dB."""
    reference = np.full((4, 6), 1000.0)
    assert psnr(reference + 655.35, reference, peak=65535) == pytest.approx(40.0)


def test_psnr_does_not_wrap_round_with_unsigned_integers():
    frame, reference = np.full((2, 2), 1, np.uint16), np.full((2, 2), 2, np.uint16)
    assert psnr(frame, reference, peak=10) == pytest.approx(20.0)


def test_psnr_of_equal_images_is_infinite():
    image = dislocations(32)
    assert psnr(image, image, peak=1) == np.inf


def test_averaging_50_frames_of_white_noise_gains_17_db():
    """Row D3: noise power falls to 1/50 and 10 log10(50) = 16.99 dB."""
    frames = noise((50, 256, 256))
    truth = np.zeros((256, 256))
    gain = psnr(frames.mean(axis=0), truth, peak=1) - psnr(frames[0], truth, peak=1)
    assert gain == pytest.approx(16.99, abs=0.1)


def test_psnr_leaves_out_pixels_not_seen_in_either_image():
    frame, reference = np.full((3, 4), 1.0), np.zeros((3, 4))
    frame[0, 0], reference[1, 1] = np.nan, np.nan
    frame[1, 1] = 1e9
    assert psnr(frame, reference, peak=10) == pytest.approx(20.0)


@pytest.mark.parametrize("score", [psnr_paper, psnr_matched, psnr_without_background])
def test_images_that_share_no_pixel_have_no_score(score):
    frame, reference = dislocations(32), dislocations(32)
    frame[:16], reference[16:] = np.nan, np.nan
    assert np.isnan(score(frame, reference))
    assert np.isnan(psnr(frame, reference, peak=1))
    assert np.isnan(psnr_by_band(frame, reference)).all()


@pytest.mark.parametrize(
    "score",
    [psnr_paper, psnr_matched, psnr_without_background, lambda a, b: psnr(a, b, peak=1)],
)
def test_images_of_different_shape_are_refused(score):
    with pytest.raises(FrameShapeError, match=r"\(8, 9\).*\(8, 8\).*match_views"):
        score(np.zeros((8, 9)), np.zeros((8, 8)))


def test_a_series_is_refused():
    with pytest.raises(FrameShapeError, match="frame by frame"):
        psnr(np.zeros((2, 8, 9)), np.zeros((2, 8, 9)), peak=1)


@pytest.mark.parametrize("peak", [0, -1, np.nan])
def test_a_peak_that_is_not_positive_is_refused(peak):
    with pytest.raises(SettingsError, match="peak"):
        psnr(np.zeros((8, 9)), np.ones((8, 9)), peak=peak)


@given(gain=st.floats(0.01, 1000), offset=st.floats(-1e5, 1e5))
def test_psnr_paper_ignores_a_change_of_scale_of_either_image(gain, offset):
    """Row Q1: both images are min-max scaled first."""
    reference = dislocations(24)
    frame = reference + 0.1 * noise((24, 24))
    expected = psnr_paper(frame, reference)
    assert psnr_paper(gain * frame + offset, reference) == pytest.approx(expected, abs=1e-5)
    assert psnr_paper(frame, gain * reference + offset) == pytest.approx(expected, abs=1e-5)


def test_psnr_paper_by_hand():
    """Row Q1. Scaled to the peak: 0, 1/2, 1 against 0, 1/4, 1; MSE = 1/48; 10 log10(48) dB."""
    frame, reference = np.array([[10, 20, 30]]), np.array([[0, 100, 400]])
    assert psnr_paper(frame, reference) == pytest.approx(10 * np.log10(48))


def test_psnr_paper_scales_by_the_pixels_seen_in_both():
    frame, reference = np.array([[10.0, 20, 30, 999]]), np.array([[0, 100, 400, np.nan]])
    assert psnr_paper(frame, reference) == pytest.approx(10 * np.log10(48))


def test_psnr_paper_of_a_constant_image_is_refused():
    with pytest.raises(SeriesError, match="constant"):
        psnr_paper(np.ones((4, 4)), dislocations(4))


def test_psnr_by_band_sorts_pixels_by_the_reference():
    """Row Q3. The reference is on the paper's scale already, so is the frame.

    Errors 655.35 (40 dB) in the dark band, 6553.5 (20 dB) in the bright one, none between.
    """
    reference = np.array([[0, 10000, 30000, 50000, 65535.0]])
    frame = reference + np.array([[0, 655.35, 0, 6553.5, 0]])
    dark, middle, bright = psnr_by_band(frame, reference)
    assert dark == pytest.approx(40 + 10 * np.log10(2))  # one of two pixels is off
    assert middle == np.inf
    assert bright == pytest.approx(20 + 10 * np.log10(2))


def test_a_pixel_belongs_to_the_band_of_the_reference_not_of_the_frame():
    """Row Q3: 19000 in the reference is dark, though the frame shows 25553.5."""
    reference = np.array([[0, 19000, 65535.0]])
    frame = np.array([[0, 25553.5, 65535.0]])
    dark, middle, _ = psnr_by_band(frame, reference)
    assert dark == pytest.approx(20 + 10 * np.log10(2))
    assert np.isnan(middle)


def test_a_band_holds_its_lower_limit_and_an_empty_band_has_no_score():
    """Row Q3."""
    reference = np.array([[0, 20000, 65535.0]])
    frame = np.array([[0, 26553.5, 65535.0]])
    dark, middle, bright = psnr_by_band(frame, reference)
    assert dark == bright == np.inf
    assert middle == pytest.approx(20.0)
    assert np.isnan(psnr_by_band(frame, reference, edges=(0, 10, 20))[1])


@pytest.mark.parametrize("edges", [(0,), (0, 2, 1), (0, 0, 1)])
def test_bands_that_do_not_ascend_are_refused(edges):
    with pytest.raises(SettingsError, match="ascend"):
        psnr_by_band(dislocations(8), dislocations(8), edges=edges)


@given(gain=st.floats(0.01, 100), offset=st.floats(-1e4, 1e4))
def test_psnr_matched_ignores_gain_and_offset_of_the_frame(gain, offset):
    reference = dislocations(24)
    frame = reference + 0.1 * noise((24, 24))
    expected = psnr_matched(frame, reference)
    assert psnr_matched(gain * frame + offset, reference) == pytest.approx(expected, abs=1e-5)


def test_psnr_matched_does_not_hang_on_one_hot_pixel_as_the_papers_does():
    reference = dislocations(128)
    frame = reference + 0.01 * noise((128, 128))
    hot = frame.copy()
    hot[3, 3] += 1.0
    assert psnr_matched(frame, reference) - psnr_matched(hot, reference) < 2.5
    assert psnr_paper(frame, reference) - psnr_paper(hot, reference) > 5


def test_psnr_matched_against_a_constant_reference_is_refused():
    with pytest.raises(SeriesError, match="reference is constant"):
        psnr_matched(dislocations(8), np.ones((8, 8)))


def test_psnr_without_background_ignores_smooth_background_and_gain():
    reference = dislocations(256)
    frame = reference + 0.1 * noise((256, 256))
    plain = psnr_without_background(frame, reference)
    other = psnr_without_background(5 * (frame + smooth_background(256)) - 3, reference)
    assert other == pytest.approx(plain, abs=0.3)
    assert psnr_matched(frame + smooth_background(256), reference) < plain - 3


def test_psnr_without_background_sees_only_the_common_view():
    """What the frame does not show must not change the background of what it shows."""
    reference = dislocations(128)
    frame = reference + 0.1 * noise((128, 128))
    frame[:, 100:] = np.nan
    cut = psnr_without_background(frame[:, :100], reference[:, :100])
    assert psnr_without_background(frame, reference) == pytest.approx(cut)


def test_it_agrees_with_scikit_image():
    rng = np.random.default_rng(3)
    frame, reference = rng.integers(0, 65536, (2, 40, 50)).astype(np.uint16)
    expected = peak_signal_noise_ratio(reference, frame, data_range=65535)
    assert psnr(frame, reference, peak=65535) == pytest.approx(expected)


def test_one_band_from_end_to_end_is_the_whole_score():
    """Row Q3. Scaled to the peak: 0, 1/2, 1 against 0, 1/4, 1; MSE = 1/48."""
    frame, reference = np.array([[10, 20, 30]]), np.array([[0, 100, 400]])
    (whole,) = psnr_by_band(frame, reference, edges=(0, 65535))
    assert whole == pytest.approx(10 * np.log10(48))


def test_images_that_share_no_pixel_have_as_many_scores_as_bands():
    nothing = np.full((2, 2), np.nan)
    assert len(psnr_by_band(nothing, nothing)) == 3
    assert len(psnr_by_band(nothing, nothing, edges=(0, 1, 2, 3, 4))) == 4


def test_the_peak_of_a_matched_score_is_the_range_of_the_reference():
    """Means 1 and 12, covariance 0: the best gain is 0, MSE = 2², range 4, 20 log10(4 / 2) dB."""
    frame, reference = np.array([[0.0, 2, 0, 2]]), np.array([[10.0, 10, 14, 14]])
    assert psnr_matched(frame, reference) == pytest.approx(20 * np.log10(2))


def test_the_background_that_is_taken_out_is_as_smooth_as_a_gaussian_of_20_px():
    """A wave of 160 px is background by exp(-(pi/4)²/2) = 0.73: so much of the error goes.

    Beside a wave of 4 px and as strong, which the Gaussian leaves, it is the whole error.
    """
    x = np.tile(np.arange(640), (8, 1))
    reference = np.cos(2 * np.pi * x / 4)
    frame = reference + 0.1 * np.cos(2 * np.pi * x / 160)
    gain = psnr_without_background(frame, reference) - psnr_matched(frame, reference)
    assert gain == pytest.approx(-20 * np.log10(1 - np.exp(-((np.pi / 4) ** 2) / 2)), abs=1)
