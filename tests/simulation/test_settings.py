"""Settings are checked where they are made, and say what is wrong."""

import json
from dataclasses import fields

import pytest

from stemscale.errors import SettingsError
from stemscale.simulation import (
    EFFECTS,
    PRESETS,
    HeatingSettings,
    SceneSettings,
    SimulationSettings,
    preset_settings,
)


@pytest.mark.parametrize(
    ("settings", "name", "value", "said"),
    [
        (SimulationSettings, "dose_electrons", 0.0, "dose_electrons is 0"),
        (SimulationSettings, "pixel_size_nm", -2.1, "pixel_size_nm is -2.1"),
        (SimulationSettings, "flyback_us", float("nan"), "flyback_us is nan"),
        (SimulationSettings, "lag_slow_share", 1.5, "lag_slow_share is 1.5"),
        (SimulationSettings, "lag_fast_ns", 0.0, "lag_fast_ns is 0"),
        (SimulationSettings, "line_start_stretch", (-0.7, 1.0), "line_start_stretch is -0.7 to 1"),
        (SimulationSettings, "line_start_stretch", (-0.4, 1.2), "line_start_stretch is 1.2"),
        (SimulationSettings, "hysteresis_us", (8.0, 3.0), "hysteresis_us is 8 to 3"),
        (SimulationSettings, "view_extra", 0.8, "view_extra is 0.8"),
        (SimulationSettings, "effects", frozenset({"magic"}), "effect 'magic' is unknown"),
        (SceneSettings, "lines_per_um2", -1.0, "lines_per_um2 is -1"),
        (SceneSettings, "line_fwhm_nm", (), "line_fwhm_nm is empty"),
        (SceneSettings, "line_depth", (0.0, 1.0), "line_depth is 0 to 1"),
        (HeatingSettings, "end_degc", 20.0, "start_degc, end_degc is 90 to 20"),
        (HeatingSettings, "ramp_degc_per_s", 0.0, "ramp_degc_per_s is 0"),
        (HeatingSettings, "mobile_share", -0.1, "mobile_share is -0.1"),
    ],
)
def test_bad_settings_are_refused_with_name_and_value(settings, name, value, said):
    with pytest.raises(SettingsError) as error:
        settings(**{name: value})
    assert said in str(error.value)


def test_each_effect_can_be_switched_off():
    for effect in EFFECTS:
        rest = SimulationSettings().without(effect)
        assert not rest.has(effect)
        assert all(rest.has(other) for other in EFFECTS if other != effect)
    assert SimulationSettings().without(*EFFECTS).effects == frozenset()
    with pytest.raises(SettingsError, match="'noise' is unknown: there are poisson"):
        SimulationSettings().without("noise")


def test_presets_have_names():
    assert preset_settings("reference") == SimulationSettings()
    assert preset_settings("replica").rapid_dwell_ns == 500
    with pytest.raises(SettingsError, match="'titan' is unknown: take one of reference, replica"):
        preset_settings("titan")


def test_reference_settings_are_frozen():
    """The figures of the documentation hold for these; a change of one is a change of all."""
    s = PRESETS["reference"]
    assert (s.pixel_size_nm, s.dose_electrons, s.readout_electrons) == (2.1, 24.0, 1.2)
    assert s.slow_dwell_ns / s.rapid_dwell_ns == 50
    assert (s.lag_fast_ns, s.lag_slow_ns, s.lag_slow_share) == (130.0, 900.0, 0.32)
    assert (s.view_extra, s.gamma_log, s.background_contrast) == (0.10, 0.28, (0.25, 0.5))
    assert min(s.scene.line_fwhm_nm) >= 4 * s.pixel_size_nm  # lines of 4 px and more


def test_frame_time_is_dwell_and_flyback():
    """Row D1: 512 × 512 at 100 ns is 26.2 ms of dwell; 512 lines of 25 µs flyback are 12.8 ms."""
    settings = SimulationSettings()
    assert settings.frame_time_s((512, 512)) == pytest.approx(0.0262144 + 0.0128)


def test_settings_go_into_json():
    attrs = json.loads(json.dumps(SimulationSettings().without("lag").to_attrs()))
    assert {f.name for f in fields(SimulationSettings)} == set(attrs)
    assert attrs["effects"] == [e for e in EFFECTS if e != "lag"]
    assert attrs["scene"]["bend_contours"] == SceneSettings().bend_contours
