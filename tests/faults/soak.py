"""Runs under random faults, again and again, each checked when it is through.

    python tests/faults/soak.py [--minutes 30] [--seed N]      (make soak MINUTES=30)

Each round filters a series into a folder or an object store, with workers of its own or a scheduler
elsewhere. Workers, scheduler, driver and server are killed at random moments, and started again.
Then ledger and store are compared, block by block, with each other and with what an undisturbed run
made. A round that does not come out whole is printed with its folder, which is kept; exit code 1.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import psutil
from elsewhere import Elsewhere, elsewhere
from faults.builders import GROUP, Scene, make_scene
from objectstore.server import BUCKET, S3Server, s3_server

import stemscale
from stemscale.store import AcquisitionStore, checksum

ROUND_S = 600.0  # a round that takes longer hangs
CALM_AFTER = 12  # faults of a round, so that it ends


@dataclass
class Round:
    """One run, disturbed."""

    draw: random.Random
    scene: Scene
    store: Any
    server: S3Server | None
    cluster: Elsewhere | None
    faults: Counter = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Give the same command until it says that all is done, and disturb it meanwhile."""
        until = time.monotonic() + ROUND_S
        place = ("--scheduler", self.cluster.address) if self.cluster else ()
        more: tuple[str, ...] = ()
        while True:
            command = self.scene.command(self.store, *place, *more)
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            try:
                while process.poll() is None:
                    if time.monotonic() > until:
                        raise TimeoutError(f"a round takes longer than {ROUND_S:.0f} s")
                    time.sleep(self.draw.uniform(0.2, 4.0))
                    if process.poll() is None and self.faults.total() < CALM_AFTER:
                        self.disturb(process)
            finally:
                process.kill()
            said = process.stderr.read().strip().splitlines()
            if process.returncode == 0:
                return
            self.ended.append(f"{process.returncode}: {said[-1] if said else ''}")
            more = ("--retry-failed",) if process.returncode == 3 else ()

    def disturb(self, process: subprocess.Popen) -> None:
        """Let something go wrong that can."""
        kinds = ["worker", "worker", "driver"]
        if self.cluster:
            kinds += ["scheduler", "one worker more"]
        if self.server:
            kinds += ["server"]
        kind = self.draw.choice(kinds)
        self.faults[kind] += 1
        if kind == "driver":
            process.kill()
        elif kind == "server":
            self.server.kill()
            time.sleep(self.draw.choice([0.5, 5, 20, 40]))
            self.server.start()
        elif kind == "scheduler":
            self.cluster.end(self.cluster.scheduler)
            time.sleep(self.draw.uniform(0, 3))
            self.cluster.start_scheduler()
            for worker in list(self.cluster.workers):
                self.cluster.end(worker)
            for _ in range(2):
                self.cluster.add_worker()
        elif kind == "one worker more":
            self.cluster.add_worker()
        elif self.cluster:
            self.cluster.end(self.draw.choice(self.cluster.workers))
            self.cluster.add_worker()
        elif workers := workers_of(process):
            self.draw.choice(workers).kill()

    def what_is_wrong(self) -> list[str]:
        """Compare ledger, store and an undisturbed run."""
        wrong = []
        store, whole = AcquisitionStore(self.store), AcquisitionStore(self.scene.whole)
        frames, expected = store.frames(GROUP), whole.frames(GROUP)
        records = store.ledger(GROUP).records()
        if sorted(records) != list(range(frames.n_blocks)):
            wrong.append(f"recorded are blocks {sorted(records)} of {frames.n_blocks}")
        for index, record in records.items():
            if checksum(frames.shard(index)) != (record.size, record.crc32):
                wrong.append(f"block {index} is another one than was recorded")
            found, right = (f.read(*f.bounds(index)) for f in (frames, expected))
            if not np.array_equal(found, right):
                wrong.append(f"block {index} has other frames than an undisturbed run")
        wrong += [f"{d.group} {d.block}: {d.reason}" for d in stemscale.verify(self.store).damage]
        return wrong


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Find the processes of a local cluster that make blocks."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return [p for p in below if "spawn_main" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return []


def main() -> None:
    """Go round for so many minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--frames", type=int, default=1201)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    until = time.monotonic() + 60 * asked.minutes
    folder = Path(tempfile.mkdtemp(prefix="stemscale-soak-"))
    faults: Counter[str] = Counter()
    rounds = bad = 0
    print(f"seed {asked.seed}, in {folder}", flush=True)
    scene = make_scene(folder, frames=asked.frames, block=8)
    while rounds == 0 or time.monotonic() < until:
        rounds += 1
        at = folder / f"round{rounds}"
        at.mkdir()
        in_bucket, is_elsewhere = draw.random() < 0.5, draw.random() < 0.5
        began = time.monotonic()
        with ExitStack() as stack:
            server = cluster = None
            if in_bucket:
                server = stack.enter_context(s3_server(at))
                stack.enter_context(server.in_environment())
            if is_elsewhere:
                cluster = stack.enter_context(elsewhere(at))
            if in_bucket:
                store = f"s3://{BUCKET}/run.zarr"
                stemscale.ingest(store, folder / "fov01.tif", block=8)
            else:
                store = scene.copy(at)
            one = Round(draw, scene, store, server, cluster)
            try:
                one.run()
                wrong = one.what_is_wrong()
            except (AssertionError, TimeoutError) as error:
                wrong = [str(error)]
        faults += one.faults
        told = ", ".join(f"{n} x {kind}" for kind, n in one.faults.items()) or "nothing"
        where = f"{'bucket' if in_bucket else 'folder'}, {'elsewhere' if is_elsewhere else 'local'}"
        took = time.monotonic() - began
        print(f"round {rounds} ({where}): {told}; {took:.0f} s: ", end="")
        print("; ".join(wrong) or "whole", flush=True)
        for why in one.ended:
            print(f"    a run ended with {why}", flush=True)
        if wrong:
            bad += 1
        else:
            shutil.rmtree(at)
    print(f"{rounds} rounds, {faults.total()} faults ({dict(faults)}), {bad} rounds not whole")
    if not bad:
        shutil.rmtree(folder)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
