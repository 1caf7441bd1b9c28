"""Settings with a name: what is frozen, so that figures can be compared."""

from collections.abc import Mapping

from stemscale.errors import SettingsError
from stemscale.simulation.settings import SimulationSettings

PRESETS: Mapping[str, SimulationSettings] = {
    "reference": SimulationSettings(),
    # The noise of a HAADF series at 500 ns a pixel and 300 kV (SerialEM, cross-grating replica):
    # correlated along x by 0.51, 0.16, 0.06 at 1, 2, 3 px whatever the signal, and Poisson's alone,
    # of about 3 electrons a pixel. The two tails are fitted to these numbers.
    "replica": SimulationSettings(
        pixel_size_nm=0.788,
        rapid_dwell_ns=500.0,
        dose_electrons=4.0,
        readout_electrons=0.0,
        lag_fast_ns=140.0,
        lag_slow_ns=700.0,
        lag_slow_share=0.45,
        lag_signal_power=0.0,
        lag_integrates=True,
    ),
}
"""Settings with a name."""


def preset_settings(preset: str) -> SimulationSettings:
    """Look settings up by name.

    Parameters
    ----------
    preset : str
        A key of `PRESETS`: "reference" (the paper's microscope as far as it is known) or "replica"
        (the noise of a real rapid scan at 500 ns a pixel).

    Returns
    -------
    SimulationSettings

    Raises
    ------
    SettingsError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise SettingsError(f"preset {preset!r} is unknown: take one of {', '.join(PRESETS)}")
    return PRESETS[preset]
