import numpy as np
import pytest

from stemscale.distortion.contrast import require_contrast, require_unsaturated, standardise
from stemscale.errors import DistortionError


def _half_at(extreme, more=0):
    """32 x 32 different values, half of them, and so many more, at one extreme."""
    image = np.arange(1, 1025, dtype=float).reshape(32, 32)
    image.ravel()[: 512 + more] = extreme
    return image


@pytest.mark.parametrize(("extreme", "word"), [(2000, "saturated"), (0, "cut off")])
def test_up_to_half_of_the_pixels_may_be_at_an_extreme(extreme, word):
    require_contrast(_half_at(extreme), "it")
    with pytest.raises(DistortionError, match=f"it is {word}: 50% of its pixels are {extreme}"):
        require_contrast(_half_at(extreme, more=1), "it")


def test_a_raw_frame_may_be_dark_but_not_saturated():
    require_unsaturated(_half_at(0, more=400), "a frame")
    require_unsaturated(np.zeros((4, 4)), "a blanked frame")
    require_unsaturated(_half_at(2000), "a frame")
    with pytest.raises(DistortionError, match="a frame is saturated: 50%"):
        require_unsaturated(_half_at(2000, more=1), "a frame")
    unseen = _half_at(2000, more=1)
    unseen[31] = np.nan  # what was not seen does not count: 513 of 992
    with pytest.raises(DistortionError, match="52%"):
        require_unsaturated(unseen, "a frame")


@pytest.mark.parametrize("bad", [np.ones((31, 40)), np.ones((40, 31)), np.ones((2, 40, 40))])
def test_what_is_too_small_to_be_matched_is_refused(bad):
    with pytest.raises(DistortionError, match="at least 32 x 32"):
        require_contrast(bad, "it")


def test_an_infinite_pixel_is_refused_and_an_unseen_one_is_not():
    image = np.arange(1024.0).reshape(32, 32)
    image[31, 0] = np.nan
    require_contrast(image, "it")
    image[31, 1] = np.inf
    with pytest.raises(DistortionError, match="infinite"):
        require_contrast(image, "it")


def test_an_image_is_scaled_to_unit_spread_around_what_was_seen():
    """2 and 6 have mean 4 and spread 2."""
    filled, seen = standardise(np.array([[2.0, np.nan, 6.0, 2.0, 6.0]]), 0.0)
    np.testing.assert_array_equal(filled, [[-1, 0, 1, -1, 1]])
    np.testing.assert_array_equal(seen, [[True, False, True, True, True]])
