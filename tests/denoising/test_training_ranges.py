import json
from dataclasses import replace

import numpy as np
import pytest
from denoising.builders import scan_of

from stemscale.denoising import SeriesScale, TrainingFov
from stemscale.denoising.training_ranges import SPECTRUM_BINS, relative_noise, training_ranges


def ramp(n_y=8, *, gain=1.0, frames=2, sigma=0.0, target=None):
    """Columns of 0, 1, 2, … 403 counts: cells of 4 px are 1.5, 5.5, … 401.5."""
    image = np.tile(gain * np.arange(404.0), (n_y, 1))
    noise = np.random.default_rng(0).normal(0, 1, (frames, *image.shape))
    return TrainingFov(name="ramp", frames=image + sigma * noise, target=target)


def sine(size=64, waves=9):
    """9 periods in 64 px: 0.140625 /px, in the middle of bin 4 of 16 bins up to 0.5 /px."""
    line = 1000 + 300 * np.sin(2 * np.pi * waves * np.arange(size) / size)
    return np.tile(line, (size, 1))


def test_intensities_are_those_of_the_mean_frame():
    seen = training_ranges([ramp()])
    assert seen["fovs"] == 1
    assert seen["intensity_counts"] == [4, 399]  # 1 % and 99 % of 404 columns
    assert seen["center_counts"] == [201.5, 201.5]
    assert seen["spread_counts"] == [180, 180]  # half of 381.5 - 21.5
    assert seen["contrast"] == [pytest.approx(180 / 201.5, rel=1e-4)] * 2


def test_ranges_go_over_all_fovs():
    seen = training_ranges([ramp(), ramp(gain=2)])
    assert seen["fovs"] == 2
    assert seen["intensity_counts"] == [4, 798]
    assert seen["spread_counts"] == [180, 360]


def test_noise_is_that_of_single_frames_against_the_spread():
    low, high = training_ranges([ramp(64, frames=9, sigma=18)])["noise"]
    assert 0.095 < low <= high < 0.105  # 18 / 180


def test_noise_of_a_long_series_is_taken_from_some_frames_of_all_of_it():
    frames = np.zeros((100, 64, 64))
    frames[50:] = np.random.default_rng(0).normal(0, 1, (50, 64, 64))
    found = relative_noise(frames, SeriesScale(center=0, spread=2), at_most=4)
    assert found == pytest.approx([0.5, 0.5], rel=0.05)  # frames 0 and 25 show none


def test_smear_is_that_of_the_mean_frame_against_the_target():
    smeared = scan_of(256, frames=20, seed=1)
    sharp = replace(smeared.fov(), frames=smeared.slow[None])
    assert training_ranges([smeared.fov()])["lag_tail"][0] == pytest.approx(
        np.exp(-3 / 4), abs=0.05
    )
    assert training_ranges([sharp])["lag_tail"] == [pytest.approx(0, abs=0.01)] * 2


def test_the_spectrum_is_that_of_the_targets_whatever_their_gain_and_size():
    def spectrum(target):
        fov = TrainingFov(name="sine", frames=target[None], target=target)
        return training_ranges([fov])["spectrum"]

    found = spectrum(sine())
    assert len(found["wave_number_per_px"]) == len(found["ln_power_max"]) == SPECTRUM_BINS
    assert found["wave_number_per_px"][4] == 0.140625  # 4.5 / 32
    assert int(np.argmax(found["ln_power_max"])) == 4
    assert spectrum(7 * sine() + 5000)["ln_power_max"][4] == pytest.approx(
        found["ln_power_max"][4], abs=1e-3
    )
    noise = np.random.default_rng(0).normal(0, 1, (512, 512))
    small, large = (np.mean(spectrum(noise[:n, :n])["ln_power_max"]) for n in (128, 512))
    assert small == pytest.approx(large, abs=0.5)  # 2.8 without the division by the pixels


def test_only_the_first_frames_count_where_the_training_used_no_more():
    fov = ramp(frames=4)
    fov.frames[2:] *= 100
    assert training_ranges([fov], frames=2)["intensity_counts"] == [4, 399]


def test_without_a_target_there_is_neither_smear_nor_spectrum():
    seen = training_ranges([ramp()])
    assert (seen["lag_tail"], seen["spectrum"]) == (None, None)


def test_what_shows_nothing_ends_no_training():
    flat = TrainingFov(name="flat", frames=np.full((2, 8, 8), 5.0), target=np.full((8, 8), 5.0))
    blind = TrainingFov(name="blind", frames=np.full((2, 8, 8), np.nan), target=np.ones((8, 8)))
    empty = TrainingFov(name="empty", frames=np.empty((0, 8, 8)), target=None)
    seen = training_ranges([flat, blind, empty])
    assert seen["intensity_counts"] == [5, 5]
    assert [seen[n] for n in ("spread_counts", "noise", "lag_tail", "spectrum")] == [None] * 4
    assert training_ranges([])["fovs"] == 0


def test_the_ranges_are_json():
    seen = training_ranges([scan_of(64, frames=2).fov()])
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen
