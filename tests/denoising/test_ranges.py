import json
import math

import numpy as np
import pytest
from denoising.builders import grainy_frame, scan_of, tiny_recipe
from scipy.ndimage import gaussian_filter

from stemscale.denoising import SeriesScale, TrainingFov, series_scale, train_filter
from stemscale.denoising.character import FrameCharacter
from stemscale.denoising.ranges import RESPECTS, CharacterRanges, SeenFrames
from stemscale.denoising.training_ranges import frame_ranges
from stemscale.simulation import PRESETS
from stemscale.simulation.field_of_view import FieldOfView

SCALE = SeriesScale(center=24.0, spread=9.6)  # of `grainy_frame`: 1.6 standard deviations of 6


def learned(frames_by_series, *, normalisation="series"):
    ranges = CharacterRanges()
    for name, frames, scale in frames_by_series:
        for frame in frames:
            ranges.add(frame, scale, series=name)
    card = {"normalisation": normalisation, "seen": {"frames": ranges.to_card()}}
    return SeenFrames.of_card(json.loads(json.dumps(card, allow_nan=False)))


def series(seeds, n=4, **changes):
    for seed in seeds:
        frames = [grainy_frame(scene=seed, seed=1000 * seed + i, **changes) for i in range(n)]
        yield seed, np.stack(frames), SCALE


@pytest.fixture(scope="module")
def seen():
    return learned(series(range(1, 13)))


def flags(seen, frames):
    return [seen.judge(frame, SCALE).flag for frame in frames]


def test_frames_of_the_same_kind_are_not_flagged(seen):
    found = [flag for _, frames, _ in series(range(101, 141), 5) for flag in flags(seen, frames)]
    assert len(found) == 200
    assert np.count_nonzero(found) == 0


def usual(**changes):
    return [grainy_frame(seed=s, **changes) for s in range(500, 520)]


def lattice():
    y, x = np.mgrid[:256, :256]
    return 3 * np.sin(2 * np.pi * (x / 6.1 + y / 14.0))


def upsampled():
    small = [grainy_frame(128, grain_px=2.5, tail_px=0.75, seed=s) for s in range(20)]
    return [np.repeat(np.repeat(f, 2, axis=0), 2, axis=1) for f in small]


OUTSIDE = {
    "a quarter of the dose": (lambda: [4 * f for f in usual(dose=6.0)], "noise"),
    "sixteen times the dose": (lambda: [f / 16 for f in usual(dose=384.0)], "noise"),
    "no lag": (lambda: usual(tail_px=0), "lag"),
    "twice the lag": (lambda: usual(tail_px=3.0), "lag"),
    "three times the lag": (lambda: usual(tail_px=4.5), "lag"),
    "gain that changed": (lambda: [24 + 1.8 * (f - 24) for f in usual()], "intensity"),
    "offset that changed": (lambda: [f + 8 for f in usual()], "intensity"),
    "brighter by a third": (lambda: [1.33 * f for f in usual()], "intensity"),
    "saturated": (lambda: [np.minimum(f, np.quantile(f, 0.9)) for f in usual()], "intensity"),
    "beam blanked": (lambda: [0.01 * (f - 24) for f in usual()], "intensity"),
    "constant": (lambda: [np.full((256, 256), 24.0)], "intensity"),
    "pixels half as large": (lambda: usual(grain_px=10.0), "spectrum"),
    "pixels twice as large": (lambda: usual(grain_px=2.5), "spectrum"),
    "lattice fringes": (lambda: [f + lattice() for f in usual()], "spectrum"),
    "image made larger": (upsampled, "lag"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_frames_outside_in_one_respect_are_flagged_for_it(seen, case):
    frames, respect = OUTSIDE[case]
    found = flags(seen, frames())
    assert np.mean([bool(flag & RESPECTS[respect]) for flag in found]) > 0.95


@pytest.mark.parametrize("case", ["offset that changed", "saturated", "pixels half as large"])
def test_what_is_outside_in_one_respect_alone_is_flagged_for_nothing_else(seen, case):
    frames, respect = OUTSIDE[case]
    assert set(flags(seen, frames())) == {RESPECTS[respect]}


def test_the_score_counts_tolerances_beyond_the_range():
    card = {"seen": {"frames": {"ranges": {"noise": [-1.0, 0.0, 0.5], "middle": [0, 0, 0.1]}}}}
    seen = SeenFrames.of_card(card)
    found = seen.compare(FrameCharacter(noise=0.25, middle=0.0))
    assert (found.score, found.flag) == (0.5, 0)
    found = seen.compare(FrameCharacter(noise=-2.0, middle=0.1))
    assert (found.score, found.flag) == (2.0, RESPECTS["noise"] | RESPECTS["intensity"])
    assert found.scores == {"noise": 2.0, "intensity": 1.0}
    assert found.worst == {"noise": "noise", "intensity": "middle"}


def test_a_frame_that_shows_nothing_has_no_score(seen):
    found = seen.judge(np.full((64, 64), np.nan), SCALE)
    assert math.isnan(found.score)
    assert found.flag == 0


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"seen": None},
        {"seen": {"noise": [0.2, 0.4]}},
        {"seen": {"frames": None}},
        {"seen": {"frames": {"ranges": {"noise": [1, 2], "lag": [0, 1, 2], "dark": "?"}}}},
    ],
    ids=["empty", "none", "older", "not measured", "odd"],
)
def test_a_card_without_ranges_judges_nothing(card):
    assert SeenFrames.of_card(card) is None


