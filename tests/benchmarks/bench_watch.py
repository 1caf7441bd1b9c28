"""What `stemscale ingest --watch` takes of a core, and how soon a frame is in the store.

    .venv/bin/python tests/benchmarks/bench_watch.py [--seconds 60] [--fps 38] [--as mrc]

Frames of 512 x 512 are written at a pace, and watched by a process of its own. CPU time is that
of this process, without its imports; lag is from a file's time of change to that of the record.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZE = 512


def make_frames(n: int) -> np.ndarray:
    """Frames as noisy as a rapid scan's: about 10 bit of a 16-bit detector."""
    y, x = np.mgrid[:SIZE, :SIZE]
    scene = 3000 + 1500 * np.sin(x / 40) * np.cos(y / 55)
    rng = np.random.default_rng(0)
    return rng.normal(scene, 250, (n, SIZE, SIZE)).clip(0, 65535).astype(np.uint16)


def write(source: Path, kind: str, fps: float, n_frames: int) -> int:
    """Write frames at a pace; give how many were late."""
    from stemscale.simulation import Replay, SimulationSettings
    from stemscale.simulation.replay import write_at_pace

    late = []
    few = make_frames(16)
    write_at_pace(
        source,
        (np.roll(few[i % 16], i, axis=0) for i in range(n_frames)),
        Replay(fps=fps, kind=kind),
        (SIZE, SIZE),
        SimulationSettings(),
        lambda _, is_late: late.append(is_late),
    )
    return sum(late)


def watch(store: Path, source: Path) -> None:
    """Watch in this process, and print what it took."""
    import stemscale.ingestion

    print("ready", flush=True)
    stop = threading.Event()
    seen = {"frames": 0}
    taken = [0.0, 0.0]

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def listen(event: object) -> None:
        if hasattr(event, "frames") and event.frames > seen["frames"]:
            seen["frames"] = event.frames
            taken[1] = cpu()

    while not source.exists():
        time.sleep(0.02)
    taken[0] = cpu()
    done = stemscale.ingestion.watch(
        store, source, fov="a", block=4, until_idle_s=3.0, stop=stop, listener=listen
    )
    after = cpu() - taken[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    result = {"frames": done.n_frames, "cpu": taken[1] - taken[0], "end": after, "peak_mb": peak}
    print(json.dumps(result))


def measure(folder: Path, kind: str, fps: float, seconds: float) -> None:
    """Write and watch once, and print a line."""
    from stemscale.store import AcquisitionStore

    source, store = folder / ("a" if kind == "files" else "a.mrc"), folder / "s.zarr"
    command = [sys.executable, __file__, "--watch", str(store), str(source)]
    n_frames = round(fps * seconds)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        late = write(source, kind, fps, n_frames)
        found = json.loads(process.stdout.read())
    ledger = AcquisitionStore(store).ledger("a/rapid")
    committed = ledger.commit_times()
    lags = [committed[i] - ns / 1e9 for i, r in ledger.records().items() for ns in r.arrived_ns]
    median, most = np.quantile(lags, [0.5, 0.95])
    print(
        f"{kind:6} {n_frames} frames at {fps:g}/s ({late} written late), {found['frames']} taken: "
        f"{found['cpu'] / n_frames * 1e3:.2f} ms of CPU a frame = "
        f"{found['cpu'] / n_frames * fps * 100:.0f} % of a core, then {found['end']:.1f} s to "
        f"finish; lag median {median * 1e3:.0f} ms, 95 % {most * 1e3:.0f} ms, longest "
        f"{max(lags) * 1e3:.0f} ms; peak {found['peak_mb']:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure each kind of source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=38.0)
    parser.add_argument("--as", dest="kinds", nargs="+", default=["files", "mrc"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--watch", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.watch:
        watch(*asked.watch)
        return
    for kind in asked.kinds:
        folder = Path(tempfile.mkdtemp(dir=asked.folder))
        try:
            measure(folder, kind, asked.fps, asked.seconds)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
