"""What Ctrl-C says, and what a killed run leaves."""

import os
import signal
import subprocess
import sys
import time

import pytest
from movies.builders import new_series, scene

from stemscale_cli.app import app
from stemscale_cli.interrupt import what_remains

GOES_ON, ANEW = "goes on where it was", "begins anew"
WORDS = {
    **dict.fromkeys(["ingest", "train", "process", "live", "compact", "reproduce"], GOES_ON),
    **dict.fromkeys(["calibrate", "summarize", "verify", "report"], ANEW),
    **dict.fromkeys(["export", "movie", "demo"], ANEW),
    "simulate": "with --overwrite begins anew",
    **dict.fromkeys(["info", "status", "view", "filters"], "Interrupted."),
}
LONG = 400  # frames: seconds of encoding


def movie(store, output, *words):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "stemscale_cli.app", "--debug", "movie", str(store)),
            *("--output", str(output), "--raw", "recorded", "--scale", "8", *words),
        ],
        stderr=subprocess.PIPE,
        text=True,
        # what runs in the background is born deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def begun(process, output, besides=None):
    """Wait until a run writes, and give the folder of its unfinished file."""
    while True:
        for file in output.parent.glob(f".{output.name}.*.tmp/{output.name}"):
            if file.parent != besides and file.stat().st_size:
                return file.parent
        time.sleep(0.02)
        assert process.poll() is None, process.stderr.read()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return new_series(tmp_path_factory.mktemp("movie"), scene(LONG, (48, 64), noise=2000))


def test_each_verb_says_what_is_true():
    verbs = [c.callback.__name__ for c in app.registered_commands]
    assert sorted(WORDS) == sorted([*verbs, *(g.name for g in app.registered_groups)])
    for verb, words in WORDS.items():
        assert what_remains(verb).startswith("Interrupted.")
        assert what_remains(verb).rstrip(".").endswith(words.rstrip(".")), verb


def test_what_overwrites_begins_anew_unless_its_user_is_told_how_not():
    assert "with --resume as well goes on" in what_remains("train", overwrite=True)
    assert "without --overwrite goes on" in what_remains("process", overwrite=True)
    assert "begins anew" in what_remains("movie", overwrite=True)


def test_an_interrupted_movie_does_not_promise_to_go_on(store, tmp_path):
    process = movie(store, tmp_path / "out.gif")
    begun(process, tmp_path / "out.gif")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "Interrupted. The same command begins anew."
    assert not list(tmp_path.iterdir())


def test_a_run_takes_away_what_a_killed_one_left_and_nothing_of_a_living_one(store, tmp_path):
    output = tmp_path / "out.gif"
    living = movie(store, output)
    try:
        unfinished = begun(living, output)
        os.kill(living.pid, signal.SIGSTOP)  # else it may be through before the others
        killed = movie(store, output)
        leftover = begun(killed, output, besides=unfinished)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=60)
        others = [tmp_path / f".{name}" for name in ("out.gif.x.tmp", "out.gif.gif.0123abcd.tmp")]
        for other in others:
            other.touch()
        assert leftover.exists()
        last = movie(store, output, "--frames", ":4")
        _, said = last.communicate(timeout=60)
        assert last.returncode == 0, said
        assert sorted(tmp_path.iterdir()) == sorted([unfinished, *others, output])
    finally:
        living.kill()
        living.communicate(timeout=60)