def test_without_frames_there_are_no_ranges():
    assert CharacterRanges().to_card() is None


def test_a_few_series_are_trusted_less_than_many():
    dark_and_bright = [grainy_frame(128, seed=s) + 5 * s for s in (0, 1)]

    def tolerance(n_series):
        seen = learned((n, [dark_and_bright[n % 2]], SCALE) for n in range(n_series))
        return seen.ranges["middle"][2]

    assert tolerance(2) > 2 * tolerance(20) > 0


def test_frames_of_a_simulated_microscope_that_were_held_out_are_not_flagged():
    def fov(number):
        view = FieldOfView(number, size=128, n_frames=6, settings=PRESETS["reference"])
        frames = np.stack([view.frame(i).counts for i in range(6)]).astype(np.float32)
        return number, frames, series_scale(frames)

    seen = learned(fov(n) for n in range(1, 25))
    held_out = [fov(n) for n in range(101, 137)]
    found = [seen.judge(f, scale).flag for _, frames, scale in held_out for f in frames]
    assert np.count_nonzero(found) <= 0.005 * len(found)


def test_frames_scaled_one_by_one_are_judged_so():
    """Gain and offset of a frame do not reach such a network."""
    frames = [(n, frames, None) for n, frames, _ in series(range(1, 9))]
    seen = learned(frames, normalisation="frame_min_max")
    assert flags(seen, [5 * f + 700 for f in usual()[:4]]) == [0] * 4


def test_what_a_recipe_varies_widens_the_ranges():
    fovs = [TrainingFov(name=f"f{n}", frames=f, target=f[0]) for n, f, _ in series(range(1, 9))]

    def width(name, **recipe):
        still = {"gain_jitter": 0.0, "offset_jitter": 0.0}
        found = frame_ranges(fovs, tiny_recipe(**{**still, **recipe}), np.random.default_rng(0))
        low, high, _ = found["ranges"][name]
        return high - low

    assert width("middle", offset_jitter=0.2) > width("middle") + 0.3
    assert width("contrast", gain_jitter=0.2) > width("contrast") + 0.3
    assert width("along_3", lag_jitter=0.2) > width("along_3") + 0.05
    assert width("noise", dose_jitter=1.0) > width("noise") + 0.1


def test_the_ranges_of_a_training_leave_out_what_tells_nothing():
    fovs = [
        TrainingFov(name="flat", frames=np.full((2, 64, 64), 5.0), target=None),
        TrainingFov(name="empty", frames=np.empty((0, 64, 64)), target=None),
        scan_of(96, frames=3).fov(),
    ]
    found = frame_ranges(fovs, tiny_recipe(), np.random.default_rng(0))
    assert (found["series"], found["count"]) == (1, 6)
    assert frame_ranges(fovs[:2], tiny_recipe(), np.random.default_rng(0)) is None


def test_frames_as_recorded_are_held_against_those_that_were_recorded():
    """Noise that is alike in neighbouring rows comes from interpolation, or is no scan's."""
    rng = np.random.default_rng(0)

    def fov(name, *, recorded):
        grain = gaussian_filter(rng.normal(size=(96, 96)), 6)
        frames = 100 * grain / grain.std() + rng.normal(0, 60, (4, 96, 96))
        if not recorded:  # half a row lower
            frames = 0.5 * (frames + np.roll(frames, 1, axis=1))
        frames = frames.astype(np.float32)
        return TrainingFov(name=name, frames=frames, target=frames[0], recorded=recorded)

    fovs = [fov(f"{i}", recorded=bool(i % 2)) for i in range(40)]
    recipe = tiny_recipe(patch_px=32, lag_jitter=0.0)
    card = train_filter(fovs, recipe=recipe, epochs=1).card
    new = fov("new", recorded=False)
    scale = series_scale(new.frames)
    as_recorded = SeenFrames.of_card(card, recorded=True).judge(new.frames[0], scale)
    corrected = SeenFrames.of_card(card).judge(new.frames[0], scale)
    assert as_recorded.flag & RESPECTS["lag"]
    assert not corrected.flag & RESPECTS["lag"]
