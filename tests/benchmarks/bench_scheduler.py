"""What blocks cost the scheduler and the client: time and memory, for more and more of them.

    python tests/benchmarks/bench_scheduler.py [--blocks 31250 100000] [--workers 2]

Trivial blocks go through the engine of `process` on a real cluster, as real ones do: what is left
is what Dask and the engine take. At the end, an estimate for 10⁶ blocks and 100 workers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from stemscale.clusters import connect
from stemscale.pipeline.engine import run_blocks


@dataclass(frozen=True)
class Block:
    block: int
    fov: str = "fov01"
    group: str = "fov01/filtered/x"
    frames: int = 32
    epoch: int = 1


@dataclass(frozen=True)
class Done:
    """Of the size of a real record: PSNR of 32 frames, in all and by band."""

    scores: dict[str, list[Any]] = field(
        default_factory=lambda: {"psnr": [25.0] * 32, "psnr_band": [[20.0] * 3] * 32}
    )
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.1, "filter": 1.0})


def make(block: Block) -> Done:
    return Done()


def blocks(n: int) -> Iterator[Block]:
    return (Block(i) for i in range(n))


def measure(client: Any, n: int) -> tuple[float, float, float, float]:
    """ms a block; ms a block of the last tenth; MB more at the most; s to the first result."""
    process = psutil.Process()  # scheduler and client are threads of this process
    before = process.memory_info().rss
    most, first, late = before, 0.0, 0.0
    began = time.perf_counter()
    for i, _ in enumerate(run_blocks(client, make, blocks(n), lambda event: None)):
        if i == 0:
            first = time.perf_counter() - began
        if i == n - n // 10:
            late = time.perf_counter()
        if i % 500 == 0:
            most = max(most, process.memory_info().rss)
    ended = time.perf_counter()
    return 1e3 * (ended - began) / n, 1e3 * (ended - late) / (n // 10), (most - before) / 1e6, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, nargs="+", default=[31250, 100000])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with connect("local", workers=options.workers) as client:
        measure(client, 500)
        print("   blocks  ms each  of the last tenth  MB more  s to the first")
        for n in options.blocks:
            each, late, memory, first = measure(client, n)
            print(f"{n:9} {each:8.2f} {late:18.2f} {memory:8.0f} {first:15.2f}", flush=True)
    hours = each * 1e6 / 1e3 / 3600
    print(
        f"10⁶ blocks at {each:.2f} ms: {hours:.1f} h of scheduler and client, with any workers.\n"
        f"100 workers that take s seconds a block ask for 100/s blocks a second: the scheduler is\n"
        f"the slowest where s is below {100 * each / 1e3:.2f} s (32 frames of 512 x 512 through\n"
        f"`standard` take about 1.5 s on a core)."
    )


if __name__ == "__main__":
    # Under its own name, its functions travel by name, as those of the engine do.
    import bench_scheduler

    bench_scheduler.main()
