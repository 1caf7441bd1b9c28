"""What blocks cost the scheduler and the client: time and memory, for more and more of them.

    python tests/benchmarks/bench_scheduler.py [--blocks 31250 100000] [--workers 2] [--untold]

Trivial blocks go through the engine of `process` on a real cluster, and tell the dashboard, as real
ones do: what is left is what Dask, the engine and the figures take; ``--untold`` leaves the figures
out. At the end, an estimate for 10⁶ blocks and 100 workers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
from distributed import get_worker

from stemscale.clusters import connect
from stemscale.dashboard import TOPIC, attach, block_made, run_started
from stemscale.pipeline.engine import run_blocks


@dataclass(frozen=True)
class Block:
    block: int
    fov: str = "fov01"
    group: str = "fov01/filtered/x"
    frames: int = 32
    epoch: int = 1
    run: str = ""


@dataclass(frozen=True)
class Done:
    """Of the size of a real record: PSNR of 32 frames, in all and by band."""

    scores: dict[str, list[Any]] = field(
        default_factory=lambda: {"psnr": [25.0] * 32, "psnr_band": [[20.0] * 3] * 32}
    )
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.1, "filter": 1.0})


def make(block: Block) -> Done:
    done = Done()
    if block.run:
        event = block_made(
            run=block.run,
            series=block.group,
            block=block.block,
            start=32 * block.block,
            stop=32 * block.block + 32,
            status="done",
            seconds=done.seconds,
            psnr=done.scores["psnr"],
            psnr_rapid=done.scores["psnr"],
        )
        get_worker().log_event(TOPIC, event)
    return done


def blocks(n: int, run: str) -> Iterator[Block]:
    return (Block(i, run=run) for i in range(n))


def begin(client: Any, n: int) -> str:
    series = {"series": Block.group, "frames": 32 * n, "block": 32, "done": 0, "failed": 0}
    said = {**series, "fingerprint": str(n)}
    event = run_started(run=str(n), store="/x", label="x", client=client.id, series=[said])
    client.log_event(TOPIC, event)
    return str(n)


def measure(client: Any, n: int, *, told: bool) -> tuple[float, float, float, float]:
    """ms a block; ms a block of the last tenth; MB more at the most; s to the first result."""
    process = psutil.Process()  # scheduler and client are threads of this process
    before = process.memory_info().rss
    most, first, late = before, 0.0, 0.0
    run = begin(client, n) if told else ""
    began = time.perf_counter()
    for i, _ in enumerate(run_blocks(client, make, blocks(n, run), lambda event: None)):
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
    parser.add_argument("--untold", action="store_true")
    options = parser.parse_args()
    with connect("local", workers=options.workers) as client:
        told = not options.untold
        attach(client)
        measure(client, 500, told=told)
        print("   blocks  ms each  of the last tenth  MB more  s to the first")
        for n in options.blocks:
            each, late, memory, first = measure(client, n, told=told)
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
