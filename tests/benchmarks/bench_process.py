"""Compare `process`, end to end, with the plainest loops that do a part of its work.

    python tests/benchmarks/bench_process.py [--size 512] [--frames 256] [--workers 2]
        [--only filter none tutorial workers libertem] [--networks standard live "width 16" paper]
        [--libertem PYTHON]

``filter``: `process` reads a store, corrects, filters, scores every frame before and after against
the slow scan, writes, reads back and records; ``plain`` passes frames that are in memory already
through the same network (whole machine, batch 1), and does nothing else. The bound is what the
cores allow: the CPU seconds a frame of the network, with a loop of one thread on every core, and of
all the rest, over the cores.
``none``: ``process --filter none`` against processes that read and write the same blocks and do
nothing else. ``tutorial``: the way that tutorials show, `map_blocks` to `to_zarr`, frame by frame.
``workers``: one worker process and two, of one thread of torch each. ``libertem``: a UDF around the
same network, in the environment named (`peer_libertem.py`), which stores nothing. Rounds alternate;
the best of each counts. The start of the workers is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import xarray as xr
from numpy.typing import NDArray

import stemscale
from stemscale.clusters import connect
from stemscale.corrections import Calibration, save_calibration
from stemscale.denoising import Filter, find_recipe, load_filter, save_filter
from stemscale.denoising.filter_file import architecture_card
from stemscale.denoising.unet import UNet
from stemscale.distortion import DistortionMap
from stemscale.filter_card import FORMAT_VERSION
from stemscale.shipped import SHIPPED, find_filter
from stemscale.store import AcquisitionStore

FOV = "fov01"
Scores = dict[str, list[float]]


# ---------------------------------------------------------------- data


def make_store(folder: Path, size: int, n_frames: int) -> Path:
    """A calibrated FOV of noisy lines, and its slow scan."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    clean = 20000 - 6000 * np.exp(-((((x - 0.3 * y) % 64 - 32) / 2.5) ** 2))
    frames = np.stack([rng.poisson(clean / 400) * 400 for _ in range(n_frames)])
    for name, images, dwell in (("fov01", frames, 100), ("slow", clean[None], 5000)):
        tifffile.imwrite(
            folder / f"{name}.tif",
            images.clip(0, 65535).astype(np.uint16),
            imagej=True,
            resolution=(0.5, 0.5),
            metadata={
                "unit": "nm",
                "axes": "TYX",
                "Info": f"dwell_time_ns={dwell}\nflyback_time_us=25",
            },
        )
    store = folder / "run.zarr"
    stemscale.ingest(store, folder / "fov01.tif", slow=folder / "slow.tif")
    opened = AcquisitionStore(store)
    lag = 12 * np.exp(-np.arange(size) / 40)  # of the line's start [px]
    distortion = DistortionMap(
        source_x=(np.arange(size) - lag)[None],
        source_y=(np.arange(size) + 0.3)[:, None],
        rapid_shape=(size, size),
    )
    calibration = Calibration(
        distortion=distortion,
        rapid=opened.settings(f"{FOV}/rapid"),
        pixel_ratio=1.0,
        method="known",
        source=FOV,
    )
    save_calibration(opened, FOV, calibration, dcfi=None, shifts=np.zeros((n_frames, 2)), attrs={})
    opened.consolidate()
    return store


def make_filter(folder: Path, name: str) -> Path:
    """A shipped filter, which also says of each frame whether it has seen the like; or a network
    that is not trained."""
    if name in SHIPPED:
        return find_filter(name)
    paper = find_recipe("paper").network
    settings = {"width 16": replace(paper, width=16), "paper": paper}[name]
    torch.manual_seed(0)
    card = {
        "format_version": FORMAT_VERSION,
        "architecture": architecture_card(settings),
        "normalisation": "series",
        "recipe": {},
    }
    file = folder / f"{name.replace(' ', '-')}.safetensors"
    save_filter(Filter(UNet(settings).requires_grad_(False), card), file)
    return file


# ---------------------------------------------------------------- ways


def by_process(store: Path, client: Any, **asked: Any) -> float:
    """Frames/s of `process`, without the start of workers and the last words to the store."""
    done = stemscale.process(store, name="x", overwrite=True, client=client, **asked)
    assert done.state == "complete"
    AcquisitionStore(store).delete(f"{FOV}/filtered/x")
    return done.frames_per_s


def seconds_by_step(store: Path, client: Any, **asked: Any) -> dict[str, float]:
    stemscale.process(store, name="x", overwrite=True, client=client, **asked)
    opened = AcquisitionStore(store)
    steps: dict[str, float] = {}
    for record in opened.ledger(f"{FOV}/filtered/x").records().values():
        for step, seconds in record.seconds.items():
            steps[step] = steps.get(step, 0.0) + seconds
    opened.delete(f"{FOV}/filtered/x")
    return steps


