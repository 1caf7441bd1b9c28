import importlib.util
import json
import sys

import numpy as np
import pytest
from denoising.builders import scan_of
from scipy.ndimage import gaussian_filter

from stemscale.denoising import CLASSICAL, apply_classical, tune_classical
from stemscale.denoising.classical.lag import fit_tails
from stemscale.denoising.classical.tuning import crop, highest
from stemscale.denoising.noise import noise_correlation, noise_sigma, row_spectrum
from stemscale.errors import FilterError, FrameShapeError
from stemscale.quality import lag_tail, psnr_without_background, streak

needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None,
    reason="needs the package bm3d (pip install bm3d; non-commercial licence)",
)
quiet = pytest.mark.filterwarnings("ignore")  # of the package bm3d, at its import
WORDS = [
    pytest.param(word, marks=[needs_bm3d, quiet, pytest.mark.slow] if word == "bm3d" else [])
    for word in CLASSICAL
]
WITHOUT_SLOW = [word for word in WORDS if word.values[0] != "lag"]
PARAMETERS = {
    "gaussian": {"sigma_px": 1.5},
    "nlm": {"sigma": 900.0, "strength": 0.6, "patch_px": 5, "reach_px": 5},
    "bm3d": {"sigma": 900.0, "correlation": [1.0, 0.4, 0.1]},
    "lag": {
        "tail_px": [1.0, 9.0],
        "tail_weight": [0.7, 0.3],
        "shift_px": 0.0,
        "cutoff": 0.08,
        "steepness": 4.0,
    },
}


@pytest.fixture(scope="module")
def scan():
    return scan_of(80, frames=6, seed=3)


@pytest.mark.parametrize("word", WORDS)
def test_a_tuned_filter_comes_closer_to_the_truth_and_keeps_the_scale(word, scan):
    """Row F7."""
    parameters = tune_classical(word, scan.rapid, scan.slow)
    frame = scan.rapid[:1]
    filtered = apply_classical(word, frame, json.loads(json.dumps(parameters)))
    before, after = (psnr_without_background(f[0], scan.truth) for f in (frame, filtered))
    assert after > before + 0.5
    assert filtered.dtype == np.float32
    assert filtered.mean() == pytest.approx(frame.mean(), rel=0.02)
    assert parameters["tuned"] == "slow scan"
    assert word == "bm3d" or parameters == tune_classical(word, scan.rapid, scan.slow)  # slow
    assert parameters.get("noise", "rows") == "rows"  # bm3d: its noise is correlated by the lag


@pytest.mark.parametrize("word", WITHOUT_SLOW)
def test_without_a_slow_scan_the_noise_says_what_to_do(word, scan):
    parameters = tune_classical(word, scan.rapid[:2])
    frame = scan.rapid[5:]
    after = psnr_without_background(apply_classical(word, frame, parameters)[0], scan.truth)
    assert parameters["tuned"] == "noise"
    assert after > psnr_without_background(frame[0], scan.truth) + 0.5


@pytest.mark.parametrize("word", WORDS)
def test_a_frame_does_not_depend_on_others_and_stays_unseen_where_it_was(word, scan):
    frames = scan.rapid[:3, :48, :56].copy()
    frames[:, :, 50:] = np.nan
    frames[1] *= 3
    together = apply_classical(word, frames, PARAMETERS[word])
    alone = apply_classical(word, frames[2:], PARAMETERS[word])
    np.testing.assert_array_equal(together[2:], alone)
    np.testing.assert_array_equal(np.isnan(together), np.isnan(frames))
    assert np.isnan(apply_classical(word, np.full((1, 16, 16), np.nan), PARAMETERS[word])).all()
    whole = apply_classical(word, np.full((1, 16, 16), 7, dtype=np.uint16), PARAMETERS[word])
    np.testing.assert_allclose(whole, 7, rtol=1e-5)


@pytest.mark.parametrize("word", WORDS)
def test_what_cannot_be_filtered_is_refused(word):
    with pytest.raises(FrameShapeError):
        apply_classical(word, np.zeros((8, 8)), PARAMETERS[word])
    with pytest.raises(FilterError, match="tune the filter again"):
        apply_classical(word, np.zeros((1, 16, 16)), {})
    with pytest.raises(FrameShapeError, match="calibrate first"):
        tune_classical(word, np.zeros((1, 16, 16)), np.zeros((16, 15)))
    with pytest.raises(FrameShapeError, match="a frame in it"):
        tune_classical(word, np.zeros((0, 16, 16)))


def test_an_unknown_word_is_refused_by_name():
    with pytest.raises(FilterError, match="'magic' is unknown: take one of gaussian, nlm"):
        apply_classical("magic", np.zeros((1, 8, 8)), {})


def test_without_the_package_the_word_bm3d_says_what_to_install(monkeypatch):
    """Row F7."""
    monkeypatch.setitem(sys.modules, "bm3d", None)
    for frames in (np.zeros((1, 8, 8)), np.ones((1, 8, 8))):
        with pytest.raises(FilterError, match=r"stemscale\[bm3d\].*non-commercial"):
            tune_classical("bm3d", frames)
    with pytest.raises(FilterError, match=r"stemscale\[bm3d\].*non-commercial"):
        apply_classical("bm3d", np.zeros((1, 8, 8)), PARAMETERS["bm3d"])


