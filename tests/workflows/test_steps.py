"""A study goes on where it was interrupted, and does again what hangs on what was changed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stemscale.errors import ProcessingError
from stemscale.workflows.commands import run_command, words
from stemscale.workflows.study.steps import Step, StepRecords, run_steps


@pytest.fixture
def ran(monkeypatch):
    """Commands that were asked for, in place of running them, and words of which one fails."""
    found, failing = [], set()

    def run(command, *, output=None):
        found.append(" ".join(command[1:]))
        if failing & set(command):
            raise ProcessingError("no")

    monkeypatch.setattr("stemscale.workflows.study.steps.run_command", run)
    return found, failing


STEPS = [
    Step(name="a", command=words("simulate", "raw"), again=("--overwrite",)),
    Step(name="b", command=words("ingest", "store"), needs=("a",)),
    Step(name="c", command=words("calibrate", "other")),
]


def run(steps, tmp_path):
    said = []
    run_steps(steps, StepRecords(folder=tmp_path / "steps", root=tmp_path), say=said.append)
    return said


def test_what_is_done_is_not_done_again_but_named(ran, tmp_path):
    run(STEPS, tmp_path)
    ran[0].clear()
    said = run(STEPS, tmp_path)
    assert ran[0] == []
    assert said == [
        "# done: stemscale simulate raw",
        "# done: stemscale ingest store",
        "# done: stemscale calibrate other",
    ]


def test_a_step_that_did_not_end_is_run_again_and_told_so(ran, tmp_path):
    ran[1].add("raw")
    with pytest.raises(ProcessingError):
        run(STEPS, tmp_path)
    ran[1].clear()
    ran[0].clear()
    run(STEPS, tmp_path)
    assert ran[0] == ["simulate raw --overwrite", "ingest store", "calibrate other"]


def test_what_hangs_on_a_changed_step_is_made_anew_and_nothing_else(ran, tmp_path):
    old = tmp_path / "store"
    steps = [STEPS[0], replace(STEPS[1], removes=(old,)), STEPS[2]]
    run(steps, tmp_path)
    old.mkdir()
    ran[0].clear()
    steps[0] = replace(steps[0], command=words("simulate", "raw", "--seed", "2"))
    run(steps, tmp_path)
    assert ran[0] == ["simulate raw --seed 2 --overwrite", "ingest store"]
    assert not old.exists()


def test_what_a_command_prints_is_kept_only_if_it_ends_well(tmp_path):
    kept = tmp_path / "kept.txt"
    run_command(words("filters", "--help"), output=kept)
    assert "Usage" in kept.read_text()
    lost = tmp_path / "lost.json"
    with pytest.raises(ProcessingError, match="info"):
        run_command(words("info", tmp_path / "none.zarr", "--json"), output=lost)
    assert not lost.exists()


@pytest.mark.parametrize("asked_by", ["kill", "Ctrl-C"])
def test_a_command_ends_with_the_study_that_runs_it(tmp_path, asked_by):
    script = (
        "from stemscale.workflows.commands import run_command, words\n"
        f"run_command(words('simulate', {str(tmp_path / 'raw')!r}, '--frames', '1000'))"
    )
    study = subprocess.Popen(
        [sys.executable, "-c", script],
        start_new_session=True,
        stderr=subprocess.PIPE,
        # what runs in the background is born deaf to Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "raw").exists():
        assert study.poll() is None
        time.sleep(0.05)
    (command,) = psutil.Process(study.pid).children()
    if asked_by == "kill":
        study.terminate()
    else:
        os.killpg(study.pid, signal.SIGINT)  # as a terminal does
    _, said = study.communicate(timeout=60)
    assert study.returncode != 0
    assert (b"ProcessingError" if asked_by == "kill" else b"KeyboardInterrupt") in said
    assert not command.is_running()


@pytest.mark.parametrize("named", ["study", ".", "../root/study"])
def test_a_study_that_is_named_otherwise_is_the_same(ran, tmp_path, monkeypatch, named):
    def study(root):
        steps = [Step(name="a", command=words("train", root / "store", "--frames", 3))]
        run_steps(steps, StepRecords(folder=root / "steps", root=root), say=lambda line: None)

    root = tmp_path / "root" / "study"
    root.mkdir(parents=True)
    study(root)
    monkeypatch.chdir(root if named == "." else root.parent)
    study(Path(named))
    assert len(ran[0]) == 1
