import math
from dataclasses import replace

import pytest
from denoising.builders import scan_of, tiny_filter

from stemscale.acquisition import ScanSettings
from stemscale.denoising import FrameCharacter, SeriesScale, series_scale
from stemscale.denoising.misfit import explain_misfit
from stemscale.denoising.training_ranges import relative_noise, training_ranges

CARD = {
    "scan_settings": {"pixel_size_nm": 2.1, "dwell_time_ns": 100, "n_x": 512, "n_y": 512},
    "seen": {"noise": [0.2, 0.4], "contrast": [0.1, 0.3]},
    "recipe": {"dose_jitter": 0.0},
}


def said(card=CARD, *, pixel=2.1, dwell=100.0, noise=0.3, contrast=0.2):
    settings = ScanSettings(n_x=256, n_y=256, pixel_size_nm=pixel, dwell_time_ns=dwell)
    scale = SeriesScale(center=1000, spread=1000 * contrast)
    noises = () if noise is None else (noise,)
    return explain_misfit(card, settings=settings, scale=scale, noise=noises)


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"pixel": 2.5},  # 1.19 times
        {"dwell": 84.0},
        {"noise": 0.59},  # 1.475 times the most
        {"noise": 0.14},
        {"contrast": 0.89},
        {"contrast": 0.034},
        {"pixel": None, "dwell": None, "noise": None},
    ],
    ids=str,
)
def test_a_series_like_those_of_the_training_needs_no_words(series):
    assert said(**series) == []


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ({"pixel": 4.2}, ["pixel size is 4.2 nm", "trained at 2.1 nm", "2 times as much"]),
        ({"pixel": 1.05}, ["pixel size is 1.05 nm", "2 times less"]),
        ({"dwell": 500.0}, ["dwell time is 500 ns", "trained at 100 ns", "5 times as much"]),
        ({"noise": 0.8}, ["noise of a frame is 0.8", "0.2 to 0.4", "2 times as much"]),
        ({"noise": 0.05}, ["noise of a frame is 0.05", "0.2 to 0.4", "4 times less"]),
        ({"contrast": 1.5}, ["contrast", "is 1.5", "0.1 to 0.3", "5 times as much"]),
        ({"contrast": 0.02}, ["contrast", "is 0.02", "0.1 to 0.3", "5 times less"]),
    ],
    ids=str,
)
def test_what_lies_clearly_outside_is_said_with_both_values(series, words):
    (sentence,) = said(**series)
    assert all(word in sentence for word in words), sentence


def test_each_misfit_has_a_sentence_of_its_own():
    assert len(said(pixel=4.2, dwell=500.0, noise=2.0, contrast=1.5)) == 4


def test_a_training_that_varied_the_dose_has_seen_more_noise():
    card = {**CARD, "recipe": {"dose_jitter": 0.7}}  # e^0.35 = 1.42
    assert said(card, noise=0.8) == []
    assert "0.141 to 0.568" in said(card, noise=0.1 / 1.1)[0]  # 0.2 / 1.41 (at most), 0.4 x 1.42
    assert "2.11 times" in said(card, noise=1.2)[0]


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"scan_settings": None, "seen": None, "recipe": None},
        {"scan_settings": {}, "seen": {"noise": None}},
        {"seen": {"noise": "much", "contrast": [1]}},
        {"seen": {"noise": ["a", "b"], "contrast": [0, 0]}},
        tiny_filter().card,
    ],
    ids=["empty", "none", "partial", "odd", "no numbers", "tiny"],
)
def test_a_card_that_says_nothing_makes_no_words(card):
    assert said(card, pixel=9.0, dwell=9.0, noise=9.0, contrast=0.001) == []


def test_a_series_around_zero_has_no_contrast_to_compare():
    settings = ScanSettings(n_x=8, n_y=8)
    assert explain_misfit(CARD, settings=settings, scale=SeriesScale(center=-5, spread=1)) == []


def test_the_dose_of_a_series_decides_whether_it_fits():
    card = {"seen": training_ranges([scan_of(96, seed=s).fov() for s in range(3)])}

    def words(dose):
        frames = scan_of(96, seed=9, dose=dose).rapid
        scale = series_scale(frames)
        settings = ScanSettings(n_x=96, n_y=96)
        noise = relative_noise(frames, scale)
        return explain_misfit(card, settings=settings, scale=scale, noise=noise)

    assert words(24) == []
    assert any("noise" in sentence for sentence in words(3))


def test_frames_that_are_flagged_one_by_one_make_a_sentence_of_the_whole_series():
    ranges = {"noise": [-1.0, 0.0, 0.3], "along_1": [0.5, 0.6, 0.05], "fine": [-1.0, 0.5, 0.3]}
    card = {"seen": {"noise": [0.01, 0.02], "frames": {"ranges": ranges}}}

    def words(*frames):
        settings, scale = ScanSettings(n_x=8, n_y=8), SeriesScale(center=-5, spread=1)
        return explain_misfit(card, settings=settings, scale=scale, frames=frames)

    usual = FrameCharacter(noise=-0.5, along_1=0.55, fine=0.0)
    assert words(usual, usual) == []  # the noise of an older card is not looked at
    assert words(usual, replace(usual, noise=2.0)) == []  # half of them
    noisy = replace(usual, noise=math.log(2))
    (sentence,) = words(noisy, noisy, usual)
    assert "noise of a frame is 2 " in sentence
    assert "0.368 to 1 was seen" in sentence
    (sentence,) = words(*[replace(usual, along_1=0.1)] * 3)
    assert "correlation of the noise 1 px apart along x is 0.1, but 0.5 to 0.6" in sentence
    (sentence,) = words(*[replace(usual, fine=2.0)] * 3)
    assert "structures have another size" in sentence