def test_the_lag_is_fitted_and_undone():
    """Row Q6. The builder's tail of 4 px weighs e^(-3/4) = 0.47 beyond 2 px."""
    scan = scan_of(192, frames=8, seed=5)
    parameters = tune_classical("lag", scan.rapid, scan.slow)
    tails = np.array(parameters["tail_px"]) @ np.array(parameters["tail_weight"])
    assert tails == pytest.approx(4.0, abs=0.7)
    assert parameters["shift_px"] == pytest.approx(0, abs=0.4)
    frame = scan.rapid[:1]
    filtered = apply_classical("lag", frame, parameters)
    assert lag_tail(frame[0], scan.truth).weight == pytest.approx(0.47, abs=0.08)
    assert lag_tail(filtered[0], scan.truth).weight == pytest.approx(0, abs=0.08)
    assert streak(filtered[0], scan.truth) < streak(frame[0], scan.truth) - 2


def test_a_shift_beside_the_lag_is_undone_with_it():
    scan = scan_of(192, frames=8, seed=5)
    moved = np.roll(scan.rapid, -2, axis=2)
    still, shifted = (fit_tails(f, scan.slow)["shift_px"] for f in (scan.rapid, moved))
    assert shifted - still == pytest.approx(-2, abs=0.1)
    filtered = apply_classical("lag", moved, tune_classical("lag", moved, scan.slow))
    assert lag_tail(filtered[0], scan.truth).delay_px == pytest.approx(0, abs=0.5)


def test_lag_says_that_it_needs_a_slow_scan_and_one_of_the_same_place(scan):
    with pytest.raises(FilterError, match="ingest one with --slow"):
        tune_classical("lag", scan.rapid)
    elsewhere = np.random.default_rng(0).normal(size=scan.slow.shape)
    with pytest.raises(FilterError, match="do both show one place"):
        tune_classical("lag", scan.rapid, elsewhere)


def test_the_noise_is_found_beside_the_scene():
    scan = scan_of(128, seed=1)
    noisy = 300 * scan.truth + np.random.default_rng(0).normal(0, 500, scan.truth.shape)
    assert noise_sigma(noisy) == pytest.approx(500, rel=0.05)


def test_the_noise_of_a_smeared_frame_is_not_taken_for_less():
    # correlated along x by a filter of unit power: along y the noise is white and unchanged
    white = np.random.default_rng(1).normal(0, 100, (200, 201))
    smeared = (white[:, 1:] + white[:, :-1]) / np.sqrt(2)
    assert noise_sigma(smeared) == pytest.approx(100, rel=0.05)


def test_unseen_pixels_have_no_noise():
    noisy = np.random.default_rng(2).normal(0, 10, (100, 100))
    noisy[:, :30] = np.nan
    assert noise_sigma(noisy) == pytest.approx(10, rel=0.1)
    assert noise_sigma(np.full((9, 9), np.nan)) == 0


def test_noise_of_neighbouring_pairs_is_correlated_by_one_half():
    """(a + b)(b + c) = b²: half of the variance 2 at 1 px, nothing beyond; tapered a little."""
    white = np.random.default_rng(1).normal(0, 100, (2, 200, 201))
    correlation = noise_correlation(white[..., 1:] + white[..., :-1])
    assert correlation[0] == pytest.approx(1)
    assert correlation[1] == pytest.approx(0.5, abs=0.02)
    assert np.abs(correlation[2:]).max() < 0.05


def test_the_scene_does_not_count_as_noise():
    scan = scan_of(128, seed=1)
    noisy = 300 * scan.truth + np.random.default_rng(0).normal(0, 500, (4, 128, 128))
    assert np.abs(noise_correlation(noisy)[1:]).max() < 0.1


def test_the_power_of_correlated_noise_is_the_transform_of_its_correlation():
    """1 + 2 · 1/2 cos(2 pi f): 2 at rest, 1 at a quarter, 0 (held above) at a half."""
    spectrum = row_spectrum([1.0, 0.5], 8)
    np.testing.assert_allclose(spectrum[[0, 2, 4]], [2, 1, 0], atol=2e-3)
    np.testing.assert_allclose(row_spectrum([1.0], 8), 1)


def test_tuning_looks_where_there_is_most_to_see():
    reference = np.zeros((64, 96))
    reference[40:60, 64:90] = np.random.default_rng(0).normal(size=(20, 26))
    frames = np.arange(2 * 64 * 96, dtype=np.float32).reshape(2, 64, 96)
    part, of = crop(frames, reference, size=32, n=1)
    assert part.shape == (1, 32, 32)
    np.testing.assert_array_equal(of, reference[32:64, 64:96])
    np.testing.assert_array_equal(part[0], frames[0, 32:64, 64:96])


def test_the_climb_ends_at_the_highest_value_tried():
    value, score = highest(lambda v: -((np.log(v) - 1) ** 2), 1.0, ratio=1.5, lowest=0.1, largest=9)
    assert np.log(value) == pytest.approx(1, abs=np.log(1.5) / 4)
    assert score == -((np.log(value) - 1) ** 2)
    assert highest(lambda v: v, 1.0, ratio=2.0, lowest=0.1, largest=5)[0] <= 5


def test_steins_risk_picks_nearly_the_width_of_the_least_error(scan):
    sigma_px = tune_classical("gaussian", scan.rapid)["sigma_px"]
    smeared = scan.rapid.mean(axis=0)  # what is left once the noise is gone, lag and all
    clean = gaussian_filter(smeared, 0.8)

    def error(width):
        return float(np.mean((gaussian_filter(scan.rapid[0], width) - clean) ** 2))

    best = min(error(w) for w in np.arange(0.3, 4, 0.1))
    assert error(sigma_px) < 1.15 * best
