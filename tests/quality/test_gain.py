import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality.builders import dislocations

from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality import PAPER_PEAK, match_gain, min_max_scale


@given(gain=st.floats(-100, 100).filter(lambda g: abs(g) > 1e-3), offset=st.floats(-1e4, 1e4))
def test_match_gain_undoes_a_gain_and_an_offset(gain, offset):
    reference = dislocations(16)
    np.testing.assert_allclose(
        match_gain(gain * reference + offset, reference), reference, atol=1e-6
    )


def test_match_gain_of_noise_shrinks_it_to_the_mean():
    """Least squares: what does not correlate gets the gain 0."""
    reference = np.array([[1.0, -1.0, 1.0, -1.0]])
    frame = np.array([[1.0, 1.0, -1.0, -1.0]])
    np.testing.assert_allclose(match_gain(frame, reference), 0, atol=1e-12)


def test_match_gain_of_a_constant_frame_is_the_mean_of_the_reference():
    reference = dislocations(16)
    matched = match_gain(np.full((16, 16), 0.1), reference)
    np.testing.assert_allclose(matched, reference.mean())


def test_match_gain_keeps_unseen_pixels_unseen_and_fits_the_others():
    reference = dislocations(16)
    frame = 3 * reference + 1
    frame[:4] = np.nan
    matched = match_gain(frame, reference)
    assert np.isnan(matched[:4]).all()
    np.testing.assert_allclose(matched[4:], reference[4:])
    assert np.isnan(match_gain(np.full((16, 16), np.nan), reference)).all()


def test_match_gain_refuses_images_of_different_shape():
    with pytest.raises(FrameShapeError):
        match_gain(np.zeros((2, 3)), np.zeros((3, 2)))


def test_min_max_scale_runs_from_0_to_the_peak():
    """Rows Q1, F3: 0 … 65535."""
    scaled = min_max_scale(np.array([[100, 150, 200]], np.uint16))
    np.testing.assert_allclose(scaled, [[0, PAPER_PEAK / 2, PAPER_PEAK]])


def test_min_max_scale_keeps_unseen_pixels_unseen():
    scaled = min_max_scale(np.array([[np.nan, 1.0, 3.0]]), peak=1)
    np.testing.assert_array_equal(scaled, [[np.nan, 0, 1]])


@pytest.mark.parametrize(
    ("image", "message"),
    [(np.full((2, 2), 7), "every pixel 7"), (np.full((2, 2), np.nan), "no pixel")],
    ids=["constant", "not seen"],
)
def test_an_image_without_a_range_cannot_be_scaled(image, message):
    with pytest.raises(SeriesError, match=message):
        min_max_scale(image)
