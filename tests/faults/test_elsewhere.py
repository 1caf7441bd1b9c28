"""A scheduler that is not the driver's own: it, its workers and its drivers come and go."""

import os
import signal
import subprocess
import time

import pytest
from elsewhere import elsewhere
from faults.builders import assert_as_undisturbed, kill_all, recorded, wait_for_blocks

pytestmark = pytest.mark.cluster


def test_workers_that_come_and_go_change_nothing(scene, store, tmp_path):
    with elsewhere(tmp_path, workers=1) as there:
        process = subprocess.Popen(scene.command(store, "--scheduler", there.address))
        wait_for_blocks(process, store, 3)
        for _ in range(3):
            there.add_worker()
        wait_for_blocks(process, store, 12)
        for worker in there.workers[:3]:
            there.end(worker)
            time.sleep(0.5)
        assert len(there.workers) == 1
        assert process.wait(180) == 0
    assert_as_undisturbed(store, scene.whole)


def test_a_driver_is_killed_and_started_again_against_the_same_scheduler(scene, store, tmp_path):
    with elsewhere(tmp_path) as there:
        process = subprocess.Popen(scene.command(store, "--scheduler", there.address))
        wait_for_blocks(process, store, 4)
        kill_all(process)
        before = recorded(store)
        scene.run(store, "--scheduler", there.address)
        after = recorded(store)
    assert {i: after[i] for i in before} == before
    assert_as_undisturbed(store, scene.whole)


def test_a_scheduler_that_is_killed_and_started_again_is_gone_on_with(scene, store, tmp_path):
    with elsewhere(tmp_path) as there:
        words = scene.command(store, "--scheduler", there.address)
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        wait_for_blocks(process, store, 4)
        os.killpg(there.scheduler.pid, signal.SIGKILL)
        there.scheduler.wait()
        for worker in list(there.workers):
            there.end(worker)
        time.sleep(3)
        there.start_scheduler()
        for _ in range(2):
            there.add_worker()
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    assert_as_undisturbed(store, scene.whole)
