"""From intensity to counts (rows D1, D2, D7)."""

from dataclasses import replace

import numpy as np
import pytest

from stemscale.errors import SettingsError
from stemscale.simulation import SimulationSettings
from stemscale.simulation.detector import Detector, draw_detector, draw_response

REFERENCE = SimulationSettings()
NO_LAG = REFERENCE.without("lag", "readout")


def detector(settings: SimulationSettings, *, black=1000.0, bright=24_000.0) -> Detector:
    return Detector(settings=settings, black=black, bright=bright)


def even(level: float = 1.0, n: int = 128) -> np.ndarray:
    return np.full((n, n), level)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_noise_counts_are_the_signal_rounded():
    silent = REFERENCE.without("poisson", "readout", "lag")
    signal = rng().uniform(0.1, 1, (20, 30))
    counts = detector(silent).record(signal, dwell_ns=100.0, rng=rng())
    assert counts.dtype == np.uint16
    np.testing.assert_array_equal(counts, np.rint(1000 + 24_000 * signal))


@pytest.mark.parametrize(("dwell_ns", "electrons"), [(100.0, 24.0), (5000.0, 1200.0)])
def test_noise_is_that_of_the_electrons_of_a_dwell(dwell_ns, electrons):
    """24 electrons at 100 ns, 50 times as many at 5 µs: relative variance 1/electrons."""
    counts = detector(NO_LAG).record(even(), dwell_ns=dwell_ns, rng=rng()).astype(float)
    assert counts.mean() == pytest.approx(25_000, rel=0.005)
    assert counts.var() == pytest.approx(24_000**2 / electrons, rel=0.05)


def test_readout_noise_adds_its_variance():
    silent = REFERENCE.without("poisson", "lag")
    counts = detector(silent).record(even(), dwell_ns=100.0, rng=rng()).astype(float)
    assert counts.std() == pytest.approx(24_000 * 1.2 / 24, rel=0.03)


def test_lag_takes_the_noise_along_the_lines_and_readout_noise_comes_after():
    def neighbours(settings: SimulationSettings) -> tuple[float, float]:
        noise = detector(settings).record(even(), dwell_ns=100.0, rng=rng()).astype(float)
        noise -= noise.mean()
        return tuple(
            float((a * b).mean() / noise.var())
            for a, b in ((noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1]))
        )

    x, y = neighbours(REFERENCE.without("readout"))
    assert x > 0.4
    assert abs(y) < 0.03
    assert neighbours(REFERENCE)[0] < x - 0.03
    assert abs(neighbours(NO_LAG)[0]) < 0.03


def test_counts_stay_within_sixteen_bit():
    loud = detector(replace(REFERENCE, readout_electrons=200.0))
    counts = loud.record(even(), dwell_ns=100.0, rng=rng())
    assert counts.min() == 0
    assert counts.max() == 65_535


def test_fields_of_view_use_a_part_of_the_range():
    """Row D7: minimum and maximum in one of two pairs of ranges; both occur."""
    scene = rng().uniform(0.05, 1.0, (64, 64))
    kinds = set()
    for seed in range(20):
        counts = draw_detector(scene, REFERENCE, rng(seed)).counts(scene)
        low, high = counts.min(), counts.max()
        first = 7_000 <= low <= 10_000 and 17_000 <= high <= 20_000
        second = 15_000 <= low <= 20_000 and 30_000 <= high <= 40_000
        assert first or second, (low, high)
        kinds.add(first)
    assert kinds == {True, False}


def test_a_faint_scene_is_not_blown_up():
    scene = rng().uniform(0.95, 1.0, (64, 64))
    counts = draw_detector(scene, REFERENCE, rng()).counts(scene)
    assert np.ptp(counts) < 0.1 * 25_000


def test_an_empty_scene_is_refused():
    with pytest.raises(SettingsError, match="scene is empty"):
        draw_detector(even(), REFERENCE, rng())


def test_response_differs_by_gamma_and_a_smooth_background_of_the_stated_size():
    """Fig. 4b: gamma e^±0.28, background of a quarter to a half of the scene's contrast."""
    scene = rng().uniform(0.2, 1.0, (128, 128))
    gammas = []
    for seed in range(20):
        response = draw_response(scene, REFERENCE, rng(seed), rng(seed + 100))
        gammas.append(np.log(response.gamma))
        height = np.ptp(response.background) / np.ptp(np.quantile(scene, (0.005, 0.995)))
        assert 0.25 <= height <= 0.5
        # Smooth: no step between neighbours above 1/20 of its height.
        steps = np.abs(np.diff(response.background, axis=1)).max()
        assert steps < 0.05 * np.ptp(response.background)
    assert np.abs(gammas).max() <= 0.28
    assert np.ptp(gammas) > 0.28


def test_gamma_belongs_to_the_instrument_and_background_to_the_field_of_view():
    scene = rng().uniform(0.2, 1.0, (64, 64))
    a, b = (draw_response(scene, REFERENCE, rng(1), rng(view)) for view in (2, 3))
    assert a.gamma == b.gamma
    assert not np.allclose(a.background, b.background)


def test_response_switched_off_changes_nothing():
    scene = rng().uniform(0.2, 1.0, (64, 64))
    plain = draw_response(scene, REFERENCE.without("gamma", "background"), rng(1), rng(2))
    np.testing.assert_array_equal(plain.apply(scene), scene)
