import numpy as np
import pytest
from quality.builders import dislocations, exponential_tail, lagged, smooth_background
from scipy.ndimage import gaussian_filter, gaussian_filter1d, shift

from stemscale.errors import FrameShapeError, SettingsError
from stemscale.quality import lag_tail, line_response, remove_background
from stemscale.quality.lag import parts_of_response, tail_of_parts, tail_templates

# mean response of the reference settings: 0.68 with 1.3 px and 0.32 with 9 px
REFERENCE_RESPONSE = 0.68 * exponential_tail(1.3) + 0.32 * exponential_tail(9.0)


def noisy(truth, response, *, seed=0):
    """Lagged scene and lagged noise, after the lag as strong as the scene without background."""
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    noise *= remove_background(truth).std() / np.sqrt(np.sum(response**2))
    return lagged(truth + noise, response)


@pytest.mark.parametrize("tau_px", [1.5, 3.0, 9.0])
def test_an_exponential_tail_weighs_as_the_formula_says(tau_px):
    """Row Q6. The sum of (1 - a) a^k from k = 3 on is a³, with a = e^(-1/tau)."""
    truth = dislocations(256)
    tail = lag_tail(lagged(truth, exponential_tail(tau_px)), truth)
    assert tail.weight == pytest.approx(np.exp(-3 / tau_px), abs=0.03)


def test_the_delay_is_the_centroid_of_the_response():
    """The centroid of (1 - a) a^k is a / (1 - a): 2.53 px for tau = 3 px."""
    truth = dislocations(256)
    tail = lag_tail(lagged(truth, exponential_tail(3.0)), truth)
    assert tail.delay_px == pytest.approx(2.528, abs=0.05)


def test_a_sharp_image_has_no_tail():
    truth = dislocations(256)
    tail = lag_tail(truth, truth)
    assert tail.weight == pytest.approx(0, abs=1e-6)
    assert tail.delay_px == pytest.approx(0, abs=1e-6)


def test_a_symmetric_blur_is_no_tail():
    """Row Q6: a Gaussian filter neither makes nor removes the smear."""
    truth = dislocations(256)
    assert lag_tail(gaussian_filter(truth, 2.0), truth).weight == pytest.approx(0, abs=0.01)
    smeared = lagged(truth, REFERENCE_RESPONSE)
    before = lag_tail(smeared, truth).weight
    assert lag_tail(gaussian_filter1d(smeared, 1.0, axis=1), truth).weight == pytest.approx(
        before, abs=0.04
    )


def test_a_mirrored_image_has_the_opposite_tail():
    truth = dislocations(128)
    smeared = lagged(truth, exponential_tail(4.0))
    forward, backward = lag_tail(smeared, truth), lag_tail(smeared[:, ::-1], truth[:, ::-1])
    assert backward.weight == pytest.approx(-forward.weight)
    assert backward.delay_px == pytest.approx(-forward.delay_px)


@pytest.mark.parametrize(("size", "spread"), [(256, 0.07), (512, 0.06)])
def test_the_tail_of_single_noisy_frames_is_found(size, spread):
    """Noise as strong as the scene; true weight 0.68 e^(-3/1.3) + 0.32 e^(-3/9) = 0.297."""
    expected = REFERENCE_RESPONSE[3:].sum()
    tails = []
    for seed in range(5):
        truth = dislocations(size, seed=seed)
        tails.append(lag_tail(noisy(truth, REFERENCE_RESPONSE, seed=seed), truth).weight)
    assert np.abs(np.array(tails) - expected).max() < spread
    assert np.mean(tails) == pytest.approx(expected, abs=0.03)


def test_noise_without_lag_makes_no_tail():
    truth = dislocations(512)
    assert lag_tail(noisy(truth, np.ones(1)), truth).weight == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (500, 20000), (-3, 7)])
def test_gain_offset_and_smooth_background_change_nothing(gain, offset):
    truth = dislocations(256)
    frame = lagged(truth, REFERENCE_RESPONSE)
    plain = lag_tail(frame, truth).weight
    other = lag_tail(gain * (frame + smooth_background(256)) + offset, truth).weight
    assert other == pytest.approx(plain, abs=0.02)


def test_a_shift_is_a_delay():
    truth = dislocations(256)
    moved = shift(truth, (0, 1.0), order=1, mode="nearest")
    assert lag_tail(moved, truth).delay_px == pytest.approx(1.0, abs=0.05)


