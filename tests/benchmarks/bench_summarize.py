"""Compare `summarize` with reading the same frames and doing nothing with them.

    python tests/benchmarks/bench_summarize.py [--frames 2000] [--size 512] [--rounds 3]
        [--filters gaussian lag] [--lengths 500 2000]

A calibrated FOV is filtered twice, then scored: rapid frames and both filters. ``read``: the same
blocks of the same three series are decoded by as many threads, through the same reader, and thrown
away; ``xarray``: through plain xarray and Dask, as an analyst reads them. Both without the start
of Python. Rounds alternate, the best of each counts. Peak memory is that of a process of its own
for each length: what a long series takes more than a short one is what grows.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr
from bench_process import FOV, make_store

import stemscale
from stemscale.clusters import usable_cores
from stemscale.store import AcquisitionStore, filtered_group, rapid_group


def groups(store: Path) -> list[str]:
    names = AcquisitionStore(store).filters(FOV)
    return [rapid_group(FOV), *(filtered_group(FOV, name) for name in names)]


def read_all(store: Path) -> float:
    opened = AcquisitionStore(store)
    arrays = [opened.frames(group) for group in groups(store)]
    began = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = [(a, a.bounds(i)) for a in arrays for i in range(a.n_blocks)]
        for _ in pool.map(lambda part: part[0].read(*part[1]).shape, parts):
            pass
    return time.perf_counter() - began


def read_by_xarray(store: Path) -> float:
    began = time.perf_counter()
    for group in groups(store):
        block = AcquisitionStore(store).frames(group).block
        # xarray counts frames, not shards, as what should not be cut
        warnings.filterwarnings("ignore", "The specified chunks separate", UserWarning)
        with xr.open_zarr(store, group=group, chunks={"frame": block}) as opened:
            frames = opened["frames"].data
            firsts = frames.map_blocks(lambda b: b[:1, :1, :1], chunks=(1, 1, 1), dtype="f4")
            np.asarray(firsts)
    return time.perf_counter() - began


def summarize(store: Path) -> float:
    began = time.perf_counter()
    stemscale.summarize(store)
    return time.perf_counter() - began


def peak_memory_mb(store: Path) -> float:
    """In a process of its own, since memory that was used once counts for ever."""
    found = subprocess.run(
        [sys.executable, __file__, "--memory-of", str(store)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(found.stdout)


def prepared(folder: Path, size: int, frames: int, filters: list[str]) -> Path:
    folder.mkdir()
    store = make_store(folder, size, frames)
    for name in filters:
        stemscale.process(store, filter=name)
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--filters", nargs="+", default=["gaussian", "lag"])
    parser.add_argument("--lengths", type=int, nargs="*", default=[500, 2000])
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of is not None:
        stemscale.summarize(options.memory_of)
        status = Path("/proc/self/status").read_text()  # getrusage counts the parent's as well
        print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = prepared(folder / "speed", options.size, options.frames, options.filters)
        n = options.frames * (1 + len(options.filters))
        ways = {"read": read_all, "xarray": read_by_xarray, "summarize": summarize}
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(options.rounds):
            for way, run in ways.items():
                best[way] = min(best[way], run(store))
        print(f"{n} frames of {options.size} x {options.size}, {usable_cores()} threads")
        for way, seconds in best.items():
            print(
                f"  {way:10} {seconds:7.2f} s  {n / seconds:7.0f} frames/s  "
                f"{best['read'] / seconds:5.2f} of reading, "
                f"{best['xarray'] / seconds:5.2f} of reading by xarray"
            )
        for length in options.lengths:
            there = (
                store
                if length == options.frames
                else prepared(folder / f"n{length}", options.size, length, options.filters)
            )
            print(f"  peak memory of {length} frames: {peak_memory_mb(there):.0f} MB")


if __name__ == "__main__":
    main()
