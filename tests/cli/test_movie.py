import json
import subprocess
import sys

import numpy as np
import pytest
from movies.builders import add_filtered, new_series, read_movie, scene
from typer.testing import CliRunner

from stemscale_cli.app import app


def stemscale(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def store(tmp_path):
    path = new_series(tmp_path, scene(10, (48, 64)), pixel_size_nm=2.0, frame_time_s=0.04)
    add_filtered(path, scene(10, (48, 64)), leave=(2,))
    return path


def test_movie_says_what_was_written_and_what_is_missing(store, tmp_path):
    done = stemscale("movie", store, "--output", tmp_path / "out.mp4", "--raw", "recorded")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"{tmp_path}/out.mp4: rapid, as recorded | dlf; 10 frames of 772 x 338, 0.4 s, "
        "1 × real time, "
    )
    assert done.stderr == "dlf: 2 frames hatched: not filtered yet\n"


def test_options_reach_the_movie_and_json_is_one_object(store, tmp_path):
    done = stemscale(
        *("movie", store, "--output", tmp_path / "out.gif", "--json", "--filter", "dlf"),
        *("--raw", "none", "--frames", ":8", "--crop", "8,4,32,24", "--scale", "3"),
        *("--fps", "10", "--speed", "0.8", "--fov", "fov01"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "4 of 8 frames are left out by --speed\n"
    found = json.loads(done.stdout)
    about, frames = read_movie(tmp_path / "out.gif")
    assert found["n_frames"] == len(frames) == 4
    assert found["panels"] == ["dlf"]
    assert found["shape"] == list(frames.shape[1:])
    assert (found["pace"], found["left_out"], found["scale"]) == (0.8, 4, 3)
    assert about["fps"] == 10
    assert np.ptp(frames[0]) > 100


def test_a_large_gif_is_warned_of_and_a_large_mp4_is_not(tmp_path):
    noise = np.random.default_rng(0).integers(1, 65535, (24, 768, 1024), dtype=np.uint16)
    store = new_series(tmp_path, noise)

    def made(name, *words):
        given = ("movie", store, "--raw", "recorded", "--output", tmp_path / name, *words)
        return CliRunner().invoke(app, list(map(str, given)))

    assert made("out.mp4").stderr == ""
    assert made("few.gif", "--frames", ":2").stderr == ""
    warned = made("out.gif", "--json")
    assert json.loads(warned.stdout)["size"] > 20e6
    assert warned.stderr.startswith(f"Warning: {tmp_path}/out.gif has ")
    assert "--crop" in warned.stderr
    assert ".mp4" in warned.stderr
    assert warned.stderr.count("\n") == 1


def test_a_name_that_no_disk_takes_is_one_line(store, tmp_path):
    done = stemscale("movie", store, "--output", tmp_path / f"{'m' * 250}.mp4")
    assert done.returncode == 1
    assert "cannot be written (File name too long): name another place" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--frames", "5", "'5' is not FIRST:END"),
        ("--frames", "a:b", "'a:b' is not FIRST:END"),
        ("--crop", "1,2,3", "'1,2,3' is not X,Y,WIDTH,HEIGHT"),
        ("--crop", "1,2,,4", "'1,2,,4' is not X,Y,WIDTH,HEIGHT"),
    ],
)
def test_numbers_that_cannot_be_read_are_wrong_usage(option, value, words):
    done = CliRunner().invoke(app, ["movie", "s.zarr", "--output", "out.mp4", option, value])
    assert done.exit_code == 2
    assert option in done.output
    assert words in done.output


def test_a_crop_outside_is_one_line_and_exit_code_1(store, tmp_path):
    done = stemscale("movie", store, "--output", tmp_path / "out.mp4", "--crop", "0,0,65,48")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: --crop 0,0,65,48 reaches outside of rapid")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()
