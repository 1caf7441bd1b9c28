"""A distortion carried over to a series that has no slow scan of its own, through the command."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import RAPID_SHAPE, known_map, scene

import stemscale
from stemscale.corrections import Calibration, save_calibration
from stemscale.distortion import DistortionMap
from stemscale.store import AcquisitionStore
from stemscale_cli.app import main

pytestmark = pytest.mark.cluster


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command in this process; exit code, stdout, stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["stemscale", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return run


@pytest.fixture
def series(tmp_path):
    """Make a store of one series without a slow scan, at the settings named."""

    def make(*, frames=None, **info):
        rapid = scene(seed=3)[0] if frames is None else frames
        write_stack(tmp_path / "in.tif", rapid, **info)
        stemscale.ingest(tmp_path / "insitu.zarr", tmp_path / "in.tif", fov="insitu")
        return tmp_path / "insitu.zarr"

    return make


def shifted(columns):
    """A map that can be told from others by its whole columns."""
    whole = DistortionMap.identity(RAPID_SHAPE)
    return replace(whole, source_x=whole.source_x + columns)


def calibrate(store, fov, distortion, **attrs):
    """Calibrate a FOV by hand, as if it had been scanned with other settings."""
    opened = AcquisitionStore(store)
    changed = {k: attrs.pop(k) for k in ("dwell_time_ns", "flyback_time_us") if k in attrs}
    calibration = Calibration(
        distortion=distortion,
        rapid=replace(opened.settings(f"{fov}/rapid"), **changed),
        pixel_ratio=1.0,
        method="by hand",
        source=fov,
    )
    save_calibration(opened, fov, calibration, dcfi=None, shifts=None, attrs=attrs)
    opened.consolidate()


def plan_words(run, store, *args):
    code, out, err = run("process", store, "--filter", "none", "--dry-run", "--json", *args)
    assert code == 0, err
    return json.loads(out)["fovs"][0]["correction"]


def refusal(run, store, *args):
    code, out, err = run("process", store, "--filter", "none", "--dry-run", *args)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    return err


def test_another_magnification_is_corrected_and_keeps_its_pixel_size(
    calibrated, series, command, client
):
    """Row C7: the map lives in scan coordinates."""
    store = series(dwell_time_ns=100, flyback_time_us=25, pixel_size_nm=0.7)
    where = ("--distortion", calibrated, "--scheduler", client.scheduler.address)
    code, _, err = command("process", store, "--filter", "none", "--quiet", *where)
    assert code == 0, err
    assert "insitu: distortion of s.zarr (fov01 fov02), by by hand" in err
    with xr.open_zarr(store, group="insitu/filtered/none") as opened:
        about = opened.attrs["distortion_transfer"]
        assert (about["store"], about["fovs"], about["forced"]) == (
            "s.zarr",
            ["fov01", "fov02"],
            False,
        )
        assert (about["different"], about["not_compared"]) == ({}, [])
        np.testing.assert_allclose(np.diff(opened["x"]), 0.7)
        unseen = int(np.isnan(opened["frames"].values).sum())
    assert unseen > 0
    assert f"{unseen} pixels were not seen by the rapid scan, and are masked" in err
    _, page, _ = command("info", store)
    assert "of s.zarr" in page
    one = json.loads(command("info", store, "--json")[1])["fovs"]["insitu"]["filtered"]["none"]
    assert one["distortion_transfer"] == about
    assert (one["masked_pixels"], one["clipped_pixels"]) == (unseen, 0)
    assert f"--distortion {calibrated.name}" in opened_history(store)


def opened_history(store):
    return AcquisitionStore(store).attrs("")["history"]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"dwell_time_ns": 200, "flyback_time_us": 25}, "dwell time [ns] 200 instead of 100"),
        ({"dwell_time_ns": 100, "flyback_time_us": 30}, "flyback time [µs] 30 instead of 25"),
    ],
    ids=["dwell time", "flyback"],
)
def test_another_scan_is_refused_unless_forced_and_then_said(
    calibrated, series, command, info, words
):
    store = series(**info)
    refused = refusal(command, store, "--distortion", calibrated)
    assert words in refused
    assert "--force" in refused
    said = plan_words(command, store, "--distortion", calibrated, "--force")
    assert f"forced in spite of {words}" in said


def test_what_was_forced_is_recorded_with_the_frames(calibrated, series, command, client):
    store = series(dwell_time_ns=200)
    where = ("--distortion", calibrated, "--force", "--scheduler", client.scheduler.address)
    code, _, err = command("process", store, "--filter", "none", "--quiet", *where)
    assert code == 0, err
    assert "forced in spite of dwell time [ns] 200 instead of 100" in err
    about = AcquisitionStore(store).attrs("insitu/filtered/none")["distortion_transfer"]
    assert (about["forced"], about["different"]) == (True, {"dwell_time_ns": [200, 100]})
    assert about["not_compared"] == ["flyback_time_us"]
    assert "forced" in command("info", store)[1]
    assert "--force" in opened_history(store)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"dwell_time_ns": 100}, "not compared for want of flyback time [µs]"),
        ({}, "not compared for want of dwell time [ns], flyback time [µs]"),
    ],
    ids=["flyback", "both"],
)
def test_what_is_not_known_is_not_compared_but_said(calibrated, series, command, info, words):
    assert words in plan_words(command, series(**info), "--distortion", calibrated)


def test_another_frame_size_is_refused_even_when_forced(calibrated, series, command):
    frames = np.ones((3, 48, 64), dtype=np.uint16)
    store = series(frames=frames, dwell_time_ns=100, flyback_time_us=25)
    for more in ((), ("--force",)):
        refused = refusal(command, store, "--distortion", calibrated, *more)
        assert "48 x 64 pixels, but the distortion was estimated on 24 x 32" in refused
        assert "not even with --force" in refused


def test_of_several_settings_the_one_that_agrees_is_taken(store, series, command):
    calibrate(store, "fov01", shifted(0), dwell_time_ns=50)
    calibrate(store, "fov02", shifted(1))
    insitu = series(dwell_time_ns=100, flyback_time_us=25)
    assert plan_words(command, insitu, "--distortion", store).startswith("of s.zarr (fov02)")


def test_of_several_settings_the_closest_is_forced(store, series, command):
    calibrate(store, "fov01", shifted(0), dwell_time_ns=50, flyback_time_us=0.0)
    calibrate(store, "fov02", shifted(1))
    insitu = series(dwell_time_ns=110, flyback_time_us=25)
    words = plan_words(command, insitu, "--distortion", store, "--force")
    assert "(fov02)" in words
    assert "dwell time [ns] 110 instead of 100" in words


def test_settings_that_cannot_be_told_apart_are_not_guessed(store, series, command):
    calibrate(store, "fov01", shifted(0), dwell_time_ns=50)
    calibrate(store, "fov02", shifted(1))
    insitu = series(flyback_time_us=25)
    refused = refusal(command, insitu, "--distortion", store)
    assert "dwell time 100 ns, flyback 25 µs or dwell time 50 ns, flyback 25 µs" in refused
    assert "--dwell-time" in refused
    assert "forced in spite of several settings" in plan_words(
        command, insitu, "--distortion", store, "--force"
    )


def test_what_was_carried_over_within_a_store_is_not_counted_twice(store, series, command):
    calibrate(store, "fov01", known_map())
    calibrate(store, "fov02", shifted(1), carried_over=True)
    insitu = series(dwell_time_ns=100, flyback_time_us=25)
    assert "(fov01)" in plan_words(command, insitu, "--distortion", store)


def test_force_without_a_distortion_to_carry_over_is_refused(calibrated, command):
    for more in ((), ("--distortion", "none")):
        assert "--distortion STORE" in refusal(command, calibrated, "--force", *more)


def test_an_unknown_interpolation_is_refused(calibrated, command):
    assert "linear, cubic, lanczos" in refusal(command, calibrated, "--interpolation", "nearest")


def test_frames_of_another_interpolation_are_other_frames(calibrated, command, client, frames_of):
    asked = ("process", calibrated, "--filter", "none", "--quiet", "--fov", "fov01")
    asked += ("--scheduler", client.scheduler.address)
    assert command(*asked)[0] == 0
    refused = command(*asked, "--interpolation", "lanczos")
    assert refused[0] == 1
    assert "another interpolation" in refused[2]
    assert command(*asked, "--interpolation", "lanczos", "--name", "sharp")[0] == 0
    linear, sharp = (frames_of(calibrated, f"fov01/filtered/{n}") for n in ("none", "sharp"))
    seen = linear > 0
    np.testing.assert_array_equal(sharp > 0, seen)
    assert sharp[seen].astype(float).std() > linear[seen].astype(float).std()
    assert AcquisitionStore(calibrated).attrs("fov01/filtered/sharp")["interpolation"] == "lanczos"
    said = command("info", calibrated, "--fov", "fov01")[1]
    assert "; lanczos" in " ".join(said.split())  # wrapped
