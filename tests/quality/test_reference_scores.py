import threading

import numpy as np
import pytest
from quality.builders import dislocations, exponential_tail, lagged, smooth_background

from stemscale.errors import FrameShapeError
from stemscale.quality import (
    ReferenceScores,
    agreement_cutoff,
    horizontal_profile,
    lag_tail,
    psnr_matched,
    streak,
)

SIZE = 192
SCENE = 30000 + 4000 * dislocations(SIZE) + 800 * smooth_background(SIZE)


def frames_of(scene=SCENE, *, n=3, noise=900.0, tau_px=4.0, seed=0):
    """Smeared frames on another scale, of 16 bit."""
    rng = np.random.default_rng(seed)
    smeared = lagged(scene, exponential_tail(tau_px))
    frames = [0.6 * (smeared + rng.normal(0, noise, scene.shape)) + 1500 for _ in range(n)]
    return np.rint(frames).astype(np.float32)


def on_scale(frame, reference):
    """By the gain that runs from the reference to the frame."""
    seen = np.isfinite(frame) & np.isfinite(reference)
    gain = reference[seen].var() / np.cov(frame[seen], reference[seen], bias=True)[0, 1]
    return gain * (frame - frame[seen].mean()) + reference[seen].mean()


def one_by_one(frame, reference, pixel_size_nm):
    frame = frame.astype(np.float64)
    tail = lag_tail(frame, reference)
    both = np.isfinite(frame) & np.isfinite(reference)
    wave_number, expected = horizontal_profile(
        np.where(both, reference, np.nan), pixel_size_nm=pixel_size_nm
    )
    _, profile = horizontal_profile(
        np.where(both, on_scale(frame, reference), np.nan), pixel_size_nm=pixel_size_nm
    )
    return {
        "psnr_matched": psnr_matched(frame, reference),
        "streak": streak(frame, reference),
        "lag_tail": tail.weight,
        "lag_delay": tail.delay_px,
        "agreement_cutoff": agreement_cutoff(profile, expected, wave_number),
    }


@pytest.mark.parametrize("unseen", ["none", "in the frames", "in both"])
def test_a_block_scores_as_its_frames_do_one_by_one(unseen):
    frames, reference = frames_of(), SCENE.copy()
    if unseen != "none":
        frames[:, :, :9] = np.nan
        frames[:, 100:, -4:] = np.nan
    if unseen == "in both":
        reference[:5] = np.nan
    found = ReferenceScores(reference, pixel_size_nm=2.1)(frames)
    for i, frame in enumerate(frames):
        for name, value in one_by_one(frame, reference, 2.1).items():
            assert found[name][i] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_frames_that_see_other_pixels_are_scored_over_what_all_of_them_see():
    frames = frames_of(n=2)
    frames[0, :, :10] = np.nan
    frames[1, :20] = np.nan
    alike = frames.copy()
    alike[:, :, :10] = np.nan
    alike[:, :20] = np.nan
    scores = ReferenceScores(SCENE, pixel_size_nm=None)
    found, expected = scores(frames), scores(alike)
    for name in ReferenceScores.NAMES:
        assert found[name] == pytest.approx(expected[name])


def test_a_frame_that_shows_nothing_has_no_scores_and_takes_none_from_the_others():
    frames = frames_of(n=3)
    whole = ReferenceScores(SCENE, pixel_size_nm=2.1)(frames)
    frames[1] = np.nan
    found = ReferenceScores(SCENE, pixel_size_nm=2.1)(frames)
    for name, values in found.items():
        assert np.isnan(values[1]).all(), name
        assert values[[0, 2]] == pytest.approx(whole[name][[0, 2]]), name


def test_frames_of_another_scene_have_no_smear():
    other = frames_of(30000 + 4000 * dislocations(SIZE, seed=77), noise=0.0, n=1)
    assert not ReferenceScores(SCENE, pixel_size_nm=2.1)(other)["streak"] > 3
    noise = np.random.default_rng(5).normal(1e4, 50, (1, SIZE, SIZE)).astype(np.float32)
    assert abs(ReferenceScores(SCENE, pixel_size_nm=2.1)(noise)["psnr_matched"][0] - 17) < 6


def test_a_constant_reference_scores_nothing():
    found = ReferenceScores(np.full((64, 64), 7.0), pixel_size_nm=1.0)(frames_of()[:, :64, :64])
    assert all(np.isnan(values).all() for values in found.values())


def test_a_constant_frame_matches_the_mean_and_no_wave():
    found = ReferenceScores(SCENE, pixel_size_nm=1.0)(np.full((1, SIZE, SIZE), 5, np.float32))
    peak, spread = np.ptp(SCENE), SCENE.std()
    assert found["psnr_matched"][0] == pytest.approx(20 * np.log10(peak / spread), abs=1e-3)
    assert np.isnan(found["agreement_cutoff"][0])
    assert np.isnan(found["streak"][0])


def test_small_frames_are_scored_by_what_they_have_room_for():
    found = ReferenceScores(SCENE[:12, :12], pixel_size_nm=1.0)(frames_of()[:, :12, :12])
    assert np.isfinite(found["psnr_matched"]).all()
    assert np.isnan(found["streak"]).all()
    assert np.isnan(found["lag_tail"]).all()


def test_threads_get_the_same_scores():
    scores, frames, found = ReferenceScores(SCENE, pixel_size_nm=2.1), frames_of(), []
    alone = ReferenceScores(SCENE, pixel_size_nm=2.1)(frames)["lag_tail"]
    threads = [
        threading.Thread(target=lambda: found.append(scores(frames)["lag_tail"])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(values == pytest.approx(alone) for values in found)
    assert len(found) == 4


def test_frames_of_another_shape_are_refused():
    with pytest.raises(FrameShapeError, match="calibrate"):
        ReferenceScores(SCENE, pixel_size_nm=1.0)(np.zeros((2, 8, 8), np.float32))
