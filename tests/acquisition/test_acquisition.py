from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscale.acquisition import (
    ScanSettings,
    check_frame_metadata,
    check_name,
    check_pixels,
    check_same_view,
    compare_scans,
    frame_coordinates,
)
from stemscale.errors import SeriesError, SettingsError

RAPID = ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1, dwell_time_ns=100, flyback_time_us=25)


def test_a_rapid_frame_takes_the_dwell_of_its_pixels_and_the_flyback_of_its_lines():
    """Row D1: 512 x 512 at 100 ns are 26.2 ms of dwell."""
    dwell_only = ScanSettings(n_x=512, n_y=512, dwell_time_ns=100)
    assert dwell_only.frame_interval_s == pytest.approx(26.2144e-3)
    # 512 lines of 25 µs flyback more
    assert RAPID.frame_interval_s == pytest.approx(26.2144e-3 + 12.8e-3)


def test_a_view_is_pixels_times_pixel_size():
    assert RAPID.view_nm == (pytest.approx(1075.2), pytest.approx(1075.2))


def test_settings_survive_a_round_trip_through_attributes():
    assert ScanSettings.from_attrs(RAPID.to_attrs(), (512, 512)) == RAPID


@pytest.mark.parametrize(
    "slow",
    [
        ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1),
        ScanSettings(n_x=1024, n_y=1024, pixel_size_nm=1.05),
        ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1 * 1.19),
        ScanSettings(n_x=512, n_y=512),
    ],
    ids=["same", "finer", "19 % larger", "uncalibrated"],
)
def test_a_slow_scan_of_the_same_view_is_accepted(slow):
    check_same_view(RAPID, slow, slow_source="slow.tif")


@pytest.mark.parametrize(
    "slow",
    [
        ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1 * 1.21),
        ScanSettings(n_x=1024, n_y=512, pixel_size_nm=1.05),
        ScanSettings(n_x=1024, n_y=1024),
    ],
    ids=["21 % larger", "half as high", "uncalibrated, more pixels"],
)
def test_a_slow_scan_of_another_view_is_refused_with_file_and_sizes(slow):
    with pytest.raises(SeriesError, match=r"slow\.tif: the slow scan shows .* along"):
        check_same_view(RAPID, slow, slow_source="slow.tif")


def test_only_what_the_distortion_depends_on_is_compared_and_what_is_unknown_is_said():
    """Row C7: frame size, dwell time and flyback; magnification may differ."""
    other_magnification = replace(RAPID, pixel_size_nm=0.5, magnification=1e6)
    found = compare_scans(other_magnification, RAPID)
    assert (found.different, found.unknown) == ({}, ())
    slower = ScanSettings(n_x=512, n_y=256, dwell_time_ns=200)
    found = compare_scans(slower, RAPID)
    assert found.different == {"n_y": (256, 512), "dwell_time_ns": (200, 100)}
    assert found.unknown == ("flyback_time_us",)
    assert compare_scans(RAPID, slower).unknown == ("flyback_time_us",)
    assert not compare_scans(replace(RAPID, dwell_time_ns=100.04), RAPID).different


@given(st.text(alphabet=st.sampled_from("azAZ09_-"), min_size=1, max_size=64))
def test_plain_names_are_accepted(name):
    assert check_name(name, kind="FOV") == name


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "../x", "/abs", ".zattrs", "c/0", "a b", "ü", "a\n"]
)
def test_names_that_could_leave_their_folder_are_refused(name):
    with pytest.raises(SettingsError, match="cannot be used"):
        check_name(name, kind="FOV")


def test_columns_are_brought_to_the_units_of_the_store():
    """Row D6: every frame has a time and a temperature."""
    columns = {"time_ms": np.array([0, 40]), "temperature_C": np.array([90.0, 90.5])}
    found = check_frame_metadata(columns, 2, source="frames.csv")
    np.testing.assert_allclose(found["time"].values, [0, 0.04])
    assert found["time"].units == "s"
    np.testing.assert_allclose(found["temperature"].values, [90, 90.5])


