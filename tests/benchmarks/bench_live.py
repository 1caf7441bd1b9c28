"""Measure `live`, end to end, against frames that are written at the pace of a microscope.

    python tests/benchmarks/bench_live.py [--filter live] [--fps 38] [--seconds 60] [--size 512]
        [--workers N] [--block 4] [--kind mrc|files]

A process of its own writes noisy frames, as one MRC file that grows or as a TIFF file a frame. Says
how many frames were lost, how late they were from their file to the filtered frame's record, which
rate was held, and what the CPU was spent on: by the driver (with the watch and Dask's scheduler),
by the workers, and by the writer, which would be another machine. Then `compact`: files and bytes
before and after, and how quickly all frames, and one frame, are read before and after.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import stemscale
from stemscale.pipeline import Following, Ready


def header(size: int) -> bytes:
    cell = size * 20.0
    head = struct.pack("<10I3f", size, size, 0, 6, 0, 0, 0, size, size, 0, cell, cell, cell)
    return head.ljust(1024, b"\0")


def write(target: str, kind: str, size: int, fps: float, count: int, go: Any, told: Any) -> None:
    """Write frames at their pace; in a process of its own."""
    import tifffile

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    clean = 2000 - 600 * np.exp(-((((x - 0.3 * y) % 64 - 32) / 2.5) ** 2))
    frames = [rng.poisson(clean).astype(np.uint16) for _ in range(16)]
    path = Path(target)
    if kind == "files":
        path.mkdir()
    go.wait()
    if kind == "mrc":
        path.write_bytes(header(size))
    began, late = time.perf_counter(), 0.0
    for i in range(count):
        time.sleep(max(0.0, began + (i + 1) / fps - time.perf_counter()))
        late = max(late, time.perf_counter() - began - (i + 1) / fps)
        if kind == "mrc":
            with path.open("ab") as stream:
                stream.write(frames[i % 16].tobytes())
        else:
            hidden = path / f".{i:06d}.tif"
            tifffile.imwrite(hidden, frames[i % 16], imagej=True)
            hidden.rename(path / f"f{i:06d}.tif")
    used = resource.getrusage(resource.RUSAGE_SELF)
    told.put((late, used.ru_utime + used.ru_stime))


def cpu_of_children() -> float:
    """CPU seconds of all processes below this one, by /proc: they live yet."""
    mine, found, tick = os.getpid(), 0.0, os.sysconf("SC_CLK_TCK")
    parents, spent, names = {}, {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().rsplit(")", 1)
        except OSError:
            continue
        fields = rest.split()
        pid = int(stat.parent.name)
        parents[pid], spent[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / tick
        names[pid] = name
    for pid in parents:
        above = parents.get(pid)
        while above and above != mine:
            above = parents.get(above)
        if above == mine:
            found += spent[pid]
    return found


def run_live(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    go, told = context.Event(), context.SimpleQueue()
    count = round(args.fps * args.seconds)
    source = folder / ("series.mrc" if args.kind == "mrc" else "series")
    writer = context.Process(
        target=write, args=(str(source), args.kind, args.size, args.fps, count, go, told)
    )
    writer.start()
    events: list[Following] = []
    started: dict[str, float] = {}

    def listen(event: Any) -> None:
        if isinstance(event, Ready):
            time.sleep(1)  # the writer is ready by now
            started.update(driver=time.process_time(), children=cpu_of_children())
            go.set()
        elif isinstance(event, Following):
            events.append(event)
            started["ended"] = cpu_of_children()

    began = time.perf_counter()
    done = stemscale.live(
        source,
        folder / "live.zarr",
        filter=args.filter,
        name="live",
        fov="fov01",
        block=args.block,
        until_idle_s=3,
        workers=args.workers,
        listener=listen,
    )
    late, writer_cpu = told.get()
    writer.join()
    latency = done.followed.latency
    full = [e for e in events if e.frames < count][2:]
    return {
        "frames_written": count,
        "taken": done.taken,
        "filtered": done.filtered,
        "lost": count - done.filtered,
        "median_s": round(latency.median_s, 3),
        "p95_s": round(latency.p95_s, 3),
        "worst_s": round(latency.worst_s, 3),
        "most_behind": done.followed.most_behind,
        "kept_up": done.followed.kept_up,
        "made_per_s": round(float(np.mean([e.made_per_s for e in full])), 1) if full else None,
        "writer_late_s": round(late, 3),
        "cpu_ms_a_frame": {
            "driver": round((time.process_time() - started["driver"]) / count * 1e3, 1),
            "workers": round(
                (started["ended"] - started["children"] - writer_cpu) / count * 1e3, 1
            ),
            "writer": round(writer_cpu / count * 1e3, 1),
        },
        "seconds_in_all": round(time.perf_counter() - began, 1),
    }


def read_speed(store: Path, group: str) -> dict[str, float]:
    """Frames/s of all frames through xarray and Dask's threads, and ms of one frame."""
    with stemscale_open(store, group) as opened:
        n = opened.sizes["frame"]
        began = time.perf_counter()
        opened.frames.mean().compute()
        whole = n / (time.perf_counter() - began)
        began = time.perf_counter()
        for i in range(0, n, max(1, n // 20)):
            opened.frames[i].load()
        one = (time.perf_counter() - began) / len(range(0, n, max(1, n // 20)))
    return {"frames_per_s": round(whole, 1), "ms_a_frame": round(one * 1e3, 2)}


def stemscale_open(store: Path, group: str) -> xr.Dataset:
    with xr.open_zarr(store, group=group, chunks=None) as plain:
        block = plain.frames.encoding["shards"][0]
    return xr.open_zarr(store, group=group, chunks={"frame": block}, mask_and_scale=False)


def run_compact(folder: Path) -> dict[str, Any]:
    store, groups = folder / "live.zarr", ("fov01/rapid", "fov01/filtered/live")
    before = {g: read_speed(store, g) for g in groups}
    began = time.perf_counter()
    done = stemscale.compact(store)
    seconds = time.perf_counter() - began
    assert not stemscale.verify(store).damage
    return {
        "seconds": round(seconds, 1),
        **{
            s.group: {
                "block": [s.block_before, s.block],
                "files": [s.files_before, s.files],
                "MB": [round(s.bytes_before / 1e6, 1), round(s.bytes / 1e6, 1)],
                "read": [before[s.group], read_speed(store, s.group)],
            }
            for s in done
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--filter", default="live", help="name of a shipped one, or a file")
    parser.add_argument("--fps", type=float, default=38)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--block", type=int, default=4)
    parser.add_argument("--kind", choices=("mrc", "files"), default="mrc")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-live-"))
    try:
        print(json.dumps({"live": run_live(folder, args)}), flush=True)
        print(json.dumps({"compact": run_compact(folder)}), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
