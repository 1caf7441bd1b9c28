import numpy as np
import pytest
from quality.builders import dislocations, exponential_tail, lagged, smooth_background
from scipy.ndimage import gaussian_filter

from stemscale.errors import FrameShapeError, SeriesError
from stemscale.quality import independent_halves, residual_test

SCENE = 1000.0 * dislocations(256, seed=3)
Y, X = np.mgrid[:256, :256]


def rapid(n=8, noise=300.0, seed=0):
    """Scene and noise, both through the lag of the detector."""
    rng = np.random.default_rng(seed)
    response = exponential_tail(4.0)
    return np.stack([lagged(SCENE + rng.normal(0, noise, SCENE.shape), response) for _ in range(n)])


def line(at, depth=400.0):
    return -depth * np.exp(-0.5 * (((X - at) - 0.3 * (Y - 128)) / 2.5) ** 2) * (abs(Y - 128) < 40)


def test_of_a_perfect_filter_that_undoes_the_smear_only_noise_is_left():
    found = residual_test(rapid(), np.stack([SCENE] * 8))
    assert abs(found.likeness) < 0.03
    assert found.lost < 0.06
    assert found.clear < 2e-3
    assert np.nanstd(found.z) == pytest.approx(1, abs=0.15)


def test_the_response_is_that_of_the_detector():
    """h(k) = (1 - a) a^k with a = e^(-1/4): 0.22 at 0 px, 0.17 at 1 px, 0.08 at 4 px."""
    found = residual_test(rapid(n=16), np.stack([SCENE] * 16))
    assert found.response.sum() == pytest.approx(1, abs=0.05)
    late = found.response[4 + 3 :].sum() / found.response.sum()
    assert late == pytest.approx(np.exp(-3 / 4), abs=0.06)


@pytest.mark.parametrize(("sign", "what"), [(1, "erased"), (-1, "invented")])
def test_a_dark_line_that_was_erased_or_invented_stands_out_where_it_is(sign, what):
    there = line(150.0)
    inputs = rapid() + (lagged(there, exponential_tail(4.0)) if sign > 0 else 0)
    outputs = np.stack([SCENE + (0 if sign > 0 else there)] * 8)
    found = residual_test(inputs, outputs)
    on_it = there < -200
    assert -sign * np.nanmean(found.z[on_it]) > 4, what
    assert found.clear > 0.005
    assert found.likeness > 0.05
    far = (there > -1) & np.isfinite(found.z)
    assert abs(np.mean(found.z[far])) < 0.5


def test_a_blur_that_costs_detail_is_told_from_one_that_costs_none():
    inputs = rapid()
    little = residual_test(inputs, np.stack([gaussian_filter(SCENE, 0.7)] * 8))
    much = residual_test(inputs, np.stack([gaussian_filter(SCENE, 5.0)] * 8))
    assert little.lost < 0.1 < 0.2 < much.lost
    assert little.likeness < 0.1 < much.likeness


def test_gain_offset_and_a_smooth_background_are_no_structure():
    plain = residual_test(rapid(), np.stack([SCENE] * 8))
    other = np.stack([0.3 * SCENE + 5000 + 100 * smooth_background(256)] * 8)
    found = residual_test(rapid(), other)
    assert found.likeness == pytest.approx(plain.likeness, abs=0.02)
    assert found.lost < 0.06


def test_filtered_frames_of_their_own_noise_are_judged_too():
    """The output of each half is fitted to the input of the other, whose noise is another one."""
    inputs = rapid()
    outputs = gaussian_filter(inputs, (0, 1.5, 1.5))
    found = residual_test(inputs, outputs)
    assert found.likeness < 0.15


def test_unseen_pixels_stay_unseen_and_take_nothing_from_the_rest():
    inputs, outputs = rapid(), np.stack([SCENE] * 8)
    inputs[:, :, :20] = np.nan
    found = residual_test(inputs, outputs)
    assert np.isnan(found.z[:, :44]).all()
    assert np.isfinite(found.z[:, 44:-4]).all()
    assert abs(found.likeness) < 0.04


def test_what_cannot_be_compared_is_refused():
    frames = rapid(n=2)
    with pytest.raises(FrameShapeError, match="calibrate"):
        residual_test(frames, frames[:, 1:])
    with pytest.raises(SeriesError, match="two frames"):
        residual_test(frames[:1], frames[:1])
    with pytest.raises(SeriesError, match="no structure"):
        residual_test(frames, np.ones_like(frames))
    with pytest.raises(SeriesError, match="wide enough"):
        residual_test(frames[..., :20], frames[..., :20])


def test_of_a_wave_that_was_erased_all_likeness_and_its_share_of_the_contrast_are_told():
    """Waves along y of 2 and along x of 1: 1 of the power of 5 of the scene was lost, sqrt(1/5)."""
    y, x = np.mgrid[:96, :96]
    kept, erased = 2 * np.cos(2 * np.pi * y / 8), np.cos(2 * np.pi * x / 4)
    found = residual_test(np.stack([kept + erased] * 4), np.stack([kept] * 4))
    assert found.likeness == pytest.approx(1, abs=1e-6)
    assert found.lost == pytest.approx(np.sqrt(1 / 5), abs=0.002)
    assert found.clear == 0  # no noise is known, so that nothing is above it
    assert found.response.shape == (29,)
    assert found.response.sum() == pytest.approx(1, abs=1e-3)


def test_a_filter_that_sees_neighbours_is_judged_by_halves_that_share_none():
    """Of 6 frames and 2 neighbours, only the first and the last: 2 · 2 + 1 steps apart."""
    inputs = rapid(n=6)
    inputs[1:5] = 0
    found = residual_test(inputs, np.stack([SCENE] * 6), halo=2)
    assert abs(found.likeness) < 0.1
    with pytest.raises(SeriesError, match=r"and 6 of a filter that sees 2 neighbours"):
        residual_test(inputs[:5], inputs[:5], halo=2)


@pytest.mark.parametrize(
    ("count", "halo", "one", "other"),
    [
        (6, 0, [0, 2, 4], [1, 3, 5]),
        (7, 0, [0, 2, 4], [1, 3, 5]),
        (1, 0, [], []),
        (11, 2, [0, 1, 2], [8, 9, 10]),
        (10, 2, [0, 1, 2], [7, 8, 9]),
        (6, 2, [0], [5]),
        (5, 2, [], []),
        (4, 1, [0], [3]),
        (1, 5, [], []),
    ],
)
def test_halves_of_a_series_have_no_frame_in_common_nor_beside_them(count, halo, one, other):
    halves = independent_halves(count, halo)
    assert [half.tolist() for half in halves] == [one, other]


def test_frames_that_were_made_alone_go_to_the_halves_in_turn():
    one, other = independent_halves(4)
    assert (one.tolist(), other.tolist()) == ([0, 2], [1, 3])
