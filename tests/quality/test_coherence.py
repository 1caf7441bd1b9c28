import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.builders import dislocations, exponential_tail, lagged, smooth_background
from scipy.fft import fft2, fftfreq, ifft2
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import coherence_cutoff, ring_coherence


def noise(size=256, *, seed=0):
    return np.random.default_rng(seed).normal(size=(size, size))


def test_signal_3_and_noise_4_are_coherent_by_three_fifths():
    """C = 3 / sqrt(3² + 4²) = 0.6 at every wave number."""
    truth = noise()
    _, coherence = ring_coherence(3 * truth + 4 * noise(seed=1), truth, pixel_size_nm=2.1)
    weights = np.arange(1, coherence.size + 1)  # waves in a ring
    assert np.average(coherence, weights=weights) == pytest.approx(0.6, abs=0.01)


def test_a_shift_of_2_px_costs_half_at_57_6_per_um():
    """Over a ring the phase averages to J0(2 pi f · 2 px): 1/2 at 1.5211, hence f = 0.1210 / px.

    With pixels of 2.1 nm that is 57.6 /µm.
    """
    truths = [noise(512, seed=seed) for seed in range(4)]
    cutoffs = [
        coherence_cutoff(np.roll(t, 2, axis=1), t, pixel_size_nm=2.1, threshold=0.5) for t in truths
    ]
    assert np.mean(cutoffs) == pytest.approx(1.5211 / (4 * np.pi) * 1000 / 2.1, abs=1.0)


def test_the_cutoff_is_where_only_noise_is_left():
    """Row Q5: true up to 80 /µm = 0.168 / px, and of equal power but untrue beyond."""
    truth, other = noise(), noise(seed=1)
    fine = np.hypot(fftfreq(256)[:, None], fftfreq(256)[None]) > 0.168
    image = ifft2(np.where(fine, fft2(other), fft2(truth))).real
    # half of the running mean of 9 rings of 1.86 /µm lies on either side of the step
    cutoff = coherence_cutoff(image, truth, pixel_size_nm=2.1, threshold=0.5)
    assert cutoff == pytest.approx(80, abs=2)


def test_rings_are_one_wave_of_the_shorter_side_apart_and_end_below_nyquist():
    image = np.random.default_rng(0).normal(size=(40, 60))
    wave_number, coherence = ring_coherence(image, image, pixel_size_nm=2.0)
    np.testing.assert_allclose(wave_number, np.arange(1, 20) / 40 / 0.002)
    np.testing.assert_allclose(coherence, 1)
    assert ring_coherence(image, image, pixel_size_nm=None)[0][-1] == pytest.approx(19 / 40)
    odd = ring_coherence(image[:39], image[:39], pixel_size_nm=None)[0]
    assert odd.size == 19
    assert odd[-1] < 0.5


@settings(max_examples=25)
@given(gain=st.floats(0.01, 1e4), offset=st.floats(-1e4, 1e4))
def test_scale_and_background_count_for_nothing(gain, offset):
    truth = dislocations(64)
    image = gain * (truth + smooth_background(64)) + offset
    _, coherence = ring_coherence(image, truth, pixel_size_nm=2.1)
    assert coherence[3:12].min() > 0.95


def test_an_isotropic_filter_makes_nothing_more_coherent():
    truth = dislocations(256)
    noisy = truth + 0.3 * noise(seed=3)
    before = coherence_cutoff(noisy, truth, pixel_size_nm=2.1)
    after = coherence_cutoff(gaussian_filter(noisy, 1.5), truth, pixel_size_nm=2.1)
    assert before == pytest.approx(after, abs=1.0)


def test_more_noise_or_more_lag_is_a_lower_cutoff():
    truth = dislocations(256)

    def cutoff(level, tau_px=0.01):
        image = lagged(truth + level * noise(seed=2), exponential_tail(tau_px))
        return coherence_cutoff(image, truth, pixel_size_nm=2.1)

    assert cutoff(0.05) > cutoff(0.3) > cutoff(1.0)
    assert cutoff(0.05) > cutoff(0.05, tau_px=3.0)


