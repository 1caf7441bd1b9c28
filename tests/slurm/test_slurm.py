"""Jobs of a real SLURM are the workers of a run."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest
from faults.builders import assert_as_undisturbed, make_scene, wait_for_blocks
from slurm.server import jobs, slurm

from stemscale.clusters.slurm import read_slurm_settings
from stemscale.errors import SettingsError

SETTINGS = """
jobs: 2
walltime: "00:10:00"
cores: 1
memory: 2 GiB
interface: lo
shared_directory: {folder}
log_directory: {folder}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with ExitStack() as stack:
        try:
            environment = stack.enter_context(slurm(tmp_path_factory.mktemp("slurm")))
        except TimeoutError as error:  # as where a container forbids what it needs
            pytest.skip(str(error))
        yield environment


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"), frames=197, block=4)


@pytest.fixture
def start(scene, running, tmp_path):
    """Start a run on SLURM in the background."""
    file = tmp_path / "slurm.yaml"
    file.write_text(SETTINGS.format(folder=tmp_path))

    def started(store):
        command = scene.command(store, "--scheduler", "slurm", "--cluster", file)
        return subprocess.Popen(command, env=running, stderr=subprocess.PIPE, text=True)

    return started


@pytest.mark.slurm
def test_a_run_finishes_although_its_jobs_are_cancelled(scene, running, start, tmp_path):
    store = scene.copy(tmp_path)
    process = start(store)
    cancelled = []
    for blocks in (3, 20):
        wait_for_blocks(process, store, blocks)
        cancelled.append(jobs(running, running=True)[0])
        subprocess.run(["scancel", cancelled[-1]], env=running, check=True)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert len(set(cancelled)) == 2
    assert_as_undisturbed(store, scene.whole)


@pytest.mark.slurm
def test_no_job_is_left_two_minutes_after_its_driver_was_killed(scene, running, start, tmp_path):
    store = scene.copy(tmp_path)
    process = start(store)
    wait_for_blocks(process, store, 1)
    assert jobs(running)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 120
    while there := jobs(running):
        assert time.monotonic() < until, there
        time.sleep(1)
    scene.run(store)
    assert_as_undisturbed(store, scene.whole)


@pytest.mark.slurm
def test_jobs_that_slurm_does_not_take_are_told_at_once(scene, running, tmp_path):
    file = tmp_path / "slurm.yaml"
    file.write_text(SETTINGS.format(folder=tmp_path) + "queue: nowhere\n")
    command = scene.command(scene.copy(tmp_path), "--scheduler", "slurm", "--cluster", file)
    done = subprocess.run(command, env=running, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "SLURM does not take the jobs" in done.stderr
    assert "nowhere" in done.stderr or "partition" in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("job: 3", "job is unknown"),
        ("jobs: 0", "jobs is 0, needed is a number from 1"),
        ("memory: much", "memory is 'much'"),
        ("walltime: two hours", "walltime is 'two hours', needed is \"HH:MM:SS\""),
        ("walltime: 2:00:00", "walltime is 7200, needed is .*, in quotes"),  # YAML's base 60
        ("memory: 16", "memory is 16, needed is something like"),
        ('walltime: "00:00:30"', "too short"),
        ("directives: --gres=gpu:1", "needed is a list of lines"),
        ("- 3", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, line, message):
    file = tmp_path / "slurm.yaml"
    said = {"jobs": "2", "walltime": '"01:00:00"', "cores": "4", "memory": "8 GiB"}
    said.pop(line.split(":")[0], None)
    file.write_text("\n".join([*(f"{k}: {v}" for k, v in said.items()), line]))
    with pytest.raises(SettingsError, match=message):
        read_slurm_settings(file)


def test_what_is_not_said_is_named(tmp_path):
    file = tmp_path / "slurm.yaml"
    file.write_text("jobs: 2")
    with pytest.raises(SettingsError, match="does not say walltime, cores, memory"):
        read_slurm_settings(file)


@pytest.mark.parametrize("walltime", ["02:00:00", '"02:00:00"'])
def test_a_worker_takes_no_blocks_in_the_last_minutes_of_its_job(tmp_path, walltime):
    file = tmp_path / "slurm.yaml"
    file.write_text(f"jobs: 1\nwalltime: {walltime}\ncores: 4\nmemory: 8 GiB")
    settings = read_slurm_settings(file)
    assert settings.seconds == 7200
    assert settings.lifetime_s == 7200 - 360
