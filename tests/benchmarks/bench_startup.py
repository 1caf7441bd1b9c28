"""How long the command line takes to begin.

    python tests/benchmarks/bench_startup.py [--runs 10] [--imports]

`--help`, `--version`, `info` on a small store and `import stemscale`, each in a process of its own,
beside a Python that does nothing: median, and the quickest. What else the machine does counts in
the wall time, and hardly in that of the processor. `--imports` lists what `info` spends the time
on importing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import stemscale

CLI = ("-m", "stemscale_cli.app")


def make_store(folder: Path) -> Path:
    frames = np.random.default_rng(0).integers(8000, 9000, (8, 64, 64), dtype=np.uint16)
    np.save(folder / "series.npy", frames)
    store = folder / "run.zarr"
    stemscale.ingest(store, folder / "series.npy", fov="fov01")
    return store


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    before = os.times()
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = os.times()
    user, system = (
        getattr(after, f"children_{kind}") - getattr(before, f"children_{kind}")
        for kind in ("user", "system")
    )
    return wall, user + system


def show_imports(command: list[str], n: int = 20) -> None:
    said = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ).stderr
    rows = [line.split("|") for line in said.splitlines() if line.count("|") == 2]
    timed = [(int(total), name) for _, total, name in rows if total.strip().isdigit()]
    print("\n  [ms], with all that it imports")
    for total, name in sorted(timed, reverse=True)[:n]:
        print(f"{total / 1000:6.0f} {name.rstrip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--imports", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        info = [sys.executable, *CLI, "info", str(make_store(Path(scratch)))]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import stemscale": [sys.executable, "-c", "import stemscale"],
            "stemscale --version": [sys.executable, *CLI, "--version"],
            "stemscale --help": [sys.executable, *CLI, "--help"],
            "stemscale info STORE": info,
        }
        print(f"[s], {options.runs} runs    median  quickest  processor")
        for name, command in commands.items():
            seconds_of(command)  # what was never read is not in memory yet
            runs = [seconds_of(command) for _ in range(options.runs)]
            wall, cpu = zip(*runs, strict=True)
            print(
                f"{name:20} {statistics.median(wall):8.2f} {min(wall):9.2f}"
                f" {statistics.median(cpu):10.2f}",
                flush=True,
            )
        if options.imports:
            show_imports(info)


if __name__ == "__main__":
    main()
