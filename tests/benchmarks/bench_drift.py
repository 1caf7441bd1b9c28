"""Print how well and how fast drift is found, beside scikit-image's phase_cross_correlation.

    python tests/benchmarks/bench_drift.py [--size 512] [--frames 64] [--long 2000]

Accuracy: frames of the simulator's reference settings at its default dose, whose scene drifts and
shakes by fractions of a pixel; without the scan's distortion, under which a frame has no one shift.
RMS errors in rows and columns [px] once a constant is taken off. scikit-image gets the mean of the
undrifted scene's frames as its reference, which ours has to make for itself; with and without the
band-pass that ours correlates in.

Speed and memory: the same frames over and over, in a store, up to ``--long`` of them. Wall-clock
and CPU time of the alignment alone, without the start of the workers; peak memory of the driver and
of the largest worker, less what each has before the first frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from stemscale.simulation import FieldOfView, preset_settings

Frames = NDArray[np.uint16]
Shifts = NDArray[np.float64]


def simulate(size: int, n_frames: int) -> tuple[Frames, Shifts, Frames]:
    """Return drifting frames, their shifts, and as many frames of the same scene at rest."""
    settings = preset_settings("reference")
    effects = settings.effects - {"distortion"}
    moving = replace(settings, drift_nm_per_s=8.0, vibration_nm=1.5, effects=effects)
    still = replace(settings, effects=effects - {"drift"})
    fov = FieldOfView(1, size=size, n_frames=n_frames, settings=moving, seed=3, scan_seed=3)
    rest = FieldOfView(1, size=size, n_frames=n_frames, settings=still, seed=3, scan_seed=3)
    frames = [fov.frame(i) for i in range(n_frames)]
    at_rest = np.stack([rest.frame(n_frames + i).counts for i in range(min(16, n_frames))])
    return np.stack([f.counts for f in frames]), np.array([f.shift_px for f in frames]), at_rest


def ours(frames: Frames, at_rest: Frames) -> Shifts:
    from stemscale.distortion import integrate_frames

    return integrate_frames([frames]).shifts


def skimage(frames: Frames, at_rest: Frames) -> Shifts:
    from skimage.registration import phase_cross_correlation

    reference = at_rest.mean(axis=0)
    return -np.array([phase_cross_correlation(reference, f, upsample_factor=20)[0] for f in frames])


def skimage_plain(frames: Frames, at_rest: Frames) -> Shifts:
    from skimage.registration import phase_cross_correlation

    reference = at_rest.mean(axis=0)
    options = {"upsample_factor": 20, "normalization": None}
    return -np.array([phase_cross_correlation(reference, f, **options)[0] for f in frames])


def skimage_bandpass(frames: Frames, at_rest: Frames) -> Shifts:
    from scipy.ndimage import gaussian_filter
    from skimage.registration import phase_cross_correlation

    def seen(image: NDArray[np.floating]) -> NDArray[np.float32]:
        image = image.astype(np.float32)
        return gaussian_filter(image, 1.5) - gaussian_filter(image, 12.0)

    reference = seen(at_rest.mean(axis=0))
    options = {"upsample_factor": 20, "normalization": None}
    return -np.array([phase_cross_correlation(reference, seen(f), **options)[0] for f in frames])


METHODS: dict[str, Callable[[Frames, Frames], Shifts]] = {
    "stemscale": ours,
    "scikit-image": skimage,
    "scikit-image, normalization=None": skimage_plain,
    "the same, band-passed": skimage_bandpass,
}


def accuracy(frames: Frames, shifts: Shifts, at_rest: Frames) -> None:
    for align in METHODS.values():  # imports, and tables made once
        align(frames[:2], at_rest)
    print(f"{len(frames)} frames of {frames.shape[1]} x {frames.shape[2]}, one process, in memory")
    print(f"{'':34} {'rows':>6} {'columns':>8} {'frames/s':>9} {'CPU ms/frame':>13}")
    for name, align in METHODS.items():
        began, cpu = time.perf_counter(), time.process_time()
        found = align(frames, at_rest)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        error = found - shifts
        rms = np.sqrt(((error - error.mean(axis=0)) ** 2).mean(axis=0))
        rate, per_frame = len(frames) / seconds, 1e3 * cpu / len(frames)
        print(f"{name:34} {rms[0]:6.3f} {rms[1]:8.3f} {rate:9.1f} {per_frame:13.1f}", flush=True)


def throughput(store: Path, workers: int) -> None:
    """Align the one FOV of a store; called in a process of its own, whose peak is looked at."""
    from stemscale.pipeline.average import average_series, averaging
    from stemscale.store import AcquisitionStore

    opened = AcquisitionStore(store)
    [fov] = opened.fovs()
    with averaging(opened, [fov], workers=workers) as client:
        if client is not None:
            client.run(warm)
        base = peak()
        bases = {} if client is None else client.run(peak)
        cpus = {} if client is None else client.run(time.process_time)
        began, cpu = time.perf_counter(), time.process_time()
        found = average_series(opened, fov, client=client)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        if client is not None:
            cpu += sum(c - cpus[w] for w, c in client.run(time.process_time).items())
        largest = (
            max((p - bases[w] for w, p in client.run(peak).items()), default=0) if client else 0
        )
        started = max(bases.values(), default=0)
    print(
        json.dumps(
            {
                "frames": len(found.shifts),
                "seconds": seconds,
                "cpu": cpu,
                "driver_mb": [base, peak() - base],
                "worker_mb": [started, largest],
            }
        )
    )


def warm() -> None:
    """Import what a worker needs."""
    import stemscale.pipeline.average  # noqa: F401


def peak() -> float:
    """Peak of this process's resident memory [MB]; getrusage knows that of the parent, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) / 1e3


def speed(frames: Frames, lengths: list[int]) -> None:
    import stemscale

    print("\nfrom a store; memory: before the first frame + peak above that")
    columns = ("frames", 7), ("workers", 8), ("frames/s", 9), ("CPU ms/frame", 13)
    columns += ("driver MB", 16), ("a worker MB", 16)
    print(" ".join(f"{name:>{width}}" for name, width in columns))
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            file, store = Path(folder) / "in.tif", Path(folder) / f"{length}.zarr"
            with tifffile.TiffWriter(file, bigtiff=True) as tiff:
                pages = (frames[i % len(frames)] for i in range(length))
                shape = (length, *frames.shape[1:])
                tiff.write(pages, shape=shape, dtype=frames.dtype, photometric="minisblack")
            stemscale.ingest(store, file, fov="fov01")
            file.unlink()
            for workers in (1, 2):
                options = ["--store", str(store), "--workers", str(workers)]
                command = [sys.executable, __file__, *options]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout)
                driver, worker = (
                    "{:.0f} + {:.0f}".format(*found[f"{n}_mb"]) for n in ("driver", "worker")
                )
                rate = found["frames"] / found["seconds"]
                cpu = 1e3 * found["cpu"] / found["frames"]
                print(
                    f"{length:7} {workers:8} {rate:9.1f} {cpu:13.1f} {driver:>16} {worker:>16}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=64, help="simulated ones")
    parser.add_argument(
        "--long", type=int, default=2000, help="frames of the longest series; 0: none"
    )
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store:
        throughput(options.store, options.workers)
        return
    frames, shifts, at_rest = simulate(options.size, options.frames)
    accuracy(frames, shifts, at_rest)
    if options.long:
        speed(frames, sorted({min(200, options.long), options.long}))


if __name__ == "__main__":
    main()
