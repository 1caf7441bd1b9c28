import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality.builders import dislocations

from stemscale.errors import FrameShapeError
from stemscale.quality import zncc


@given(gain=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_zncc_ignores_gain_and_offset_and_knows_the_sign(gain, offset):
    """Row C1."""
    image = dislocations(16)
    assert zncc(gain * image + offset, image) == pytest.approx(1)
    assert zncc(-gain * image + offset, image) == pytest.approx(-1)


def test_zncc_by_hand():
    """Deviations (-1, 0, 1) and (-1, 1, 0): product 1, norms sqrt(2) each, so 1/2."""
    assert zncc(np.array([[1, 2, 3]], np.uint8), np.array([[0, 2, 1]])) == pytest.approx(0.5)


def test_unrelated_noise_scores_about_0():
    a, b = np.random.default_rng(0).normal(size=(2, 200, 200))
    assert abs(zncc(a, b)) < 0.02


def test_zncc_leaves_out_unseen_pixels():
    a, b = np.array([[1.0, 2, 3, np.nan]]), np.array([[0.0, 2, 1, 50]])
    assert zncc(a, b) == pytest.approx(0.5)


@pytest.mark.parametrize("frame", [np.full((4, 4), 0.1), np.full((4, 4), np.nan)])
def test_a_constant_or_unseen_image_has_no_zncc(frame):
    assert np.isnan(zncc(frame, dislocations(4)))
    assert np.isnan(zncc(dislocations(4), frame))


def test_zncc_refuses_images_of_different_shape():
    with pytest.raises(FrameShapeError):
        zncc(np.zeros((2, 3)), np.zeros((3, 2)))


def test_rounding_takes_no_score_beyond_1():
    images = (np.random.default_rng(seed).normal(size=(5, 7)) for seed in range(60))
    scores = np.array([[zncc(i, 3 * i), zncc(i, -3 * i)] for i in images])
    assert scores.max() == 1
    assert scores.min() == -1
