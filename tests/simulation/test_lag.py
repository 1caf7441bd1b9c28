"""The detector's delay (row D1: smeared along x)."""

import numpy as np
import pytest

from stemscale.simulation.lag import DetectorLag

REFERENCE = DetectorLag(
    fast_ns=130.0, slow_ns=900.0, slow_share=0.32, signal_power=0.3, integrates=False
)


def single(tau_ns: float, *, power: float = 0.0, integrates: bool = False) -> DetectorLag:
    return DetectorLag(
        fast_ns=tau_ns, slow_ns=tau_ns, slow_share=0.5, signal_power=power, integrates=integrates
    )


def impulse(n: int = 200) -> np.ndarray:
    signal = np.zeros((1, n))
    signal[0, 0] = 1.0
    return signal


def respond(lag: DetectorLag, signal: np.ndarray, *, dwell_ns: float = 100.0) -> np.ndarray:
    return lag.apply(signal, np.zeros(len(signal)), dwell_ns=dwell_ns, bright=1.0)


def test_one_tail_read_at_the_end_is_a_plain_recursion():
    # tau = 2 px: h(k) = (1 - e^(-1/2)) e^(-k/2)
    expected = (1 - np.exp(-0.5)) * np.exp(-np.arange(200) / 2)
    np.testing.assert_allclose(respond(single(200.0), impulse())[0], expected, atol=1e-12)


def test_one_tail_read_throughout_spreads_in_its_own_pixel():
    # Light falls evenly during the dwell and decays with tau = 2 px; of what falls at time t of
    # pixel 0 (0 … 1), e^(-(k - t)/tau) - e^(-(k + 1 - t)/tau) is read in pixel k >= 1. The integral
    # over t: tau (1 - e^(-1/tau))² e^((1-k)/tau); the rest is read in pixel 0.
    tau, k = 2.0, np.arange(1, 200)
    expected = tau * (1 - np.exp(-1 / tau)) ** 2 * np.exp((1 - k) / tau)
    response = respond(single(200.0, integrates=True), impulse())[0]
    np.testing.assert_allclose(response[1:], expected, atol=1e-12)
    assert response[0] == pytest.approx(1 - expected.sum())


def test_two_tails_mix_by_their_shares():
    lag = DetectorLag(
        fast_ns=130.0, slow_ns=900.0, slow_share=0.32, signal_power=0.0, integrates=False
    )
    k = np.arange(200)
    expected = sum(
        share * (1 - np.exp(-1 / tau)) * np.exp(-k / tau) for share, tau in ((0.68, 1.3), (0.32, 9))
    )
    np.testing.assert_allclose(respond(lag, impulse())[0], expected, atol=1e-12)


@pytest.mark.parametrize("integrates", [False, True])
def test_no_signal_is_lost(integrates):
    lag = single(300.0, power=0.3, integrates=integrates)
    signal = np.zeros((3, 400))
    signal[:, :100] = np.random.default_rng(0).poisson(5, (3, 100))
    np.testing.assert_allclose(respond(lag, signal).sum(axis=1), signal.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("level", [0.2, 0.5, 1.0])
def test_an_even_signal_stays_even_from_the_first_pixel(level):
    even = np.full((2, 50), level)
    out = REFERENCE.apply(even, even[:, 0], dwell_ns=100.0, bright=1.0)
    # The slow store's steady filling is exact where its length is long against a pixel.
    np.testing.assert_allclose(out, even, rtol=5e-3)


def test_lines_do_not_know_each_other():
    signal = np.random.default_rng(0).uniform(0.2, 1, (4, 60))
    other = signal.copy()
    other[1:] = 0.1
    both = [REFERENCE.apply(s, s[:, 0], dwell_ns=100.0, bright=1.0)[0] for s in (signal, other)]
    np.testing.assert_array_equal(*both)


def test_slow_tail_is_longer_where_the_signal_is_stronger():
    def fall_px(level: float) -> float:
        signal = np.full((1, 300), level)
        signal[0, 100:] = 0.0
        late = REFERENCE.apply(signal, signal[:, 0], dwell_ns=100.0, bright=1.0)[0, 106:120]
        return float(-1 / np.polyfit(np.arange(len(late)), np.log(late), 1)[0])

    assert fall_px(1.0) > 1.1 * fall_px(0.5) > 1.1 * fall_px(0.25)


def test_no_single_kernel_undoes_it():
    """The response to twice the signal is not twice the response."""
    signal = np.random.default_rng(0).uniform(0.2, 0.5, (8, 200))
    once, twice = respond(REFERENCE, signal), respond(REFERENCE, 2 * signal)
    assert np.abs(twice - 2 * once).max() > 0.01
    plain = single(900.0)
    np.testing.assert_allclose(respond(plain, 2 * signal), 2 * respond(plain, signal))


def test_lag_is_a_time_and_vanishes_in_a_slow_scan():
    """Row D2: no lag to speak of at 5 µs."""
    slow = respond(REFERENCE, impulse(), dwell_ns=5000.0)[0]
    assert slow[0] > 0.99
    assert slow[3:].sum() < 1e-6
