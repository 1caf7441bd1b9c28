"""`simulate --replay-fps` and `ingest --watch` as a user has them: two programs at a time."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from builders import ramp_frames
from watching import mrc_bytes, opened, recorded, until, watch_process

import stemscale as library


def stemscale(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("kind", ["files", "mrc"])
def test_a_replay_is_watched_to_its_end(tmp_path, kind):
    source = tmp_path / "sim" / ("fov01_rapid" if kind == "files" else "fov01_rapid.mrc")
    options = ["--fov", "fov01", "--slow", tmp_path / "sim" / "fov01_slow.tif"]
    options += ["--frame-metadata", tmp_path / "sim" / "fov01_frames.csv", "--json"]
    store = tmp_path / "s.zarr"
    (tmp_path / "sim").mkdir()
    with watch_process(store, source, *options, "--until-idle", 4) as process:
        done = stemscale(
            "simulate", tmp_path / "sim", "--in-situ", "--frames", 20, "--size", 64,
            "--replay-fps", 50, "--replay-as", kind,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "20 frames replayed at 50 frames/s" in done.stderr
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (one,) = json.loads(out)["fovs"]
    assert (one["n_frames"], one["slow"], one["not_taken"]) == (20, True, {})
    (at_once,) = library.ingest(
        tmp_path / "o.zarr", source, fov="fov01", slow=tmp_path / "sim" / "fov01_slow.tif",
        slow_is="after", frame_metadata=tmp_path / "sim" / "fov01_frames.csv", block=4,
    )  # fmt: skip
    assert at_once.n_frames == 20
    watched, wanted = opened(store, "fov01"), opened(tmp_path / "o.zarr", "fov01")
    assert watched.identical(wanted)
    assert float(watched["temperature"][0]) > 0


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_watch_with_a_summary(tmp_path, asked):
    file = tmp_path / "a.mrc"
    file.write_bytes(mrc_bytes(ramp_frames(6)))
    with watch_process(tmp_path / "s.zarr", file) as process:
        until(lambda: process.poll() is not None or recorded(tmp_path / "s.zarr") == 6)
        process.send_signal(asked)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "a: 6 frames of 12 x 16 uint16\n"
    np.testing.assert_array_equal(opened(tmp_path / "s.zarr")["frames"], ramp_frames(6))


def test_what_was_left_out_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "f1.npy", ramp_frames(1)[0])
    np.save(tmp_path / "a" / "f2.npy", ramp_frames(1, 5, 5)[0])
    done = stemscale("ingest", "--watch", tmp_path / "s.zarr", tmp_path / "a", "--until-idle", 0.6)
    assert done.stdout == "a: 1 frames of 12 x 16 uint16, 1 file left out (f2.npy)\n"
    assert "f2.npy is a .npy of (5, 5) uint16" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--watch", "--append"], "--append"),
        (["--watch", "--manifest", "a.csv"], "--manifest"),
        (["--watch", "more.mrc"], "RAPID"),
        (["--until-idle", "3"], "--until-idle"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(tmp_path, options, message):
    done = stemscale("ingest", tmp_path / "s.zarr", tmp_path / "a.mrc", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_blocks_of_an_ordinary_ingest_may_be_chosen(tmp_path):
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(ramp_frames(6)))
    assert (
        stemscale("ingest", tmp_path / "s.zarr", tmp_path / "a.mrc", "--block", 2).returncode == 0
    )
    assert len(list((tmp_path / "s.zarr/a/rapid/frames/c").iterdir())) == 3
