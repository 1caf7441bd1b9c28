"""``stemscale simulate`` as a user types it."""

import csv
import subprocess
import sys

import numpy as np
import pytest


def run(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", "simulate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_heating_series_covers_the_range_that_is_named(tmp_path):
    """30 frames of 64 lines of (64 × 100 ns + 25 µs) = 2 ms are over in 58 ms: 0.03 s at most."""
    words = ("--in-situ", "--heat", "210:270", "--ramp", "2000", "--frames", "30", "--size", "64")
    done = run(tmp_path / "raw", *words, "--quiet")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "raw" / "fov01_frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in rows[0] if name.startswith("temperature"))
    found = np.array([float(row[column]) for row in rows])
    assert found[0] == pytest.approx(210)
    assert found.max() == pytest.approx(270)
    assert np.all(np.diff(found) >= 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heat", "90:150"), "need --in-situ"),
        (("--in-situ", "--heat", "hot"), "90:150"),
        (("--in-situ", "--heat", "150:90"), "start_degc"),
    ],
)
def test_heating_that_makes_no_sense_is_refused(tmp_path, words, said):
    done = run(tmp_path / "raw", *words)
    assert done.returncode != 0
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "raw").exists()