def test_unseen_pixels_are_left_out_of_both():
    truth = dislocations(128)
    image = truth.copy()
    image[:, :20] = np.nan
    assert ring_coherence(image, truth, pixel_size_nm=1)[1].min() > 1 - 1e-9
    nothing = np.full((32, 32), np.nan)
    np.testing.assert_array_equal(ring_coherence(nothing, nothing, pixel_size_nm=1)[1], 0)
    assert coherence_cutoff(nothing, nothing, pixel_size_nm=1) == 0


def test_the_truth_is_coherent_to_the_end_and_its_negative_nowhere():
    truth = noise(64)
    last = ring_coherence(truth, truth, pixel_size_nm=2.1)[0][-1]
    assert coherence_cutoff(truth, truth, pixel_size_nm=2.1) == last
    assert coherence_cutoff(-truth, truth, pixel_size_nm=2.1) == 0


def test_bad_input_is_refused():
    image = np.zeros((8, 8))
    with pytest.raises(SettingsError, match="threshold is 1"):
        coherence_cutoff(image, image, pixel_size_nm=1, threshold=1.0)
    with pytest.raises(SettingsError, match="pixel_size_nm is 0"):
        ring_coherence(image, image, pixel_size_nm=0)
    with pytest.raises(FrameShapeError):
        ring_coherence(image, image[:4], pixel_size_nm=1)


@pytest.mark.parametrize("threshold", [0.75, 0.8])
def test_the_cutoff_lies_on_the_straight_line_between_rings(threshold, monkeypatch):
    monkeypatch.setattr("stemscale.quality.coherence._SMOOTH_RINGS", 1)
    truth = noise(64)
    image = gaussian_filter(truth, 0.5) + 0.6 * noise(64, seed=1)
    wave_number, coherence = ring_coherence(image, truth, pixel_size_nm=2.0)
    cutoff = coherence_cutoff(image, truth, pixel_size_nm=2.0, threshold=threshold)
    assert np.interp(cutoff, wave_number, coherence) == pytest.approx(threshold)
    assert coherence[wave_number < cutoff].min() > threshold


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_cutoff_that_makes_no_sense_is_refused(threshold):
    image = noise(32)
    with pytest.raises(SettingsError, match=f"threshold is {threshold:g}"):
        coherence_cutoff(image, image, pixel_size_nm=None, threshold=threshold)


@pytest.mark.parametrize("pixel_size_nm", [None, 2.1])
def test_waves_that_count_as_background_do_not_end_the_search(pixel_size_nm, monkeypatch):
    """Of 128 px, the first ring is a wave of 128 px, longer than the 5.3 · 20 px that keep half."""
    monkeypatch.setattr("stemscale.quality.coherence._SMOOTH_RINGS", 1)
    truth = noise(128)
    ring = np.rint(np.hypot(fftfreq(128)[:, None], fftfreq(128)[None]) * 128)
    image = ifft2(fft2(truth) * np.where(ring <= 1, -30, 1)).real
    wave_number, coherence = ring_coherence(image, truth, pixel_size_nm=pixel_size_nm)
    assert coherence[0] < 0 < 0.378 < coherence[1:].min()
    cutoff = coherence_cutoff(image, truth, pixel_size_nm=pixel_size_nm)
    assert cutoff == wave_number[-1]


def test_of_images_with_fewer_rings_than_are_averaged_no_cutoff_is_known():
    """16 px have 7 rings, 9 are averaged."""
    image = np.random.default_rng(0).normal(size=(16, 64))
    assert np.isnan(coherence_cutoff(image, image, pixel_size_nm=None))


def test_what_is_lost_at_once_counts_for_all_rings_that_are_missing_before_it():
    """Nine rings around the first are five times the first and four more."""
    truth = noise(128)
    ring = np.rint(np.hypot(fftfreq(128)[:, None], fftfreq(128)[None]) * 128)
    image = ifft2(fft2(truth) * np.where(ring <= 2, -1, 1)).real
    _, coherence = ring_coherence(image, truth, pixel_size_nm=None)
    assert (5 * coherence[1] + coherence[2:6].sum()) / 9 < 0.378 < coherence[1:6].mean()
    assert coherence_cutoff(image, truth, pixel_size_nm=None) == 0
