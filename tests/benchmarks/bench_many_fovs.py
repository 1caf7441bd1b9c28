"""Tell whether the time of a field of view stays the same where a store has many.

    python tests/benchmarks/bench_many_fovs.py [--fovs 8 32 128] [--filters gaussian dcfi nlm]

Each store has the given number of FOVs, of four frames of 64 x 64 pixels and a slow scan, so that
what is measured is what each FOV costs beside its frames: its arrays, attributes and ledgers. The
commands' own start is counted, and has less and less of the time of a FOV, the more there are.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stemscale import simulate


def seconds(*words: object) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "stemscale_cli.app", *map(str, words)],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fovs", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--filters", nargs="+", default=["gaussian", "dcfi", "nlm"])
    options = parser.parse_args()
    print(f"{'fovs':>6}{'command':>20}{'s':>9}{'ms a FOV':>10}")
    for fovs in options.fovs:
        with tempfile.TemporaryDirectory() as folder:
            raw, store = Path(folder, "raw"), Path(folder, "run.zarr")
            simulate(raw, fovs=fovs, frames=4, size=64)
            verbs = [("ingest", store, "--manifest", raw / "fovs.csv")]
            verbs += [
                ("process", store, "--distortion", "none", "--filter", name, "--workers", 1)
                for name in options.filters
            ]
            verbs += [("summarize", store), ("verify", store), ("info", store)]
            for words in verbs:
                taken = seconds(*words)
                named = " ".join((words[0], *words[5:6]))
                print(f"{fovs:6d}{named:>20}{taken:9.2f}{1e3 * taken / fovs:10.0f}", flush=True)


if __name__ == "__main__":
    main()
