import math
import time
from dataclasses import asdict

import numpy as np
import pytest
from denoising.builders import grainy_frame

from stemscale.denoising import SeriesScale
from stemscale.denoising.character import FrameCharacter, frame_character

UNIT = SeriesScale(center=0.0, spread=1.0)


def noise(size=256, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (size, size))


def ramp(size=256):
    """Rows of 0 … 1: cell means are evenly spread."""
    return np.tile(np.linspace(0, 1, size)[:, None], (1, size))


def test_intensities_are_told_in_spreads_of_the_series():
    found = frame_character(1000 + 400 * ramp(), SeriesScale(center=1200, spread=100))
    assert (found.dark, found.bright) == (pytest.approx(-2, abs=0.1), pytest.approx(2, abs=0.1))
    assert found.middle == pytest.approx(0, abs=0.1)
    assert found.contrast == pytest.approx(math.log(1.8), abs=0.05)  # (95 % - 5 %) of 4 spreads / 2


@pytest.mark.parametrize("sigma", [0.2, 3.0])
def test_noise_is_told_against_the_spread(sigma):
    found = frame_character(5 + 7 * sigma * noise(), SeriesScale(center=5, spread=7))
    assert found.noise == pytest.approx(math.log(sigma), abs=0.05)


def test_noise_that_comes_late_is_alike_along_x_and_not_along_y():
    white = noise(512)
    late = white[:, 1:] + 0.5 * white[:, :-1]  # correlation 0.5 / 1.25 at 1 px, 0 beyond
    found = frame_character(late, UNIT)
    assert found.along_1 == pytest.approx(0.4, abs=0.04)
    beside = (found.along_2, found.along_3, found.along_6, found.across_1, found.across_2)
    assert beside == pytest.approx([0] * 5, abs=0.04)


def test_noise_interpolated_between_rows_is_alike_along_y():
    white = noise(512)
    found = frame_character((white[1:] + white[:-1]) / 2, UNIT)
    assert found.across_1 == pytest.approx(0.5, abs=0.04)
    assert found.along_1 == pytest.approx(0, abs=0.04)


def test_larger_structures_are_coarser_whatever_the_noise_and_the_gain():
    def sizes(grain_px, dose, gain=1.0):
        frames = [
            frame_character(
                gain * grainy_frame(512, grain_px=grain_px, dose=dose, seed=s),
                SeriesScale(center=0, spread=gain * 5),
            )
            for s in range(3)
        ]
        return np.mean([[f.fine, f.coarse] for f in frames], axis=0)

    usual = sizes(5, 24)
    assert (sizes(10, 24) < usual - 0.5).any()
    assert (sizes(2.5, 24) > usual + 0.5).any()
    np.testing.assert_allclose(sizes(5, 24, gain=100), usual, atol=1e-3)
    assert sizes(5, 6)[0] == pytest.approx(sizes(5, 200)[0], abs=0.07)  # 0.14 if noise counted


@pytest.mark.parametrize(("axis", "other"), [("x", "y"), ("y", "x")])
def test_fringes_are_a_peak_along_the_axis_that_they_follow(axis, other):
    wave = 0.5 * np.sin(2 * np.pi * np.arange(256) / 5.3)
    found = asdict(frame_character(noise() + (wave if axis == "x" else wave[:, None]), UNIT))
    assert found[f"peak_{axis}"] > 1.5
    assert found[f"peak_{other}"] < 1


def test_pixels_at_the_end_of_the_scale_are_counted():
    frame = grainy_frame(256)
    assert frame_character(frame, UNIT).saturated < 0.002
    cut = np.minimum(frame, np.quantile(frame, 0.9))
    assert frame_character(cut, UNIT).saturated == pytest.approx(0.1, abs=0.02)


def test_what_was_not_seen_does_not_count():
    frame = grainy_frame(256)
    whole = frame_character(frame[:, 16:240], SeriesScale(center=24, spread=5))
    frame[:, :16] = frame[:, 240:] = np.nan
    frame[-3:] = np.nan
    part = frame_character(frame, SeriesScale(center=24, spread=5))
    np.testing.assert_allclose(list(asdict(part).values()), list(asdict(whole).values()), atol=0.2)


@pytest.mark.parametrize("shape", [(32, 32), (24, 32), (40, 500)], ids=str)
def test_small_frames_tell_everything(shape):
    frame = grainy_frame(512)[: shape[0], : shape[1]]
    assert all(math.isfinite(v) for v in asdict(frame_character(frame, UNIT)).values())


@pytest.mark.parametrize(
    "frame",
    [np.full((64, 64), np.nan), np.ones((3, 3)), np.ones((64, 2))],
    ids=["nothing seen", "tiny", "narrow"],
)
def test_a_frame_that_shows_nothing_tells_nothing(frame):
    assert asdict(frame_character(frame, UNIT)) == pytest.approx(
        asdict(FrameCharacter()), nan_ok=True
    )


def test_a_constant_frame_has_neither_noise_nor_structure():
    found = frame_character(np.full((64, 64), 3.0), UNIT)
    assert (found.middle, found.saturated) == (3, 1)
    assert found.noise == found.contrast == math.log(1e-4)
    assert all(math.isnan(v) for v in (found.along_1, found.across_1, found.fine, found.peak_x))


def test_a_frame_is_measured_in_little_more_time_than_it_takes_to_sort_a_tenth_of_it():
    """1 ms on a quiet core; a network takes 15 to 35. The yardstick makes it hold on a busy one."""
    frame = grainy_frame(512)
    few = frame.reshape(-1)[::10].astype(np.float32)

    def fastest(work):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    yard = fastest(lambda: [np.sort(few) for _ in range(4)])
    assert fastest(lambda: frame_character(frame, UNIT)) < 10 * max(yard, 2e-4)
