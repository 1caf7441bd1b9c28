"""Which FOVs are calibrated together, and what is refused, through the command."""

import sys

import numpy as np
import pytest
from builders import write_image, write_stack
from distortion.builders import beam_path, make_scan
from scipy.ndimage import map_coordinates

import stemscale
from stemscale.distortion import require_unsaturated
from stemscale.errors import DistortionError
from stemscale.pipeline import calibrate
from stemscale.store import AcquisitionStore, calibration_group
from stemscale_cli.app import main

N = 128
PATH = beam_path(np.random.default_rng(5), N)


@pytest.fixture
def store(tmp_path):
    """Make a store, one FOV at a time."""

    def add(
        fov,
        *,
        frames=None,
        dwell_time_ns=100,
        flyback_time_us=25,
        seed=20,
        with_slow=True,
        slow_pixel_nm=2.0,
    ):
        scan = make_scan(seed, N, frames=8, path=PATH)
        rng = np.random.default_rng(seed)
        if frames is None:
            frames = scan.dcfi[None] + rng.normal(0, 300, (6, N, N))
        known = {"dwell_time_ns": dwell_time_ns, "flyback_time_us": flyback_time_us}
        known = {k: v for k, v in known.items() if v is not None}
        write_stack(tmp_path / "rapid.tif", np.clip(frames, 0, 65535).astype("uint16"), **known)
        ratio = slow_pixel_nm / 2.0
        at = (np.arange(round(N / max(ratio, 1))) + 0.5) * ratio - 0.5
        slow = np.clip(map_coordinates(scan.slow, np.meshgrid(at, at, indexing="ij")), 0, 65535)
        write_image(
            tmp_path / "slow.tif",
            slow.astype("uint16"),
            dwell_time_ns=50_000,
            pixel_size_nm=slow_pixel_nm,
        )
        out = tmp_path / "store.zarr"
        given = {"slow": tmp_path / "slow.tif"} if with_slow else {}
        stemscale.ingest(out, tmp_path / "rapid.tif", fov=fov, **given)
        return out

    return add


def estimated_on(store, fov):
    return AcquisitionStore(store).attrs(calibration_group(fov))["estimated_on"]


def test_an_unknown_flyback_is_taken_to_be_that_of_the_other_fovs(store):
    store("known", seed=20)
    out = store("unknown", seed=21, flyback_time_us=None)
    calibrate(out, workers=1)
    assert estimated_on(out, "known") == estimated_on(out, "unknown") == "known unknown"


def test_fovs_of_two_flybacks_are_calibrated_apart(store):
    store("short", seed=20)
    out = store("long", seed=21, flyback_time_us=80)
    store("unknown", seed=22, flyback_time_us=None)  # may be either
    calibrate(out, workers=1)
    assert [estimated_on(out, f) for f in ("short", "long", "unknown")] == [
        "short",
        "long",
        "unknown",
    ]


def test_a_flyback_that_differs_by_its_rounding_is_the_same(store):
    store("slow", seed=20, flyback_time_us=25.00)
    out = store("rapid", seed=21, flyback_time_us=25.01, with_slow=False)
    assert [c.fov for c in calibrate(out, workers=1)] == ["slow", "rapid"]


def test_a_fov_is_given_one_map_where_slow_scans_are_of_several_sizes(store):
    """That of the size which most have."""
    store("coarse", seed=20, slow_pixel_nm=4.0)
    store("fine1", seed=20)
    store("fine2", seed=21)
    out = store("none", seed=22, with_slow=False)
    assert sorted(c.fov for c in calibrate(out, workers=1)) == ["coarse", "fine1", "fine2", "none"]
    assert estimated_on(out, "none") == "fine1 fine2"


def test_another_pixel_size_of_the_slow_scan_is_no_distortion(store):
    store("alike", seed=20)
    out = store("finer", seed=20, slow_pixel_nm=1.9)
    alike, finer = (
        next(c for c in calibrate(out, fovs=[fov], workers=1) if c.fov == fov)
        for fov in ("alike", "finer")
    )
    assert finer.span_px == pytest.approx(alike.span_px, abs=1.0)


def test_saturated_rapid_frames_are_refused_by_name(store):
    rng = np.random.default_rng(0)
    bright = np.minimum(make_scan(20, N).dcfi + 60_000 + rng.normal(0, 4000, (6, N, N)), 65535)
    out = store("bright", frames=bright)
    with pytest.raises(DistortionError, match=r"bright: rapid frame 3 is saturated: \d+% of its"):
        calibrate(out, workers=1)


def test_counted_electrons_that_leave_most_pixels_empty_are_not_called_saturated():
    counts = np.random.default_rng(0).poisson(0.2, (N, N)).astype("uint8")
    require_unsaturated(counts, "a")
    require_unsaturated(np.full((N, N), 7), "a constant frame is another matter")
    with pytest.raises(DistortionError, match=r"a is saturated: 8\d% of its pixels"):
        require_unsaturated(counts.max() - counts, "a")


def test_frames_without_contrast_are_refused_by_name(store):
    out = store("blank", frames=np.zeros((4, N, N)))
    with pytest.raises(DistortionError, match="blank: no frame of 4 has any contrast"):
        calibrate(out, workers=1)


def test_the_command_warns_of_a_map_that_is_too_uncertain_among_others(store, monkeypatch, capsys):
    store("one", seed=20)
    out = store("other", seed=21)
    std = {c.fov: c.source_x_std_px for c in calibrate(out, workers=1)}
    limit = str(np.mean(list(std.values())))
    command = ["stemscale", "calibrate", str(out), "--max-uncertainty", limit, "--workers", "1"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        main()
    err = capsys.readouterr().err
    worse = max(std, key=lambda fov: std[fov])
    assert f"Warning: {worse}: its map is uncertain by {std[worse]:.2f} px" in err
    assert err.count("uncertain") == 1
