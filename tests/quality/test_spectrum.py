import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality.builders import dislocations, exponential_tail, lagged

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import (
    agreement_cutoff,
    hann,
    horizontal_profile,
    match_gain,
    power_spectrum,
    radial_profile,
)


def wave(period_px, shape=(64, 512)):
    return np.tile(np.cos(2 * np.pi * np.arange(shape[1]) / period_px), (shape[0], 1))


def test_120_per_um_is_4_px_of_2_1_nm():
    """Row Q5: 1 / 120 /µm = 8.33 nm, about 4 px of 2.1 nm (8.4 nm, 119 /µm)."""
    wave_number, ln_power = horizontal_profile(wave(4), pixel_size_nm=2.1)
    peak = wave_number[np.argmax(ln_power)]
    assert peak == pytest.approx(1000 / 8.4)
    assert peak == pytest.approx(120, abs=1)


@given(cycles=st.integers(5, 120), pixel_size_nm=st.floats(0.1, 10))
def test_a_wave_comes_out_at_its_wave_number(cycles, pixel_size_nm):
    """Row Q4."""
    image = wave(256 / cycles, shape=(8, 256))
    wave_number, ln_power = horizontal_profile(image, pixel_size_nm=pixel_size_nm)
    expected = cycles / (256 * pixel_size_nm / 1000)
    assert wave_number[np.argmax(ln_power)] == pytest.approx(expected)


def test_the_height_of_the_peak_is_the_power_under_the_hann_window():
    """|F| = A/2 · (sum of the window) = 1/2 · (64/2)(512/2); ln of its square."""
    _, ln_power = horizontal_profile(wave(4), pixel_size_nm=1)
    assert ln_power.max() == pytest.approx(2 * np.log(0.5 * 32 * 256))


def test_zero_frequency_is_in_the_centre_and_the_hann_window_draws_no_cross():
    """Row Q4: a constant has power only within one pixel of the centre."""
    spectrum = power_spectrum(np.ones((32, 48)))
    assert np.unravel_index(np.argmax(spectrum), spectrum.shape) == (16, 24)
    strong = np.argwhere(spectrum > spectrum.max() - 40) - (16, 24)
    assert np.abs(strong).max() == 1


def test_a_lag_draws_a_vertical_streak():
    """Row Q6: the smear takes power at high wave numbers along x, not along y."""
    noise = np.random.default_rng(0).normal(size=(128, 128))
    lost = power_spectrum(noise) - power_spectrum(lagged(noise, exponential_tail(4)))
    assert lost[:, :30].mean() > 2
    assert abs(lost[:20, 60:68].mean() - lost[-20:, 60:68].mean()) < 1
    assert lost[:, :30].mean() > lost[:20, 60:68].mean() + 2


def test_an_uncalibrated_image_has_wave_numbers_per_pixel():
    wave_number, ln_power = horizontal_profile(wave(8), pixel_size_nm=None)
    assert wave_number[np.argmax(ln_power)] == pytest.approx(1 / 8)
    assert wave_number.shape == ln_power.shape == (256,)
    assert wave_number[-1] < 0.5


@pytest.mark.parametrize("n_x", [16, 17])
def test_profiles_of_even_and_odd_images_start_at_zero_frequency(n_x):
    wave_number, ln_power = horizontal_profile(np.ones((9, n_x)), pixel_size_nm=1)
    assert wave_number[0] == 0
    assert np.argmax(ln_power) == 0
    assert wave_number.size == ln_power.size == (n_x + 1) // 2


def test_unseen_pixels_count_as_the_mean():
    image = np.full((32, 32), 5.0)
    image[4:9, 4:9] = np.nan
    np.testing.assert_allclose(
        power_spectrum(image)[16, 16], power_spectrum(np.full((32, 32), 5))[16, 16]
    )
    assert np.isfinite(power_spectrum(np.full((8, 8), np.nan))).all()


def test_the_cutoff_is_where_a_low_pass_begins():
    """Row Q5: half of the amplitude, ln 4 = 1.39 of ln power, is lost above 80 /µm."""
    wave_number = np.linspace(0, 238, 256)
    reference = 20 - wave_number / 20
    cut = np.where(wave_number > 80, reference - np.log(4), reference)
    cutoff = agreement_cutoff(cut, reference, wave_number)
    assert cutoff == pytest.approx(80, abs=5)  # half the running mean of 9 bins of 0.93 /µm


