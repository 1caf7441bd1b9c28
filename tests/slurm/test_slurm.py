"""Jobs of a real SLURM are the workers of a run."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.builders import assert_as_undisturbed, make_scene, recorded, wait_for_blocks
from slurm.server import jobs, slurm

from stemscale.clusters.slurm import read_slurm_settings
from stemscale.errors import SettingsError

DRIVER = Path(__file__).parents[2] / "deploy/slurm/driver.sh"
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
def test_jobs_that_die_before_they_connect_are_told_with_their_last_words(scene, running, tmp_path):
    file = tmp_path / "slurm.yaml"
    said = "module: no cuda here"
    file.write_text(SETTINGS.format(folder=tmp_path) + f"before: ['echo {said} >&2; exit 1']\n")
    *command, _, _ = scene.command(scene.copy(tmp_path))
    command += ["--scheduler", "slurm", "--cluster", str(file)]
    done = subprocess.run(command, env=running, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "end before they connect" in done.stderr
    assert said in done.stderr
    assert str(file) in done.stderr


@pytest.mark.slurm
def test_a_driver_whose_time_is_over_comes_back_and_finishes(scene, running, tmp_path):
    store, file = scene.copy(tmp_path), tmp_path / "slurm.yaml"
    file.write_text(SETTINGS.format(folder=tmp_path))
    words = scene.command(store)
    words = words[words.index("process") : -2]  # without --workers 2
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**running, "PATH": path, "STEMSCALE_JOBS": str(file)}

    def ask(*command):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    log = tmp_path / "driver.log"
    job = ask("sbatch", "--parsable", f"--chdir={tmp_path}", f"--output={log}", DRIVER, *words)
    until = time.monotonic() + 240
    while len(recorded(store)) < 3:
        assert time.monotonic() < until, log.read_text() if log.exists() else "no log"
        time.sleep(0.05)
    before = recorded(store)
    ask("scancel", "--batch", "--signal=USR1", job)
    while "JobState=COMPLETED" not in (state := ask("scontrol", "--oneliner", "show", "job", job)):
        assert time.monotonic() < until, f"{state} {log.read_text()}"
        time.sleep(0.5)
    assert "Restarts=1" in state
    assert before.items() <= recorded(store).items()
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
