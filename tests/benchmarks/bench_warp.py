"""Print how fast frames are corrected, and what each interpolation does to noise and detail.

    python tests/benchmarks/bench_warp.py [--size 256] [--size 512] [--size 1024] [--batch 16]
        [--quality-size 512] [--fovs 3] [--frames 20] [--only speed|quality]

Speed: processor time on one thread, the best of several tries by turns, so that a busy machine
counts for less; frames are uint16. A map is *separable* where all rows are distorted alike (every
map that is estimated by default), *by line* where each row has its own columns, *by pixel* where
the rows differ along x too. "x scipy" is the time of `scipy.ndimage.map_coordinates` over ours, per
frame, each with float32 in and out; the largest difference is in parts of the range of white noise,
the hardest image there is. SciPy's order 3 is a spline, ours are local kernels: on white noise they
must differ.

Quality: the simulator's reference settings without drift, and the true map, so that nothing but
the interpolation differs. Noise is the difference of two warped frames of one scene, over the
difference of the same two as recorded: its variance, how much that varies between columns (5th to
95th percentile), and its power along x at parts of the Nyquist frequency (the lowest shows what
mixing rows takes from all). PSNR is against the truth, backgrounds removed, for one frame; for one
frame after a Gaussian of 1 px, and after that of the best width; for the mean of all frames; and
for a frame without noise, lag or response, which shows the interpolation alone.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from stemscale.distortion import DistortionMap, Warp
from stemscale.quality import psnr_without_background
from stemscale.simulation import FieldOfView, preset_settings

INTERPOLATIONS = ("linear", "cubic", "lanczos")
PARTS = (0.1, 0.25, 0.5, 0.75)  # of the Nyquist frequency
PERFECT = ("poisson", "readout", "lag", "drift", "jitter", "gamma", "background")


def example_map(kind: str, n: int) -> DistortionMap:
    """A stretch of some per cent with waves, as scans have it; all but the rim is seen."""
    at = np.arange(n)
    source_x = (np.linspace(2, n - 3, n) + 3 * np.sin(at / 30))[None]
    source_y = (0.99 * at + 1.3)[:, None]
    if kind != "separable":
        source_x = source_x + 0.5 * np.sin(at / 20)[:, None]
    if kind == "by pixel":
        source_y = source_y + np.sin(at / 50)[None]
    return DistortionMap(source_x=source_x, source_y=source_y, rapid_shape=(n, n))


def seconds(functions: list[Callable[[], object]], tries: int) -> list[float]:
    """Time each by turns, so that what else the machine does falls on all of them alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for turn in range(tries + 1):
        for function, times in zip(functions, taken, strict=True):
            start = time.thread_time()
            function()
            if turn:  # the first turn only warms up
                times.append(time.thread_time() - start)
    return [min(times) for times in taken]


def speed(n: int, batch: int, tries: int) -> None:
    frames = np.random.default_rng(0).integers(0, 65535, (batch, n, n), dtype=np.uint16)
    first = frames[0].astype(np.float32)
    print(f"\n{n} x {n}, {batch} frames at once")
    print(
        f"{'map':10} {'interpolation':13} {'ms/frame':>8} {'frames/s':>8} {'x scipy 1':>9}"
        f" {'x scipy 3':>9} {'one frame: x scipy 1':>20} {'difference':>10}"
    )
    for kind in ("separable", "by line", "by pixel"):
        distortion = example_map(kind, n)
        at = np.broadcast_arrays(distortion.source_y, distortion.source_x)

        def scipy_warp(order: int, at: list[np.ndarray] = at) -> np.ndarray:
            return map_coordinates(first, at, order=order, mode="nearest", output=np.float32)

        for interpolation in INTERPOLATIONS:
            warp = Warp(distortion, interpolation=interpolation)
            scipy_1, scipy_3, ours_s, single_s = seconds(
                [
                    lambda: scipy_warp(1),
                    lambda: scipy_warp(3),
                    lambda w=warp: w(frames),
                    lambda w=warp: w(frames[:1]),
                ],
                tries,
            )
            ours_s /= batch
            order = 1 if interpolation == "linear" else 3
            difference = np.nanmax(np.abs(warp(frames[:1])[0] - scipy_warp(order))) / 65535
            print(
                f"{kind:10} {interpolation:13} {1e3 * ours_s:8.2f} {1 / ours_s:8.0f}"
                f" {scipy_1 / ours_s:9.1f} {scipy_3 / ours_s:9.1f}"
                f" {scipy_1 / single_s:20.1f} {difference:10.1e}",
                flush=True,
            )