def test_the_cutoff_of_images_with_detail_lost_grows_with_what_is_kept():
    """Row Q5: longer lag, lower cut-off; a gain is matched before."""
    rng = np.random.default_rng(1)
    scene = dislocations(256) + 0.3 * rng.normal(size=(256, 256))
    wave_number, reference = horizontal_profile(scene, pixel_size_nm=2.1)

    def cutoff(tau_px):
        image = match_gain(100 * lagged(scene, exponential_tail(tau_px)), scene)
        return agreement_cutoff(
            horizontal_profile(image, pixel_size_nm=2.1)[1], reference, wave_number
        )

    assert wave_number[-1] >= cutoff(0.3) > cutoff(1.5) > cutoff(6.0)


def test_equal_profiles_agree_to_the_end_and_unlike_ones_nowhere():
    wave_number = np.linspace(0, 238, 256)
    profile = np.cos(wave_number)
    assert agreement_cutoff(profile, profile, wave_number) == 238
    assert agreement_cutoff(profile + 5, profile, wave_number) == 0


def test_bad_input_is_refused():
    line = np.zeros(8)
    with pytest.raises(FrameShapeError, match="one length"):
        agreement_cutoff(line, line[:5], line)
    with pytest.raises(SettingsError, match="tolerance"):
        agreement_cutoff(line, line, line, tolerance=0)
    with pytest.raises(SettingsError, match="pixel_size_nm"):
        horizontal_profile(np.zeros((8, 8)), pixel_size_nm=0)
    with pytest.raises(FrameShapeError):
        power_spectrum(np.zeros((2, 8, 8)))


@pytest.mark.parametrize("angle_deg", [0, 30, 90, 135])
def test_a_wave_in_any_direction_lies_at_its_wave_number(angle_deg):
    """Row Q4. 1 / (8 px · 2.1 nm) = 59.5 /µm."""
    y, x = np.mgrid[:256, :256]
    along = x * np.cos(np.radians(angle_deg)) + y * np.sin(np.radians(angle_deg))
    wave_number, ln_power = radial_profile(np.sin(2 * np.pi * along / 8), pixel_size_nm=2.1)
    assert wave_number[ln_power.argmax()] == pytest.approx(59.5, abs=1.9)


def test_the_radial_profile_of_white_noise_is_its_mean_power():
    """Mean |F|² = variance · sum of the window's squares, (3/8 n)² of a Hann window."""
    noise = np.random.default_rng(0).normal(0, 5, (256, 256))
    _, ln_power = radial_profile(noise, pixel_size_nm=None)
    assert ln_power[8:].mean() == pytest.approx(np.log(25 * (0.375 * 256) ** 2), abs=0.05)


def test_the_radial_profile_counts_to_the_finest_wave_of_the_shorter_side():
    wave_number, ln_power = radial_profile(np.zeros((64, 200)), pixel_size_nm=None)
    assert wave_number.tolist() == [i / 64 for i in range(32)]
    assert ln_power.shape == (32,)


def test_the_horizontal_profile_is_the_row_through_the_centre_of_the_spectrum():
    image = np.random.default_rng(1).normal(100, 5, (31, 40))
    image[:3, :5] = np.nan
    _, ln_power = horizontal_profile(image, pixel_size_nm=None)
    assert ln_power == pytest.approx(power_spectrum(image)[15, 20:])


@pytest.mark.parametrize("size", [0, 1, 2, 7, 512])
def test_the_window_is_that_of_scipy(size):
    from scipy.signal.windows import hann as of_scipy

    np.testing.assert_allclose(hann(size), of_scipy(size, sym=False), atol=1e-15)


@pytest.mark.parametrize(
    ("apart", "cutoff"),
    [
        ([0, 0.9, 0, 1.1, 0], 20),  # up to the last bin before the two part
        ([0, -1.1, 0, 0, 0], 0),
        ([5, 0, 0, 0, 0], 0),
        ([0, 0, 0, 0, 5], 30),
        ([1, -1, 1, -1, 1], 40),  # a difference as large as the tolerance is agreement
    ],
)
def test_profiles_agree_up_to_the_bin_before_the_first_that_is_apart(apart, cutoff):
    reference = np.arange(5.0)
    wave_number = 10.0 * np.arange(5)
    assert agreement_cutoff(reference + apart, reference, wave_number, smooth_bins=1) == cutoff


def test_an_empty_image_has_the_least_power_there_is():
    """ln of the smallest normal number, 2^-1022: -708.4."""
    np.testing.assert_allclose(power_spectrum(np.zeros((8, 8))), -1022 * np.log(2))


def test_a_running_mean_of_no_bins_is_refused():
    line = np.zeros(8)
    with pytest.raises(SettingsError, match="smooth_bins 0"):
        agreement_cutoff(line, line, line, smooth_bins=0)
    with pytest.raises(FrameShapeError, match="one length"):
        agreement_cutoff(np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 4)))
