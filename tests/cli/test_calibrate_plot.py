"""``stemscale calibrate --plot`` as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from builders import write_image, write_stack
from distortion.builders import make_scan

import stemscale
from stemscale.store import AcquisitionStore


def run(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def store(tmp_path):
    """One FOV with a slow scan, and one of the same setting without."""
    scan = make_scan(3, 96)
    rapid, slow = (
        np.clip(20000 * i / i.mean(), 1, 65535).astype("uint16") for i in (scan.dcfi, scan.slow)
    )
    path = tmp_path / "s.zarr"
    for fov in ("a", "b"):
        write_stack(tmp_path / f"{fov}.tif", np.stack([rapid] * 2), dwell_time_ns=100)
    write_image(tmp_path / "slow.tif", slow, dwell_time_ns=5000)
    stemscale.ingest(path, tmp_path / "a.tif", slow=tmp_path / "slow.tif")
    stemscale.ingest(path, tmp_path / "b.tif")
    return path


def test_a_plot_is_drawn_with_the_calibration_for_either_method(store, tmp_path):
    svg, pdf = tmp_path / "map.svg", tmp_path / "map.pdf"
    done = run("calibrate", store, "--plot", svg, "--quiet")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("a: distortion of")
    assert lines[1].startswith("b: distortion carried over")
    assert lines[2:] == [str(svg)]
    assert b"<svg" in svg.read_bytes()
    again = run("calibrate", store, "--method", "strips", "--plot", pdf, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["plot"] == str(pdf)
    assert pdf.read_bytes().startswith(b"%PDF")


def test_an_unknown_format_is_refused_before_any_work(store, tmp_path):
    done = run("calibrate", store, "--plot", tmp_path / "map.gif")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert all(ending in done.stderr for ending in (".gif", ".png", ".svg", ".pdf"))
    assert not AcquisitionStore(store).has("a/calibration")
    assert list(tmp_path.glob("map*")) == []


def test_without_a_plot_the_json_has_none(store):
    assert "plot" not in json.loads(run("calibrate", store, "--json").stdout)
