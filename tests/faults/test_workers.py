"""Workers die, freeze or run into a full disk: their frames are made by others."""

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from faults.builders import GROUP, Poison, assert_as_undisturbed, recorded

import stemscale
from stemscale.clusters import connect
from stemscale.clusters.place import _CONFIG
from stemscale.errors import ProcessingError, StoreError
from stemscale.store import AcquisitionStore

pytestmark = pytest.mark.cluster


def workers_of(client):
    return [int(pid) for pid in client.run(os.getpid).values()]


class Killer:
    """Kills a random worker process of this process's cluster, again and again."""

    def __init__(self, every_s):
        self.every_s, self.killed = every_s, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        draw = random.Random(3)
        while not self._stop.wait(self.every_s):
            try:
                children = psutil.Process().children()
                workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
                draw.choice(workers).kill()
            except (psutil.Error, IndexError):  # it is dead already, or there is none just now
                continue
            self.killed += 1


def start_up_s():
    """Time from a worker's death to when its successor takes work."""
    with connect("local", workers=1) as client:
        first = workers_of(client)
        began = time.monotonic()
        os.kill(first[0], signal.SIGKILL)
        while True:
            try:
                if workers_of(client) not in ([], first):
                    return time.monotonic() - began
            except (OSError, ValueError):
                pass
            time.sleep(0.05)


def test_workers_killed_again_and_again_cost_no_frame(scene, store, is_long):
    every_s = max(2 * start_up_s(), 5.0) if is_long else 4.0
    with connect("local", workers=2) as client, Killer(every_s) as killer:
        if not is_long:
            os.kill(workers_of(client)[0], signal.SIGKILL)
        done = stemscale.process(store, filter=scene.filter, name="x", client=client)
    print(f"{killer.killed} workers killed, one every {every_s:.1f} s")
    assert done.state == "complete"
    assert_as_undisturbed(store, scene.whole)


def test_blocks_that_kill_their_worker_are_marked_and_all_others_are_made(scene, store, is_long):
    poisoned = (3, 17) if is_long else (3,)
    with connect("local", workers=2) as client:
        client.register_plugin(Poison(poisoned))
        done = stemscale.process(store, filter=scene.filter, name="x", client=client)
    frames = [f for block in poisoned for f in range(8 * block, 8 * block + 8)]
    assert (done.state, done.failed) == ("partial", {"fov01": frames})
    with AcquisitionStore(store).dataset(GROUP) as dataset:
        assert (dataset["frame_status"].values == 2).nonzero()[0].tolist() == frames
    before = recorded(store)
    assert "--retry-failed" in scene.run(store, expect=3).stderr
    scene.run(store, "--retry-failed")
    assert {i: recorded(store)[i] for i in before} == before
    assert_as_undisturbed(store, scene.whole)


def test_a_frozen_worker_is_given_up_and_the_others_go_on(scene, store, monkeypatch):
    ttl = {"distributed.scheduler.worker-ttl": "6s"}
    monkeypatch.setattr("stemscale.clusters.place._CONFIG", {**_CONFIG, **ttl})
    frozen = []

    def freeze(event):
        if type(event).__name__ == "BlockDone" and not frozen:
            frozen.append(workers_of(client)[0])
            os.kill(frozen[0], signal.SIGSTOP)

    try:
        with connect("local", workers=2) as client:
            done = stemscale.process(
                store, filter=scene.filter, name="x", client=client, listener=freeze
            )
    finally:
        for pid in frozen:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
    assert frozen
    assert done.state == "complete"
    assert_as_undisturbed(store, scene.whole)


@pytest.fixture
def small_disk(tmp_path, is_long):
    """A disk that is a little larger than the scene."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = "size=48m" if is_long else "size=6m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_ends_the_run_and_with_room_the_same_command_goes_on(
    scene, small_disk, monkeypatch, client_of_two
):
    monkeypatch.setattr("stemscale.pipeline.engine._PAUSES_S", (0.2, 0.2))
    monkeypatch.setattr("stemscale.pipeline.engine._FULL_S", 6.0)
    store = scene.copy(small_disk)
    ballast = small_disk / "ballast"
    free = psutil.disk_usage(str(small_disk)).free
    room = sum(map(len, shards_of(scene.whole))) // 3
    ballast.write_bytes(bytes(max(0, free - room)))
    with pytest.raises(ProcessingError, match=r"no space left: what was recorded is safe"):
        stemscale.process(store, filter=scene.filter, name="x", client=client_of_two)
    before = recorded(store)
    ballast.unlink()
    done = stemscale.process(store, filter=scene.filter, name="x", client=client_of_two)
    assert done.state == "complete"
    assert {i: recorded(store)[i] for i in before} == before
    assert_as_undisturbed(store, scene.whole)


def test_a_full_disk_ends_a_watch_in_a_line_and_with_room_it_goes_on(small_disk, tmp_path, is_long):
    frames = np.random.default_rng(0).integers(0, 65535, (60 if is_long else 12, 768, 768))
    np.save(tmp_path / "fov01.npy", frames.astype(np.uint16))
    store = small_disk / "s.zarr"
    with pytest.raises(StoreError, match=r"No space left.*make room.*goes on where it was"):
        stemscale.watch(store, tmp_path / "fov01.npy", until_idle_s=1)
    subprocess.run(["mount", "-o", "remount,size=256m", small_disk], check=True)
    done = stemscale.watch(store, tmp_path / "fov01.npy", until_idle_s=1)
    assert done.n_frames == len(frames)
    np.testing.assert_array_equal(AcquisitionStore(store).first_frames("fov01", 4), frames[:4])
    assert stemscale.verify(store).damage == []


def shards_of(whole: Path):
    return [f.read_bytes() for f in (whole / GROUP / "frames" / "c").rglob("0") if f.is_file()]


@pytest.fixture
def client_of_two():
    with connect("local", workers=2) as client:
        yield client
