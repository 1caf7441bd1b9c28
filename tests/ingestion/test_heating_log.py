import contextlib
import re

import numpy as np
import pytest
import xarray as xr
from builders import ramp_frames, write_stack
from hypothesis import given, settings
from hypothesis import strategies as st

import stemscale
from stemscale.acquisition import known_column
from stemscale.errors import InputFileError, SettingsError, StemscaleError
from stemscale.ingestion.heating_log import HolderLog, join_log, read_log

DENS = (
    "13/04/'15 16:09\tDigiheater 3.1\n"
    "R0=25.5\ta=0.5\tb=0.01\tc=0.001\n"
    "delta_t=50\n"
    "sample\ttime\tTset[C]\tTmeas[C]\tRheat[ohm]\tVheat[V]\tIheat[mA]\tPheat [mW]\tc\n"
)
PROTOCHIPS = (
    "Time, Notes, Channel A Temperature, Channel A Current\n"
    ",Calibration file = C:\\calib.csv,,\n"
    ",Date (yyyy.mm.dd) = 2014.12.11,,\n"
    ",Time (hh:mm:ss.ms) = 17:36:41.000,,\n"
    ",Time units = Milliseconds,,\n"
    ",Temperature units = Degrees C,,\n"
    ",Current units = Milliamps,,\n"
    ",User = Somebody,,\n"
)


def dens(path, samples):
    rows = [f"{i}\t{t}\t500\t{v}\t1\t1\t1\t1\t0\n" for i, (t, v) in enumerate(samples)]
    path.write_text(DENS + "".join(rows))
    return path


def protochips(path, samples):
    rows = [f"{t}, ,{v},{i}\n" for i, (t, v) in enumerate(samples)]
    path.write_text(PROTOCHIPS + "".join(rows).replace(", ,", ",,"))
    return path


def made(times, values, path="log.csv"):
    columns = {"temperature": known_column("temperature", np.asarray(values, float))}
    times = np.asarray(times, float)
    return HolderLog(path=path, kind="table", times=times, columns=columns, start=None)


def temperatures(joined):
    return joined.columns["temperature"].values


def test_a_denssolutions_log_keeps_the_time_of_each_sample(tmp_path):
    """Not the straight line through them that RosettaSciIO gives."""
    log = read_log(
        dens(tmp_path / "a.dens", [("10:00:00.0", 20), ("10:00:01.0", 30), ("10:00:05.5", 90)])
    )
    assert log.kind == "DENSsolutions"
    np.testing.assert_allclose(log.times, [0, 1, 5.5])
    np.testing.assert_allclose(log.columns["temperature"].values, [20, 30, 90])
    assert log.columns["temperature"].units == "degC"
    assert log.start == "2015-04-13T16:09:00"


def test_a_denssolutions_log_goes_on_after_midnight(tmp_path):
    log = read_log(
        dens(tmp_path / "a.dens", [("23:59:59.0", 20), ("00:00:01.5", 30), ("00:00:02.0", 31)])
    )
    np.testing.assert_allclose(log.times, [0, 2.5, 3])


def test_a_protochips_log_gives_temperature_and_other_quantities(tmp_path):
    log = read_log(protochips(tmp_path / "a.csv", [(0, 20), (500, 25), (2500, 40), (3000, 41)]))
    assert log.kind == "Protochips"
    np.testing.assert_allclose(log.times, [0, 0.5, 2.5, 3])
    np.testing.assert_allclose(log.columns["temperature"].values, [20, 25, 40, 41])
    np.testing.assert_allclose(log.columns["channel_a_current"].values, [0, 1, 2, 3])
    assert log.columns["channel_a_current"].units == "Milliamps"


def test_a_plain_table_with_a_column_of_times_is_a_log_too(tmp_path):
    (tmp_path / "a.csv").write_text("time_s,temperature_C\n5,20\n6,30\n6,40\n9,50\n")
    log = read_log(tmp_path / "a.csv")
    np.testing.assert_allclose(log.times, [0, 1, 4])
    np.testing.assert_allclose(
        log.columns["temperature"].values, [20, 35, 50]
    )  # mean of an instant


def test_linear_lies_between_the_samples_and_nearest_takes_one():
    log = made([0, 1, 5], [0, 10, 50])
    linear = join_log(log, np.array([0, 0.5, 2, 5]))
    np.testing.assert_allclose(temperatures(linear), [0, 5, 20, 50])
    assert linear.largest_gap_s == 4
    nearest = join_log(log, np.array([0, 0.4, 2, 5]), how="nearest")
    np.testing.assert_allclose(temperatures(nearest), [0, 0, 10, 50])
    assert nearest.largest_gap_s == 1


