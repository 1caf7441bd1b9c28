"""Where the beam is (rows D1, C3, C4, C7)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemscale.simulation import SimulationSettings
from stemscale.simulation.scan import RapidScan, draw_drift, draw_rapid_scan, draw_scan_rate

REFERENCE = SimulationSettings()


def scan(scan_seed: int, *, n_x: int = 512, view: int = 0, **changes: object) -> RapidScan:
    return draw_rapid_scan(
        n_x,
        replace(REFERENCE, **changes),
        np.random.default_rng(scan_seed),
        np.random.default_rng(view),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_x=st.sampled_from([64, 256, 512, 1024]),
    scale=st.sampled_from([0.3, 0.6, 1.0, 1.5]),
)
def test_beam_moves_forward_and_stretches_within_the_limits(seed, n_x, scale):
    """Row C4: local stretch within -50 … +100 %, whatever the size and strength."""
    changed = replace(REFERENCE, distortion_scale=scale)
    stretch = draw_scan_rate(n_x, changed, np.random.default_rng(seed))
    assert stretch.min() >= -0.5
    assert stretch.max() <= 1.0
    path = scan(seed, n_x=n_x, distortion_scale=scale)
    assert np.all(np.diff(path.beam_x) > 0)
    assert np.all(np.diff(path.source_x) > 0)


@pytest.mark.parametrize("seed", range(10))
def test_rapid_frame_sees_ten_percent_more_and_on_both_sides(seed):
    """Row D1: views more than the slow scan."""
    beam = scan(seed).beam_x
    assert np.ptp(beam) == pytest.approx(1.1 * 511)
    assert beam[0] < -5
    assert beam[-1] > 511 + 5


def test_distortion_is_strongest_at_the_line_start():
    """Fig. 7d: the stretch decays along the line."""
    rates = [draw_scan_rate(512, REFERENCE, np.random.default_rng(s)) for s in range(40)]
    size = np.abs(rates).mean(axis=0)
    assert size[:20].mean() > 3 * size[150:].mean()


def test_uncorrected_distortion_is_about_ten_pixels():
    """Reference settings: RMS about 10 px after a constant shift, median over instruments."""
    rms = [np.std(scan(s).source_x - np.arange(512)) for s in range(100)]
    assert np.median(rms) == pytest.approx(10.0, abs=1.5)
    assert np.max(rms) < 23


def test_source_x_is_the_inverse_of_the_beam_path():
    path = scan(3)
    seen_again = np.interp(path.source_x, np.arange(512), path.beam_x)
    np.testing.assert_allclose(seen_again, np.arange(512), atol=1e-9)


def test_source_x_goes_on_beyond_a_frame_that_sees_too_little():
    # A beam that covers only 2 … 9 at one column a pixel: pixel 0 would be 2 columns before it.
    path = RapidScan(beam_x=np.arange(2.0, 10.0), offset_y=0.25)
    np.testing.assert_allclose(path.source_x, np.arange(8) - 2.0)
    np.testing.assert_allclose(path.source_y(3), [0.25, 1.25, 2.25])


def test_another_field_of_view_shifts_the_map_but_keeps_its_shape():
    """Row C7: the distortion belongs to the scan setting."""
    a, b = scan(5, view=1), scan(5, view=2)
    np.testing.assert_allclose(np.diff(a.beam_x), np.diff(b.beam_x), atol=1e-9)
    assert abs(a.beam_x[0] - b.beam_x[0]) > 0.01
    assert a.offset_y != b.offset_y
    assert abs(a.offset_y) <= 0.5


def test_hysteresis_is_a_time_so_a_slower_scan_has_less_of_it():
    fast, slow = (
        draw_scan_rate(512, replace(REFERENCE, rapid_dwell_ns=dwell), np.random.default_rng(1))
        for dwell in (100.0, 500.0)
    )
    half_fast = np.argmax(np.abs(fast) < 0.5 * abs(fast[0]))
    half_slow = np.argmax(np.abs(slow) < 0.5 * abs(slow[0]))
    assert half_slow < 0.4 * half_fast


def test_distortion_off_is_the_identity():
    path = draw_rapid_scan(
        64, REFERENCE.without("distortion"), np.random.default_rng(1), np.random.default_rng(2)
    )
    np.testing.assert_array_equal(path.beam_x, np.arange(64))
    np.testing.assert_array_equal(path.source_x, np.arange(64))
    np.testing.assert_array_equal(path.source_y(64), np.arange(64))


def test_drift_is_steady_and_limited():
    drift = draw_drift(REFERENCE, np.random.default_rng(0))
    np.testing.assert_allclose(drift.at(2.0), 2 * drift.at(1.0))
    assert drift.at(np.zeros(3)).shape == (3, 2)
    assert 0 < np.hypot(*drift.at(1.0)) * REFERENCE.pixel_size_nm <= REFERENCE.drift_nm_per_s
    still = draw_drift(REFERENCE.without("drift"), np.random.default_rng(0))
    np.testing.assert_array_equal(still.at(100.0), [0, 0])
