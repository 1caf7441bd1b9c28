"""The driver of a run dies: nothing that was recorded is lost, or made again."""

import os
import random
import signal
import subprocess
import time

import pytest
from faults.builders import assert_as_undisturbed, kill_all, recorded

from stemscale.pipeline import status

pytestmark = pytest.mark.cluster

SHORT, LONG = 1, 20


def pytest_generate_tests(metafunc):
    if "moment" in metafunc.fixturenames:
        number = LONG if metafunc.config.getoption("--long") else SHORT
        draw = random.Random(7)
        metafunc.parametrize("moment", [round(draw.uniform(0.2, 1.0), 3) for _ in range(number)])
    if "step" in metafunc.fixturenames:
        steps = STEPS if metafunc.config.getoption("--long") else SOME_STEPS
        metafunc.parametrize("step", steps, ids=lambda s: f"{s[2]}-{s[1]}")


def test_killed_at_any_moment_the_same_command_goes_on(scene, store, moment):
    process = subprocess.Popen(scene.command(store), stderr=subprocess.DEVNULL)
    time.sleep(moment * scene.seconds)
    kill_all(process)
    scene.run(store)
    assert_as_undisturbed(store, scene.whole)


def test_what_was_recorded_is_not_made_again(scene, store):
    process = subprocess.Popen(scene.command(store), stderr=subprocess.DEVNULL)
    while len(recorded(store)) < 5:
        time.sleep(0.05)
        assert process.poll() is None
    kill_all(process)
    assert {s.state for s in status(store)} == {"complete", "interrupted"}
    time.sleep(5)  # its workers live on for a moment, and may still record
    before = recorded(store)
    scene.run(store)
    after = recorded(store)
    assert {i: after[i] for i in before} == before
    assert_as_undisturbed(store, scene.whole)


# Where in the protocol the driver dies: a function that it calls, before or after.
STEPS = [
    ("stemscale.pipeline.process", "lay_out", "before"),
    ("stemscale.pipeline.process", "lay_out", "after"),
    ("stemscale.store.ledger", "Ledger.start", "before"),
    ("stemscale.store.ledger", "Ledger.start", "after"),
    ("stemscale.pipeline.process", "finish", "before"),
    ("stemscale.pipeline.filtered", "finish_frames", "before"),
    ("stemscale.pipeline.filtered", "finish_frames", "after"),
    ("stemscale.store.acquisition_store", "AcquisitionStore.write_dataset", "before"),
    ("stemscale.store.acquisition_store", "AcquisitionStore.add_history", "before"),
    ("stemscale.store.acquisition_store", "AcquisitionStore.consolidate", "before"),
    ("stemscale.store.acquisition_store", "record_nodes", "before"),
    ("stemscale.store.acquisition_store", "AcquisitionStore.consolidate", "after"),
]

SOME_STEPS = [STEPS[1], STEPS[4], STEPS[10]]

_DIE = """
import importlib, os, signal, sys
module, name, when = {step!r}
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)
def dies(*args, **kwargs):
    if when == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    setattr(owner, last, dies)
    from stemscale_cli.app import main
    main()
"""


def test_killed_in_any_step_the_same_command_goes_on(scene, store, tmp_path, step):
    script = tmp_path / "dies.py"
    script.write_text(_DIE.format(step=step))
    python, _, _, *words = scene.command(store)
    died = subprocess.run([python, script, *words], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    scene.run(store)
    assert_as_undisturbed(store, scene.whole)


def test_a_second_driver_is_refused_and_the_first_one_finishes(scene, store):
    first = subprocess.Popen(scene.command(store), stderr=subprocess.PIPE, text=True)
    while not recorded(store):
        time.sleep(0.05)
        assert first.poll() is None
    os.kill(first.pid, signal.SIGSTOP)  # it lives, and takes long
    try:
        second = scene.run(store, expect=1)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert f"is being written by process {first.pid} on" in second.stderr
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert_as_undisturbed(store, scene.whole)


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(scene, store):
    process = subprocess.Popen(
        scene.command(store),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while len(recorded(store)) < 3:
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to workers as well
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip() == "Interrupted. The same command goes on where it was."
    before = recorded(store)
    found = next(s for s in status(store) if s.name == "x")
    assert (found.state, found.done) == ("partial", sum(8 for _ in before))
    scene.run(store)
    assert {i: recorded(store)[i] for i in before} == before
    assert_as_undisturbed(store, scene.whole)
