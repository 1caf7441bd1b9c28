import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.builders import dislocations, exponential_tail, lagged
from scipy.fft import fft2, fftfreq, ifft2
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from stemscale.errors import FrameShapeError
from stemscale.quality import streak
from stemscale.quality.streak import streak_of_gains


def noise(size=256, *, seed=0):
    return np.random.default_rng(seed).normal(size=(size, size))


def test_half_the_amplitude_along_x_is_a_streak_of_6_02_db():
    """Row Q6: 20 log10 2."""
    scene = noise()
    flat = np.abs(fftfreq(256))[None] > np.abs(fftfreq(256))[:, None]
    image = ifft2(fft2(scene) * np.where(flat, 0.5, 1.0)).real
    assert streak(image, scene) == pytest.approx(6.02, abs=0.05)
    assert streak(image.T, scene.T) == pytest.approx(-6.02, abs=0.05)


@settings(max_examples=25)
@given(sigma_px=st.floats(0.1, 5), gain=st.floats(0.1, 100), offset=st.floats(-100, 100))
def test_neither_gain_nor_an_isotropic_filter_is_a_streak(sigma_px, gain, offset):
    scene = dislocations(128)
    image = gain * gaussian_filter(scene, sigma_px) + offset
    assert streak(image, scene) == pytest.approx(0, abs=0.2)


def test_a_longer_lag_is_a_stronger_streak():
    """Row Q6."""
    scene = dislocations(256)
    assert streak(scene, scene) == pytest.approx(0, abs=1e-9)
    found = [streak(lagged(scene, exponential_tail(tau)), scene) for tau in (0.5, 1.5, 4.0)]
    assert 0 < found[0] < found[1] < found[2]


def test_a_blur_along_y_is_a_negative_streak():
    scene = dislocations(256)
    along_y = streak(gaussian_filter1d(scene, 2.0, axis=0), scene)
    assert along_y < -2
    assert streak(gaussian_filter1d(scene, 2.0, axis=1), scene) > 2


def test_noise_neither_hides_a_streak_nor_makes_one():
    scene = dislocations(256)
    level = scene.std()
    white = [streak(scene + level * noise(seed=s), scene) for s in range(8)]
    assert np.mean(white) == pytest.approx(0, abs=0.5)
    smeared = lagged(scene, exponential_tail(3.0))
    noisy = [streak(smeared + level * noise(seed=s), scene) for s in range(8)]
    assert np.mean(noisy) == pytest.approx(streak(smeared, scene), abs=0.5)
    late = lagged(level * noise(), exponential_tail(3.0))
    assert streak(scene + late, scene) == pytest.approx(0, abs=1.0)


def test_what_shows_nothing_of_the_scene_has_no_streak():
    scene = dislocations(64)
    assert np.isnan(streak(-scene, scene))
    assert np.isnan(streak(np.full((64, 64), np.nan), scene))
    assert np.isnan(streak(np.zeros((64, 64)), scene))


def test_unseen_pixels_are_left_out_of_both():
    scene = dislocations(128)
    image = 3 * scene + 7
    image[:, :25] = np.nan
    assert streak(image, scene) == pytest.approx(0, abs=1e-6)


def test_an_image_smaller_than_its_waves_is_refused():
    with pytest.raises(FrameShapeError, match="40 pixels"):
        streak(np.zeros((39, 64)), np.zeros((39, 64)))


def test_an_image_as_large_as_its_longest_wave_has_a_streak():
    scene = dislocations(40)
    assert streak(scene, scene) == pytest.approx(0, abs=1e-9)


def test_the_streak_is_the_ratio_of_the_gains_in_db():
    """20 log10(0.8 / 0.4) = 6.02; a gain that is not above 0 tells nothing."""
    gains = np.array([[0.8, 0.0, 0.8, -0.8], [0.4, 0.4, 0.0, -0.4]])
    found = streak_of_gains(gains)
    assert found[0] == pytest.approx(20 * np.log10(2))
    assert np.isnan(found[1:]).all()