def test_the_offset_is_from_the_first_sample_to_the_first_frame_and_nothing_is_extrapolated():
    log = made([0, 10], [0, 100])
    joined = join_log(log, np.array([0, 1, 2, 3]), offset_s=8)
    np.testing.assert_allclose(temperatures(joined), [80, 90, 100, np.nan])
    assert joined.outside == 1
    early = join_log(log, np.array([0, 1, 2, 3]), offset_s=-2)
    np.testing.assert_allclose(temperatures(early), [np.nan, np.nan, 0, 10])
    assert early.outside == 2


def test_samples_without_a_value_are_passed_over():
    joined = join_log(made([0, 1, 2], [0, np.nan, 20]), np.array([1.0]))
    np.testing.assert_allclose(temperatures(joined), [10])
    assert joined.largest_gap_s == 2


def test_a_log_of_another_time_is_refused_with_both_ranges():
    with pytest.raises(InputFileError, match=r"covers 0 to 10 s.*lie at 20 to 21 s.*--log-offset"):
        join_log(made([0, 10], [0, 1]), np.array([0, 1]), offset_s=20)
    with pytest.raises(SettingsError, match="--log-join is 'cubic'"):
        join_log(made([0, 10], [0, 1]), np.array([0, 1]), how="cubic")


TIMES = st.lists(st.integers(0, 1000), min_size=2, max_size=12, unique=True).map(sorted)


@given(times=TIMES, data=st.data())
def test_at_the_samples_a_frame_has_their_values_whatever_the_offset(times, data):
    values = data.draw(st.lists(st.integers(-50, 1500), min_size=len(times), max_size=len(times)))
    offset = data.draw(st.integers(-100, 100))
    at = np.asarray(times, float) - times[0]
    for how in ("linear", "nearest"):
        joined = join_log(made(at, values), at - offset, offset_s=offset, how=how)
        np.testing.assert_allclose(temperatures(joined), values, atol=1e-9)


@given(times=TIMES, data=st.data())
def test_in_between_a_frame_lies_between_its_neighbours(times, data):
    values = np.array(
        data.draw(st.lists(st.integers(0, 99), min_size=len(times), max_size=len(times)))
    )
    at = np.asarray(times, float) - times[0]
    when = data.draw(st.floats(0, at[-1]))
    found = temperatures(join_log(made(at, values), np.array([when])))[0]
    after = int(np.searchsorted(at, when))
    around = values[max(0, after - 1) : after + 1]
    assert around.min() - 1e-9 <= found <= around.max() + 1e-9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,temperature_C\n", "is empty"),
        ("time_s,temperature_C\n1,20\n0,21\n", "the time goes back after sample 0"),
        ("seconds,temperature_C\n1,20\n", "a log needs a column time_s"),
        ("time_s,temperature_C\n0,hot\n", "is no number"),
        ("time_s\n0\n1\n", "no column of numbers beside the time"),
    ],
)
def test_bad_logs_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(StemscaleError, match=message) as caught:
        read_log(tmp_path / "bad.csv")
    assert "bad.csv" in str(caught.value)


@pytest.mark.parametrize("kind", ["dens", "csv"])
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_logs_end_in_a_log_or_in_our_own_error(tmp_path_factory, kind, data):
    path = tmp_path_factory.mktemp("log") / f"a.{kind}"
    write = {"dens": dens, "csv": protochips}[kind]
    write(
        path,
        [("0:00:00.0" if kind == "dens" else 0, 20), ("0:00:01.0" if kind == "dens" else 9, 30)],
    )
    bits = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(bits) - 1), max_size=8)):
        bits[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bits[: data.draw(st.sampled_from([len(bits), *range(0, len(bits), 17)]))])
    with contextlib.suppress(StemscaleError):
        read_log(path)


def test_ingest_joins_a_log_and_reports_the_gap(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(5), frame_time_s=1.0)
    log = dens(
        tmp_path / "heat.dens", [("10:00:00.0", 20), ("10:00:10.0", 120), ("10:00:13.0", 150)]
    )
    (done,) = stemscale.ingest(tmp_path / "s.zarr", rapid, log=log, log_offset_s=10.0)
    assert (done.log.columns, done.log.largest_gap_s, done.log.outside) == (["temperature"], 3.0, 1)
    with xr.open_zarr(tmp_path / "s.zarr", group="a/rapid") as opened:
        np.testing.assert_allclose(opened["temperature"], [120, 130, 140, 150, np.nan])
    assert stemscale.ingest(tmp_path / "s.zarr", rapid, log=log, log_offset_s=10.0)[0].skipped


def test_a_series_without_times_cannot_be_joined(tmp_path):
    rapid = write_stack(tmp_path / "a.tif", ramp_frames(5))
    log = dens(tmp_path / "heat.dens", [("10:00:00.0", 20), ("10:00:10.0", 120)])
    with pytest.raises(InputFileError, match=re.escape("heat.dens cannot be joined: a.tif")):
        stemscale.ingest(tmp_path / "s.zarr", rapid, log=log)