def inner(seen: np.ndarray, margin: int = 8) -> tuple[slice, slice]:
    rows = np.flatnonzero(seen.any(axis=1))
    columns = np.flatnonzero(seen.any(axis=0))
    return (
        slice(rows[0] + margin, rows[-1] + 1 - margin),
        slice(columns[0] + margin, columns[-1] + 1 - margin),
    )


def power_along_x(noise: np.ndarray) -> np.ndarray:
    """Power at each of PARTS, the mean over a tenth of the spectrum around it."""
    lines = (noise - noise.mean()) * np.hanning(noise.shape[1])
    power = (np.abs(np.fft.rfft(lines, axis=1)) ** 2).mean(axis=0) / np.sum(
        np.hanning(noise.shape[1]) ** 2
    )
    part = np.linspace(0, 1, power.size)
    return np.array([power[np.abs(part - p) < 0.05].mean() for p in PARTS])


def quality_of(number: int, size: int, n_frames: int, found: dict[str, list[list[float]]]) -> None:
    settings = preset_settings("reference").without("drift")
    about = {"size": size, "n_frames": n_frames, "seed": number, "scan_seed": number}
    fov = FieldOfView(1, settings=settings, **about)
    clean = FieldOfView(1, settings=preset_settings("reference").without(*PERFECT), **about)
    frames = np.stack([fov.frame(i).counts for i in range(n_frames)])
    distortion = DistortionMap(
        source_x=fov.scan.source_x[None],
        source_y=fov.scan.source_y(size)[:, None],
        rapid_shape=(size, size),
    )
    truth, clean_truth = fov.truth(), clean.truth()
    perfect = clean.frame(0).counts
    for name in INTERPOLATIONS:
        warp = Warp(distortion, interpolation=name)
        view = inner(warp.inside)
        corrected = warp(frames).astype(np.float64)
        whole = np.where(np.isfinite(corrected), corrected, np.nanmean(corrected))
        before = np.diff(frames.astype(np.float64), axis=0)[::2]
        after = np.diff(corrected, axis=0)[::2][(slice(None), *view)]
        # the rapid view is broader: compare with the part that the slow scan shows
        x = slice(
            int(distortion.source_x[0, view[1].start]), int(distortion.source_x[0, view[1].stop])
        )
        before = before[:, view[0], x]
        columns = after.var(axis=(0, 1)) / before.var()
        low, high = np.percentile(columns, (5, 95))
        spectrum = np.mean([power_along_x(a) for a in after], axis=0)
        spectrum /= np.mean([power_along_x(b) for b in before], axis=0)
        widths = [0.0, 1.0, *np.arange(1.25, 2.6, 0.25)]
        filtered = [
            psnr_without_background(gaussian_filter(whole[0], width)[view], truth[view])
            for width in widths
        ]
        scores = [
            *filtered[:2],
            max(filtered),
            psnr_without_background(whole.mean(axis=0)[view], truth[view]),
            psnr_without_background(warp(perfect[None])[0][view], clean_truth[view]),
        ]
        found[name].append([after.var() / before.var(), low, high, *spectrum, *scores])


def quality(size: int, fovs: int, n_frames: int) -> None:
    found: dict[str, list[list[float]]] = defaultdict(list)
    for number in range(fovs):
        quality_of(100 + number, size, n_frames, found)
    print(f"\nquality at {size} x {size}: mean over {fovs} microscopes, {n_frames} frames each")
    print(
        f"{'':13} {'noise variance':>14} {'by column':>11} {'power at':>8}"
        + " ".join(f"{f'{p:g} Ny':>7}" for p in PARTS)
        + f" {'PSNR: frame':>11} {'Gaussian 1':>10} {'best':>6} {'mean':>6} {'perfect [dB]':>12}"
    )
    for name, rows in found.items():
        variance, low, high, *rest = np.mean(rows, axis=0)
        spectrum, scores = rest[: len(PARTS)], rest[len(PARTS) :]
        print(
            f"{name:13} {variance:14.3f} {f'{low:.2f}-{high:.2f}':>11} {'':8}"
            + " ".join(f"{s:7.3f}" for s in spectrum)
            + f" {scores[0]:11.2f} {scores[1]:10.2f} {scores[2]:6.2f}"
            + f" {scores[3]:6.2f} {scores[4]:12.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--quality-size", type=int, default=512)
    parser.add_argument("--fovs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--only", choices=["speed", "quality"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only != "quality":
        for size in options.size or [256, 512, 1024]:
            speed(size, options.batch, options.tries)
    if options.only != "speed":
        quality(options.quality_size, options.fovs, options.frames)


if __name__ == "__main__":
    main()
