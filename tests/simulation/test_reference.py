"""What the presets give, measured as everything else is measured."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from stemscale.quality import lag_tail, psnr_without_background
from stemscale.simulation import FieldOfView, SimulationSettings, preset_settings

REFERENCE = preset_settings("reference")


def view(
    number: int = 1, *, size: int = 128, settings: SimulationSettings = REFERENCE, **seeds: int
) -> FieldOfView:
    return FieldOfView(number, size=size, n_frames=4, settings=settings, **seeds)


def correct(fov: FieldOfView, frame: np.ndarray) -> np.ndarray:
    """Resample a rapid frame to the slow scan's grid with the true map, linearly."""
    rows, columns = fov.scan.source_y(len(frame)), fov.scan.source_x
    at = np.meshgrid(rows, columns, indexing="ij")
    return map_coordinates(frame.astype(float), at, order=1, mode="constant", cval=np.nan)


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    """PSNR [dB] and lag tail of corrected rapid frames against the truth, over 12 samples."""
    found = []
    for seed in range(12):
        fov = view(size=512, seed=seed, scan_seed=seed)
        rapid, truth = correct(fov, fov.frame(0).counts), fov.truth()
        found.append((psnr_without_background(rapid, truth), lag_tail(rapid, truth).weight))
    return np.array(found)


def test_reference_frame_reads_25_8_db(scores):
    """Frozen figure: 25.8 ± 0.7 dB against the truth, background removed; rows D1, Q1."""
    assert np.median(scores[:, 0]) == pytest.approx(25.8, abs=0.7)


def test_reference_frame_has_a_lag_tail_of_0_34(scores):
    """Frozen figure: .34 ± .04; row D1 (smeared along x)."""
    assert np.median(scores[:, 1]) == pytest.approx(0.34, abs=0.04)


def test_reference_slow_scan_is_sharp_and_clean():
    """Row D2: no distortion, no lag."""
    fov = view(size=512)
    slow, truth = fov.slow().astype(float), fov.truth()
    assert abs(lag_tail(slow, truth).weight) < 0.05
    assert psnr_without_background(slow, truth) > 30


def test_replica_noise_is_correlated_as_on_the_real_instrument():
    """A rapid HAADF pair at 500 ns: 0.51, 0.16, 0.06 along x, at most 0.01 along y."""
    fov = view(size=512, settings=preset_settings("replica"))
    noise = fov.frame(0).counts.astype(float) - fov.frame(1).counts  # the scene cancels
    noise -= noise.mean()
    along_x = [(noise[:, k:] * noise[:, :-k]).mean() / noise.var() for k in (1, 2, 3)]
    np.testing.assert_allclose(along_x, [0.51, 0.16, 0.06], atol=0.03)
    assert abs((noise[1:] * noise[:-1]).mean() / noise.var()) <= 0.01


def test_without_any_effect_a_rapid_frame_is_the_truth():
    bare = view(settings=REFERENCE.without(*REFERENCE.effects))
    np.testing.assert_array_equal(bare.frame(2).counts, np.rint(bare.truth()))
    np.testing.assert_array_equal(bare.slow(), np.rint(bare.truth()))


def test_true_map_undoes_the_distortion():
    only = REFERENCE.without(*(REFERENCE.effects - {"distortion"}))
    fov = view(size=256, settings=replace(only, view_shift_px=(5.0, 5.0)))
    assert abs(fov.scan.offset_y) > 1
    truth, frame = fov.truth(), fov.frame(0).counts
    seen = correct(fov, frame)
    error = np.nanstd(seen - truth) / np.std(truth)
    assert error < 0.05
    assert np.std(frame - truth) > 5 * np.nanstd(seen - truth)


def test_shift_says_where_the_scene_lies():
    """corrected(y + dy, x + dx) shows truth(y, x)."""
    moved = SimulationSettings(drift_nm_per_s=200.0, vibration_nm=3.0)
    fov = view(size=128, settings=moved.without(*(moved.effects - {"drift"})))
    frame = fov.frame(3)
    dy, dx = frame.shift_px
    assert np.hypot(dy, dx) > 1
    at = np.meshgrid(np.arange(128.0) + dy, np.arange(128.0) + dx, indexing="ij")
    back = map_coordinates(frame.counts.astype(float), at, order=3)[16:-16, 16:-16]
    truth = fov.truth()[16:-16, 16:-16]
    # The specimen also moves while it is scanned: 0.5 px and less.
    assert np.corrcoef(back.ravel(), truth.ravel())[0, 1] > 0.995


def test_frames_depend_on_seed_number_and_index_alone():
    long = FieldOfView(2, size=96, n_frames=50, settings=REFERENCE, seed=5, scan_seed=7)
    short = FieldOfView(2, size=96, n_frames=3, settings=REFERENCE, seed=5, scan_seed=7)
    long.frame(9)  # in any order
    np.testing.assert_array_equal(long.frame(2).counts, short.frame(2).counts)
    np.testing.assert_array_equal(long.slow(), short.slow())
    assert not np.array_equal(long.frame(1).counts, long.frame(2).counts)
    other = FieldOfView(3, size=96, n_frames=3, settings=REFERENCE, seed=5, scan_seed=7)
    assert not np.array_equal(other.slow(), short.slow())


def test_scan_seed_fixes_the_microscope_and_seed_the_specimen():
    """Row C7: a distortion transfers to another specimen on the same microscope."""
    a, b = view(seed=1, scan_seed=4), view(seed=2, scan_seed=4)
    c = view(seed=1, scan_seed=5)
    np.testing.assert_allclose(np.diff(a.scan.beam_x), np.diff(b.scan.beam_x), atol=1e-9)
    assert not np.allclose(np.diff(a.scan.beam_x), np.diff(c.scan.beam_x), atol=1e-3)
    np.testing.assert_array_equal(a.slow(), c.slow())
    assert not np.array_equal(a.slow(), b.slow())


def test_in_situ_frames_do_not_depend_on_the_length_of_the_series():
    a, b = (FieldOfView(1, size=64, n_frames=n, settings=REFERENCE, in_situ=True) for n in (5, 500))
    np.testing.assert_array_equal(a.frame(4).counts, b.frame(4).counts)
    # The slow scan comes after, so that the same frame lies elsewhere to it.
    assert a.frame(4).shift_px != b.frame(4).shift_px
