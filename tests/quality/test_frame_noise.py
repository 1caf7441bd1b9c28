import numpy as np
import pytest
from quality.builders import dislocations, exponential_tail, lagged

from stemscale.errors import FrameShapeError
from stemscale.quality import frame_noise

SCENE = 1000.0 * dislocations(128, seed=3)


def frames(n, *, noise=50.0, seed=0):
    return SCENE + np.random.default_rng(seed).normal(0, noise, (n, *SCENE.shape))


def test_white_noise_is_measured_whatever_the_scene_and_its_brightness():
    one, other = frames(3), 20.0 + frames(3, seed=1)
    found = frame_noise(one, other)
    assert found.sigma == pytest.approx(50, rel=0.02)
    assert abs(found.along) < 0.02
    assert abs(found.across) < 0.02


def test_a_lag_makes_noise_alike_along_the_scan_line_alone():
    """h(k) = (1 - a) a^k correlates neighbours by a = e^(-1/2)."""
    response = exponential_tail(2.0)
    one, other = (
        np.stack([lagged(frame, response) for frame in frames(3, seed=seed)]) for seed in (0, 1)
    )
    found = frame_noise(one, other)
    assert found.along == pytest.approx(np.exp(-0.5), abs=0.02)
    assert abs(found.across) < 0.02


def test_unseen_pixels_do_not_count():
    one, other = frames(2), frames(2, seed=1)
    one[:, :40], other[1, :, 60:] = np.nan, np.nan
    found = frame_noise(one, other)
    assert found.sigma == pytest.approx(50, rel=0.03)
    assert abs(found.along) < 0.03


def test_of_equal_or_unseen_frames_nothing_is_known():
    one = frames(1)
    assert np.isnan(frame_noise(one, one).sigma)
    assert np.isnan(frame_noise(one, np.full_like(one, np.nan)).along)


def test_frames_of_another_shape_are_refused():
    with pytest.raises(FrameShapeError, match="as many frames on one grid"):
        frame_noise(frames(2), frames(3))