@pytest.mark.parametrize(
    ("column", "value", "name", "expected", "units"),
    [
        ("timestamp_s", 1_700_000_000, "timestamp", 1_700_000_000 * 10**9, "nanoseconds since"),
        ("timestamp_ms", 1_700_000_000_123, "timestamp", 1_700_000_000_123 * 10**6, "nanoseconds"),
        ("timestamp_us", 1_700_000_000, "timestamp", 1_700_000_000 * 1000, "nanoseconds"),
        ("timestamp_ns", 1_700_000_000, "timestamp", 1_700_000_000, "nanoseconds"),
        ("timestamp", 1_700_000_000, "timestamp", 1_700_000_000, "nanoseconds"),
        ("time_ns", 4e7, "time", 0.04, "s"),
        ("beam_current_nA", 0.5, "beam_current", 0.5, "nA"),
        ("beam_current_pA", 50, "beam_current", 0.05, "nA"),
        ("tilt_alpha_degree", 3, "tilt_alpha", 3, "degree"),
        ("tilt_beta_deg", 3, "tilt_beta", 3, "degree"),
        ("stage_x_um", 2, "stage_x", 2000, "nm"),
        ("live_time_us", 2, "live_time", 2e-6, "s"),
    ],
)
def test_a_column_is_read_in_the_unit_that_it_is_named_after(column, value, name, expected, units):
    (found,) = check_frame_metadata({column: np.array([value])}, 1, source="a.csv").items()
    assert found[0] == name
    assert found[1].values[0] == pytest.approx(expected, rel=1e-12)
    assert found[1].units.startswith(units)


def test_a_clock_time_that_is_not_known_is_missing():
    clock = np.array(["nan", "1700000000"])
    found = check_frame_metadata({"timestamp_s": clock}, 2, source="a.csv")["timestamp"].values
    assert np.isnat(found.view("datetime64[ns]")).tolist() == [True, False]
    assert found[1] == 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        ("temperature_nm", "call it temperature_C, temperature_degC"),
        ("time_um", "call it time_s, time_ms, time_us, time_ns"),
        ("stage_x_s", "call it stage_x_nm, stage_x_um"),
        ("frame_id_s", "call it frame_id, without one"),
    ],
)
def test_a_unit_of_another_quantity_is_refused(column, remedy):
    with pytest.raises(SeriesError, match=rf"a\.csv: column '{column}' has the unit .*{remedy}"):
        check_frame_metadata({column: np.array([1.0])}, 1, source="a.csv")


@pytest.mark.parametrize("column", ["gas_flow", "gas_nm", "temperature_K", "stage_x"])
def test_an_unknown_column_keeps_its_name(column):
    found = check_frame_metadata({column: np.array([1.0])}, 1, source="frames.csv")
    assert list(found) == [column]


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.array([1.0]), "1 values"), (np.array(["a", "b"]), "is no number")],
)
def test_columns_that_do_not_fit_the_frames_are_refused(values, message):
    with pytest.raises(SeriesError, match=message):
        check_frame_metadata({"time_s": values}, 2, source="frames.csv")


def test_frames_without_times_get_them_from_the_scan():
    coordinates = frame_coordinates(RAPID, {}, 3)
    np.testing.assert_allclose(coordinates["time"][1], np.arange(3) * RAPID.frame_interval_s)
    assert coordinates["x"][2]["units"] == "nm"
    assert coordinates["x"][1][-1] == pytest.approx(511 * 2.1)


def test_a_pixel_that_is_no_number_is_named_with_its_frame():
    frames = np.ones((4, 2, 2))
    frames[2, 0, 1] = np.nan
    with pytest.raises(SeriesError, match=r"fov\.tif: frame 12 has 1 pixels"):
        check_pixels(frames, source="fov.tif", first_frame=10)