def plain_loop(file: Path, frames: torch.Tensor, threads: int) -> float:
    """Frames/s of the network alone, over frames in memory."""
    network = load_filter(file).network_on("cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with torch.inference_mode():
        network(frames[:1].contiguous(memory_format=torch.channels_last))
        began = time.perf_counter()
        for i in range(len(frames)):
            network(frames[i : i + 1].contiguous(memory_format=torch.channels_last))
    seconds = time.perf_counter() - began
    torch.set_num_threads(before)
    return len(frames) / seconds


def plain_loops(file: Path, frames: NDArray, pool: ProcessPoolExecutor, workers: int) -> float:
    """Frames/s of the network alone, in a loop of one thread on every core."""
    return sum(pool.map(loop_of_one, [file] * workers, [frames] * workers))


def loop_of_one(file: Path, frames: NDArray) -> float:
    return plain_loop(file, torch.from_numpy(frames), 1)


def copy_blocks(store: str, out: str, blocks: list[int]) -> None:
    source, target = (AcquisitionStore(s).frames(f"{FOV}/rapid") for s in (store, out))
    for block in blocks:
        target.write(block, source.read(*source.bounds(block)))


def read_and_write(store: Path, folder: Path, pool: ProcessPoolExecutor, workers: int) -> float:
    out = folder / "copy.zarr"
    shutil.copytree(store, out)
    array = AcquisitionStore(store).frames(f"{FOV}/rapid")
    parts = [list(range(i, array.n_blocks, workers)) for i in range(workers)]
    began = time.perf_counter()
    list(pool.map(copy_blocks, [str(store)] * workers, [str(out)] * workers, parts))
    seconds = time.perf_counter() - began
    shutil.rmtree(out)
    return array.shape[0] / seconds


def tutorial(store: Path, folder: Path, file: Path, client: Any) -> float:
    """`map_blocks` over chunks of one frame, `to_zarr`: filter only, no correction, no score."""

    def filter_chunk(chunk: np.ndarray) -> np.ndarray:
        network = load_filter(file).network_on("cpu")
        with torch.inference_mode():
            found = network(torch.from_numpy(chunk[:, None].astype(np.float32)))
        return found[:, 0].numpy()

    out = folder / "tutorial.zarr"
    with client.as_current(), xr.open_zarr(store, group=f"{FOV}/rapid", chunks={}) as rapid:
        n_frames = rapid.sizes["frame"]
        filtered = rapid["frames"].data.map_blocks(filter_chunk, dtype=np.float32)
        began = time.perf_counter()
        xr.Dataset({"frames": (("frame", "y", "x"), filtered)}).to_zarr(out, zarr_format=3)
        seconds = time.perf_counter() - began
    shutil.rmtree(out)
    return n_frames / seconds


# ---------------------------------------------------------------- comparisons


def best_of(rounds: int, works: dict[str, Callable[[], float]]) -> dict[str, float]:
    best = dict.fromkeys(works, 0.0)
    for _ in range(rounds):
        for name, work in works.items():
            best[name] = max(best[name], work())
    return best


def compare_filters(store: Path, folder: Path, clients: dict[int, Any], options: Any) -> None:
    frames = AcquisitionStore(store).first_frames(FOV, options.plain_frames)
    ready = frames[:, None].astype(np.float32) / 20000 - 1
    workers = options.workers
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for name in options.networks:
            file = make_filter(folder, name)
            best = best_of(
                options.rounds,
                {
                    "plain": lambda file=file: plain_loop(file, torch.from_numpy(ready), workers),
                    "loops": lambda file=file: plain_loops(file, ready, pool, workers),
                    "process": lambda file=file: by_process(store, clients[workers], filter=file),
                },
            )
            steps = seconds_by_step(store, clients[1], filter=file)
            rest = sum(s for step, s in steps.items() if step not in ("filter", "wait"))
            bound = workers / (workers / best["loops"] + rest / options.frames)
            print(f"\nfilter {name}: frames/s")
            print(f"  plain loop, in memory, {workers} threads {best['plain']:10.2f}")
            print(f"  a loop of one thread on each core        {best['loops']:10.2f}")
            print(f"  bound of the CPU seconds a frame         {bound:10.2f}")
            print(f"  process, {workers} workers{best['process']:32.2f}")
            print(
                f"  process / plain {best['process'] / best['plain']:.2f},"
                f" process / bound {best['process'] / bound:.2f}"
            )
            by_step = sorted((step, 1e3 * s / options.frames) for step, s in steps.items())
            words = ", ".join(f"{step} {ms:.1f}" for step, ms in by_step)
            print(f"  ms a frame, one worker alone: {words}", flush=True)


def compare_none(store: Path, folder: Path, clients: dict[int, Any], options: Any) -> None:
    context = get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        read_and_write(store, folder, pool, options.workers)  # imports
        best = best_of(
            options.rounds,
            {
                "alone": lambda: read_and_write(store, folder, pool, options.workers),
                "none": lambda: by_process(store, clients[options.workers], filter="none"),
                "as is": lambda: by_process(
                    store, clients[options.workers], filter="none", distortion="none"
                ),
            },
        )
    print("\n--filter none: frames/s")
    print(f"  read and write alone {best['alone']:10.1f}")
    for word, what in (("none", "corrected, scored"), ("as is", "not corrected, scored")):
        share = best[word] / best["alone"]
        print(f"  process, {what:22} {best[word]:10.1f}  {share:.2f}", flush=True)


def compare_tutorial(store: Path, folder: Path, clients: dict[int, Any], options: Any) -> None:
    file = make_filter(folder, "standard")
    client = clients[options.workers]
    best = best_of(
        options.rounds,
        {
            "tutorial": lambda: tutorial(store, folder, file, client),
            "process": lambda: by_process(store, client, filter=file),
        },
    )
    print("\nthe way of tutorials, standard: frames/s")
    print(f"  map_blocks, to_zarr  {best['tutorial']:10.2f}")
    print(
        f"  process              {best['process']:10.2f}"
        f"  {best['process'] / best['tutorial']:.1f} times",
        flush=True,
    )


def set_cores(cores: list[int]) -> None:
    """Keep all threads of this process on some cores."""
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def compare_workers(store: Path, folder: Path, clients: dict[int, Any], options: Any) -> None:
    file = make_filter(folder, "standard")
    cores = sorted(os.sched_getaffinity(0))
    works = {
        str(n): lambda n=n: by_process(store, clients[n], filter=file) for n in (1, options.workers)
    }

    def on_one_core() -> float:
        # A worker has two threads, of which the second would take its share of another core.
        clients[1].run(set_cores, cores[:1])
        found = works["1"]()
        clients[1].run(set_cores, cores)
        return found

    best = best_of(options.rounds, {**works, "1 on a core": on_one_core})
    more = best[str(options.workers)]
    print(f"\n1 and {options.workers} worker processes, standard: frames/s")
    for word in ("1", "1 on a core"):
        print(
            f"  {word:12} {best[word]:.2f}, {more:.2f}: {more / best[word]:.2f} times", flush=True
        )


def compare_libertem(store: Path, folder: Path, clients: dict[int, Any], options: Any) -> None:
    if options.libertem is None:
        print("\nLiberTEM: name its environment with --libertem PYTHON")
        return
    frames = AcquisitionStore(store).first_frames(FOV, options.frames)
    np.save(folder / "frames.npy", frames)
    network = load_filter(make_filter(folder, "standard")).network
    example = torch.zeros(1, 1, options.size, options.size)
    torch.jit.save(torch.jit.trace(network.eval(), example), folder / "network.pt")
    script = Path(__file__).with_name("peer_libertem.py")
    words = [options.libertem, script, folder / "frames.npy", folder / "network.pt"]
    words += ["--workers", options.workers, "--rounds", options.rounds]
    done = subprocess.run([*map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    rates = json.loads(done.stdout.splitlines()[-1])
    ready = torch.from_numpy(frames[: options.plain_frames, None].astype(np.float32) / 20000 - 1)
    file = make_filter(folder, "standard")
    plain = plain_loop(file, ready, options.workers)
    ours = by_process(store, clients[options.workers], filter=file)
    print("\nLiberTEM, standard: frames/s, share of the plain loop")
    for word, found in {"plain loop": plain, **rates, "process": ours}.items():
        print(f"  {word:12} {found:8.2f}  {found / plain:.2f}", flush=True)


COMPARISONS = {
    "libertem": compare_libertem,
    "filter": compare_filters,
    "none": compare_none,
    "tutorial": compare_tutorial,
    "workers": compare_workers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--plain-frames", type=int, default=32, help="for the plain loop")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(COMPARISONS), default=list(COMPARISONS))
    parser.add_argument("--libertem", metavar="PYTHON", help="of an environment with LiberTEM")
    parser.add_argument("--networks", nargs="+", default=["standard", "live", "width 16"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        store = make_store(folder, options.size, options.frames)
        clients = {
            n: stack.enter_context(connect("local", workers=n))
            for n in sorted({1, options.workers})
        }
        # a cluster of one worker must not take the whole machine's threads
        clients[1].run(torch.set_num_threads, 1)
        for name in options.only:
            COMPARISONS[name](store, folder, clients, options)


if __name__ == "__main__":
    main()
