"""Temperature against time of an in-situ series, and how far it takes thermally driven motion."""

import numpy as np

from stemscale.simulation.settings import HeatingSettings

_BOLTZMANN_EV_PER_K = 8.617333e-5
_KELVIN = 273.15
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def temperature_degc(time_s: float, heating: HeatingSettings) -> float:
    """Give the temperature of the specimen: a ramp, then a hold (row D6).

    Parameters
    ----------
    time_s : float
        Since the first frame [s].
    heating : HeatingSettings

    Returns
    -------
    float
        [°C]
    """
    return min(heating.start_degc + heating.ramp_degc_per_s * time_s, heating.end_degc)


def thermal_age_s(time_s: float, heating: HeatingSettings) -> float:
    """Give how long the start temperature would need for the same motion (Arrhenius).

    Parameters
    ----------
    time_s : float
        Since the first frame [s].
    heating : HeatingSettings

    Returns
    -------
    float
        Integral of exp(Q/k (1/T(0) - 1/T(t))) over the time [s]; the time itself where nothing
        heats up.
    """
    ramp_s = (heating.end_degc - heating.start_degc) / heating.ramp_degc_per_s
    ramp_s = min(time_s, ramp_s)
    # The rate is smooth on the ramp (Gauss-Legendre is exact to rounding) and constant after it.
    at = 0.5 * ramp_s * (_NODES + 1.0)
    on_ramp = 0.5 * ramp_s * float(_WEIGHTS @ [_speed_up(float(t), heating) for t in at])
    return on_ramp + (time_s - ramp_s) * _speed_up(time_s, heating)


def _speed_up(time_s: float, heating: HeatingSettings) -> float:
    start_k = heating.start_degc + _KELVIN
    now_k = temperature_degc(time_s, heating) + _KELVIN
    return float(np.exp(heating.activation_ev / _BOLTZMANN_EV_PER_K * (1 / start_k - 1 / now_k)))
