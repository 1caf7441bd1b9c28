"""How fast movies are written, in what memory, and what is left of the contrast in them.

    python tests/benchmarks/bench_movie.py [--frames 200 2000] [--size 512] [--endings mp4 webm]

Frames of noise around a drawn scene, and the scene without noise as if filtered, are put into a
store. A movie of each length is written in a process of its own, which tells its peak memory, and
that of ffmpeg (Linux only). Then 50 frames go into a movie of each kind, and its greys are compared
with those of a GIF, which loses nothing: the slope of a straight line through them (1: contrast and
noise as strong as they were), and their RMS difference [greys of 255].
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from movies.builders import add_filtered, new_series, panels_of, read_movie, scene

from stemscale.movies import movie

# Not by getrusage: its peak goes on from that of the process that started this one.
CODE = """
import json, sys, time
from pathlib import Path
import psutil
from stemscale.movies import movie
its = []
def listen(_):
    its.extend(child.memory_info().rss / 1e6 for child in psutil.Process().children())
began = time.perf_counter()
done = movie(sys.argv[1], sys.argv[2], frames=(0, int(sys.argv[3])), overwrite=True,
             listener=listen)
seconds = time.perf_counter() - began
(ours,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines()
           if line.startswith("VmHWM"))
print(json.dumps([seconds, int(ours) / 1e3, max(its), done.size]))
"""
BLOCK = 32
DISTINCT = 32  # frames: what is drawn does not matter to memory or speed


def make_store(folder: Path, size: int, n_frames: int) -> Path:
    again = np.arange(n_frames) % DISTINCT
    # noise as strong as a faint dislocation, as in a rapid frame
    noisy, clean = (scene(DISTINCT, (size, size), noise=n)[again] for n in (3000, 0))
    store = new_series(folder, noisy, block=BLOCK, pixel_size_nm=2.0, frame_time_s=0.04)
    add_filtered(store, clean, "clean", block=BLOCK)
    (folder / "fov01.npy").unlink()
    return store


def measure(store: Path, output: Path, n_frames: int) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(store), str(output), str(n_frames)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def greys(store: Path, output: Path, n_frames: int) -> list[NDArray[Any]]:
    """Greys of the raw and the filtered panel, (frame, y, x) each."""
    done = movie(store, output, frames=(0, n_frames), overwrite=True)
    _, pictures = read_movie(output)
    n_x = round((done.shape[1] - 4) / 2 / done.scale)
    panels = [panels_of(picture, done, 2, n_x) for picture in pictures[::7]]
    return [np.stack(column).astype(float) for column in zip(*panels, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--size", type=int, default=512, help="of a frame [px]")
    parser.add_argument("--endings", nargs="+", default=["mp4", "webm"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder, asked.size, max(asked.frames))
        print("| movie | frames | frames/s | peak [MB] | of ffmpeg [MB] | MB per 100 frames |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for ending in asked.endings:
            for n_frames in asked.frames:
                seconds, ours, its, size = measure(store, folder / f"out.{ending}", n_frames)
                print(
                    f"| {ending} | {n_frames} | {n_frames / seconds:.1f} | {ours:.0f} | {its:.0f} "
                    f"| {size / n_frames / 1e4:.2f} |",
                    flush=True,
                )
        print("\n| movie | raw: slope, RMS | filtered: slope, RMS |\n| --- | ---: | ---: |")
        n_frames = min(50, min(asked.frames))
        exact = greys(store, folder / "exact.gif", n_frames)
        for ending in asked.endings:
            rows = []
            for was, now in zip(
                exact, greys(store, folder / f"out.{ending}", n_frames), strict=True
            ):
                slope = np.polyfit(was.ravel(), now.ravel(), 1)[0]
                rows.append(f"{slope:.3f}, {np.sqrt(((was - now) ** 2).mean()):.1f}")
            print(f"| {ending} | {' | '.join(rows)} |")


if __name__ == "__main__":
    main()
