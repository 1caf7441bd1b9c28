"""`live`, `process --follow` and `compact` as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from watching import append, mrc_header

pytestmark = pytest.mark.cluster

SHAPE = (24, 32)


def command(*words):
    return [sys.executable, "-m", "stemscale_cli.app", *map(str, words)]


def stemscale(*words, expect=0):
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=240)
    assert done.returncode == expect, done.stderr
    return done


def frames(n):
    return np.random.default_rng(0).poisson(900, (n, *SHAPE)).astype("uint16")


def test_live_says_what_was_taken_and_how_late_and_compact_makes_larger_blocks(tmp_path):
    source, store = tmp_path / "run.mrc", tmp_path / "s.zarr"
    asked = ["live", source, store, "--filter", "none", "--fov", "a", "--workers", 1]
    process = subprocess.Popen(
        command(*asked), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.readline().startswith("dashboard: http://127.0.0.1:")
    source.write_bytes(mrc_header(SHAPE, 0))
    for frame in frames(50):
        append(source, frame.tobytes())
        time.sleep(0.02)
    ledger = tmp_path / "s.zarr.stemscale" / "a" / "filtered" / "none" / "blocks"
    until = time.monotonic() + 60
    while not ledger.is_dir() or len(list(ledger.glob("*.json"))) < 13:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    taken, late = said.splitlines()
    assert taken == f"{store}: a, 50 frames taken, 50 filtered to filtered/none, 0 lost"
    assert late.startswith("50 frames came meanwhile: latency ")
    again = json.loads(stemscale(*asked, "--until-idle", 0.5, "--json").stdout)
    assert (again["taken"], again["lost"], again["followed"]["frames"]) == (50, 0, 0)
    compacted = stemscale("compact", store, "--block", 32).stdout.splitlines()
    assert [line.split(",")[0] for line in compacted] == [
        "a/rapid: blocks of 4 to 32",
        "a/filtered/none: blocks of 4 to 32",
    ]
    assert stemscale("process", store, "--filter", "none").stdout.endswith(
        "50 were there already\n"
    )
    stemscale("verify", store)
    assert "blocks of 32 already" in stemscale("compact", store, "--block", 32).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--filter", "dcfi", "--follow"], "it cannot follow one that grows"),
        (["--filter", "none", "--until-idle", "3"], "--until-idle 3: seconds above 0, with"),
        (["--filter", "none", "--follow", "--until-idle", "0"], "seconds above 0"),
    ],
)
def test_what_does_not_follow_is_refused_in_a_line(tmp_path, words, said):
    done = stemscale("process", tmp_path / "s.zarr", *words, expect=1)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
