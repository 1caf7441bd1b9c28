"""The widest settings of the simulated microscope: what the shipped filters have seen."""

from typing import Any

import numpy as np

from stemscale.simulation import SceneSettings, SimulationSettings

REFERENCE_NM = 2.1  # per pixel: densities of what lies in the view are given for this
_NO_LAG, _NO_DISTORTION = 0.1, 0.25  # shares of all FOVs


def draw_settings(rng: np.random.Generator) -> SimulationSettings:
    """Draw a microscope and what lies under it.

    Parameters
    ----------
    rng : numpy.random.Generator
        All chance comes from it.

    Returns
    -------
    SimulationSettings
        The reference settings lie near the middle of every range. Lengths that a network sees are
        drawn in pixels: widths of lines 2.5 to 12, tails of the lag 0.3 to 3 and 3 to 14.
    """
    dwell_ns = _log(rng, 50, 600)
    pixel_nm = _log(rng, 0.6, 6)
    effects = {"poisson", "readout", "lag", "distortion", "jitter", "gamma", "background"}
    if rng.random() < _NO_LAG:
        effects.discard("lag")
    if rng.random() < _NO_DISTORTION:
        effects.discard("distortion")
    return SimulationSettings(
        pixel_size_nm=pixel_nm,
        rapid_dwell_ns=dwell_ns,
        dose_electrons=_log(rng, 3, 150),
        readout_electrons=rng.uniform(0, 3),
        lag_fast_ns=dwell_ns * _log(rng, 0.3, 3),
        lag_slow_ns=dwell_ns * _log(rng, 3, 14),
        lag_slow_share=rng.uniform(0.05, 0.6),
        lag_signal_power=rng.uniform(0, 0.5),
        lag_integrates=bool(rng.random() < 0.3),
        line_start_stretch=(-0.45, 1.0),
        distortion_scale=rng.uniform(0.2, 1.0),
        line_jitter_px=rng.uniform(0, 0.2),
        gamma_log=0.28,
        background_contrast=(0.0, 0.6),
        scene=_scene(rng, pixel_nm),
        effects=frozenset(effects),
    )


def _scene(rng: np.random.Generator, pixel_nm: float) -> SceneSettings:
    width_px = _log(rng, 2.5, 12)
    # as many lines in the view whatever its pixels are in nm
    per_px = (REFERENCE_NM / pixel_nm) ** 2
    many: dict[str, Any] = {
        "lines_per_um2": 8.0,
        "loops_per_um2": 7.0,
        "tangles_per_um2": 1.2,
        "arrays_per_um2": 0.7,
        "dots_per_um2": 6.0,
    }
    shallow = _log(rng, 0.03, 0.15)
    return SceneSettings(
        **{name: value * per_px * _log(rng, 0.4, 3) for name, value in many.items()},
        dot_depth=(rng.uniform(0.3, 1.5), rng.uniform(1.5, 3.0)),
        bend_contours=rng.uniform(0, 2.5),
        line_fwhm_nm=tuple(
            max(2.2, width_px * factor) * pixel_nm for factor in (1.0, *rng.uniform(0.7, 1.5, 2))
        ),
        line_depth=(shallow, shallow * _log(rng, 3, 20)),
        bend_depth=(0.05, rng.uniform(0.1, 0.6)),
        thickness_depth=rng.uniform(0.02, 0.35),
    )


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number of which the logarithm is spread evenly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
