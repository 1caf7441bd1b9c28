"""A series to be disturbed while it is filtered, and what an undisturbed run makes of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from builders import write_stack
from distributed import WorkerPlugin

import stemscale
from stemscale.denoising import save_filter
from stemscale.store import AcquisitionStore, FramesArray, is_on_disk

GROUP = "fov01/filtered/x"
SIZE = 48


@dataclass(frozen=True)
class Scene:
    """A store that is ingested, a filter, and the store as an undisturbed run leaves it."""

    store: Path
    filter: Path
    whole: Path
    seconds: float  # that the undisturbed command took

    def command(self, store, *place):
        place = place or ("--workers", "2")
        words = ["process", store, "--filter", self.filter, "--name", "x", *place]
        code = "from stemscale_cli.app import main; main()"
        return [sys.executable, "-c", code, *map(str, words)]

    def copy(self, folder):
        store = folder / "run.zarr"
        shutil.copytree(self.store, store)
        return store

    def run(self, store, *place, expect=0):
        done = subprocess.run(self.command(store, *place), capture_output=True, text=True)
        assert done.returncode == expect, done.stderr
        return done


def make_scene(folder, *, frames, block):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE]
    clean = 20000 - 6000 * np.exp(-(((x - 10 - 0.3 * y) / 2.5) ** 2))
    series = rng.normal(clean, 800, (frames, SIZE, SIZE)).astype("uint16")
    file = write_stack(folder / "fov01.tif", series, dwell_time_ns=100, flyback_time_us=25)
    store = folder / "series.zarr"
    stemscale.ingest(store, file, block=block)
    from denoising.builders import tiny_filter

    save_filter(tiny_filter(), folder / "f.safetensors")
    made = Scene(store, folder / "f.safetensors", folder / "whole.zarr", 0.0)
    shutil.copytree(store, made.whole)
    began = time.monotonic()
    made.run(made.whole)
    return Scene(store, made.filter, made.whole, time.monotonic() - began)


class Poison(WorkerPlugin):
    """Makes some blocks kill their worker, whatever worker it is."""

    name = "poison"

    def __init__(self, blocks):
        self.blocks = blocks

    def setup(self, worker):
        write = FramesArray.write

        def poisoned(array, index, frames):
            if index in self.blocks:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(array, index, frames)

        FramesArray.write = poisoned


def shards(store, group=GROUP):
    array = AcquisitionStore(store).frames(group)
    return {i: array.shard(i).read_bytes() for i in range(array.n_blocks)}


def assert_as_undisturbed(store, whole, *, but=()):
    """Every block the same, byte for byte, and a store that verifies."""
    found, expected = shards(store), shards(whole)
    assert [i for i in expected if i not in but and found[i] != expected[i]] == []
    assert stemscale.verify(store).damage == []


def recorded(store):
    """When each block that is recorded was written: it must not be written again."""
    opened = AcquisitionStore(store)
    if not opened.has(f"{GROUP}/frames"):
        return {}
    array = opened.frames(GROUP)
    records = opened.ledger(GROUP).records()
    return {i: r.mtime_ns for i, r in records.items() if is_on_disk(array, r)}


def wait_for_blocks(process, store, count):
    """Wait until a run has recorded so many blocks."""
    until = time.monotonic() + 180
    while len(recorded(store)) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def kill_all(process):
    """End a driver and what it has started, as the out-of-memory killer or a power cut does."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