def test_unseen_pixels_are_left_out():
    truth = dislocations(256)
    smeared = lagged(truth, exponential_tail(3.0))
    hidden = smeared.copy()
    hidden[:, 200:] = np.nan
    hidden[:5] = np.nan
    cut = lag_tail(smeared[5:, :200], truth[5:, :200])
    assert lag_tail(hidden, truth).weight == pytest.approx(cut.weight)


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        (dislocations(64), np.full((64, 64), 0.1)),
        (np.full((64, 64), np.nan), dislocations(64)),
        (np.full((64, 64), 0.1), dislocations(64)),
        (dislocations(64), np.tile(np.sin(np.arange(64))[:, None], (1, 64))),
    ],
    ids=["no scene", "nothing seen", "flat image", "lines along x only"],
)
def test_where_there_is_nothing_to_compare_there_is_no_tail(image, reference):
    tail = lag_tail(image, reference)
    assert np.isnan(tail.weight)
    assert np.isnan(tail.delay_px)


def test_an_unrelated_image_has_no_tail():
    image = np.random.default_rng(3).normal(size=(128, 128))
    steps, response = line_response(image, dislocations(128))
    assert abs(response.sum()) < 5
    assert steps[0] == -24
    assert steps[-1] == 24


def test_short_lines_get_a_short_response():
    image = dislocations(16)
    steps, _ = line_response(image, image)
    np.testing.assert_array_equal(steps, np.arange(-4, 5))
    assert lag_tail(image, image).weight == pytest.approx(0, abs=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(FrameShapeError, match="16 pixels"):
        lag_tail(np.zeros((40, 15)), np.zeros((40, 15)))
    with pytest.raises(FrameShapeError):
        lag_tail(np.zeros((40, 20)), np.zeros((20, 40)))
    with pytest.raises(SettingsError, match="reach_px"):
        line_response(np.zeros((40, 40)), np.zeros((40, 40)), reach_px=2)


def test_the_parts_of_a_response_are_sums_far_and_near_and_its_first_moment():
    steps = np.arange(-4, 6)
    response = 2.0 ** np.arange(10)  # -4 px: 1, -3 px: 2, … 5 px: 512
    parts = parts_of_response(steps) @ response
    assert parts[:5].tolist() == [1 + 2, 4 + 8, 16, 32 + 64, 128 + 256 + 512]
    assert parts[5] == (steps * response).sum()


def test_the_tail_is_far_downstream_less_far_upstream_over_all():
    """(4 - 1) / 10 and 9 px / 10; of parts of 19 in all, a sum of 1 counts, one of 0.9 not."""
    parts = np.array([[1, 0, 5, 0, 4, 9], [10, 0, 0, 0, -9, 2], [10, 0, 0, 0, -9.1, 2.0]]).T
    weight, delay_px = tail_of_parts(parts)
    np.testing.assert_allclose(weight, [0.3, -19, np.nan])
    np.testing.assert_allclose(delay_px, [0.9, 2, np.nan])


def test_the_response_at_0_stays_free_however_smooth_the_rest_is_held():
    """Of a sharp image h is 1 at 0 px and 0 elsewhere: straight on each side."""
    truth = dislocations(128)
    steps, response = line_response(truth, truth, smoothness=10.0)
    np.testing.assert_allclose(response, steps == 0, atol=1e-3)


def test_a_straight_response_is_held_back_by_nothing():
    """h falls in a straight line from 0.3 at 1 px to 0 at 4 px and is 0 upstream."""
    truth = np.random.default_rng(0).normal(size=(64, 128))
    taps = {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1}
    image = sum(h * np.roll(truth, k, axis=1) for k, h in taps.items())
    _, response = line_response(image, truth, reach_px=3, smoothness=10.0)
    np.testing.assert_allclose(response, [0, 0, 0, 0.4, 0.3, 0.2, 0.1], atol=0.01)


@pytest.mark.parametrize("asked", [{"reach_px": 2}, {"smoothness": 0.0}])
def test_a_response_that_makes_no_sense_is_refused(asked):
    image = dislocations(32)
    with pytest.raises(SettingsError, match="at least 3 px and more than 0"):
        line_response(image, image, **asked)


def test_a_line_of_16_pixels_has_templates_and_a_shorter_one_has_not():
    scene = dislocations(16)
    assert tail_templates(scene, np.ones((16, 16), dtype=bool)).shape == (6, 16, 16)
    assert tail_templates(scene[:, :15], np.ones((16, 15), dtype=bool)) is None
