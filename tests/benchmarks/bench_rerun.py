"""How long a finished run takes to find that nothing is left to do, and what memory a run takes.

    python tests/benchmarks/bench_rerun.py [--frames 200 20000] [--size 512] [--workers 2]

A series is filtered (`none`); then the command is given once more in a process of its own, beside
one that only imports what it needs. The memory of the workers is read while they work: its peak in
the first tenth of the time, and in all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile

import stemscale
from stemscale.clusters import connect

CODE = "import sys; from stemscale_cli.app import main; import stemscale.pipeline.process; {}"


def make_store(folder: Path, size: int, n_frames: int) -> Path:
    rng = np.random.default_rng(0)
    some = rng.integers(8000, 9000, (32, size, size), dtype=np.uint16)
    file, slow = folder / "series.npy", folder / "slow.tif"
    frames = np.lib.format.open_memmap(file, "w+", dtype=np.uint16, shape=(n_frames, size, size))
    for start in range(0, n_frames, len(some)):
        part = frames[start : start + len(some)]
        part[:] = some[: len(part)]
    del frames
    tifffile.imwrite(slow, some[0])
    store = folder / f"run{n_frames}.zarr"
    stemscale.ingest(store, file, slow=slow, fov="fov01", rapid_settings={"dwell_time_ns": 100})
    file.unlink()
    return store


class Memory:
    """The memory of the largest worker process, seen every tenth of a second [MB]."""

    def __enter__(self) -> Memory:
        self._seen: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak(self, share: float = 1.0) -> float:
        return max(self._seen[: max(1, int(share * len(self._seen)))])

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            largest = 0.0
            for child in psutil.Process().children():
                try:
                    if "spawn_main" in " ".join(child.cmdline()):
                        largest = max(largest, child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue
            self._seen.append(largest)


def seconds_of(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 20000])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print("                                                    peak of a worker [MB]")
    print(" frames  frames/s  rerun [s]  imports alone [s]  first tenth        whole")
    with tempfile.TemporaryDirectory() as scratch:
        for n in options.frames:
            store = make_store(Path(scratch), options.size, n)
            with connect("local", workers=options.workers) as client, Memory() as memory:
                done = stemscale.process(store, filter="none", distortion="none", client=client)
            words = ["stemscale", "process", str(store), "--filter", "none"]
            words += ["--distortion", "none"]
            again = seconds_of(CODE.format(f"sys.argv = {words!r}; main()"))
            alone = seconds_of(CODE.format("pass"))
            print(
                f"{n:7} {done.frames_per_s:9.1f} {again:10.2f} {alone:18.2f}"
                f" {memory.peak(0.1):12.0f} {memory.peak():12.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
