"""Print how far each way of finding the distortion is from the simulator's truth.

    python tests/benchmarks/bench_distortion.py [--size 256] [--size 512] [--seeds 12]
        [--frames 20] [--joint 4] [--scale 1.0]

One seed is one microscope with one specimen, at the reference settings. RMS errors of ``source_x``
in px, over all columns but 2 % at either end, once a constant shift is taken off; the shift itself
(signed mean) and the error of the row offset apart. ``joint``: several fields of view of one
microscope fitted together. Timings are wall-clock seconds per field of view on one thread, the
average of the frames not included.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from stemscale.distortion import (
    DistortionMap,
    StripSearch,
    fit_spline,
    fit_strips,
    integrate_frames,
    match_views,
)
from stemscale.errors import DistortionError
from stemscale.simulation import FieldOfView, preset_settings

EDGE = 0.02


@dataclass(frozen=True, kw_only=True)
class Case:
    """One field of view and its truth."""

    dcfi: np.ndarray
    slow: np.ndarray
    source_x: np.ndarray
    row_offset: float


@dataclass(frozen=True, kw_only=True)
class Error:
    """How far a map is from the truth [px]."""

    rms: float
    shift: float
    row: float
    scaled: float  # RMS error over the RMS of the stated uncertainty


def simulate(number: int, seed: int, size: int, frames: int, scale: float) -> Case:
    settings = replace(preset_settings("reference"), distortion_scale=scale)
    fov = FieldOfView(
        number, size=size, n_frames=frames, settings=settings, seed=seed, scan_seed=seed
    )
    series = np.stack([fov.frame(index).counts for index in range(frames)])
    return Case(
        dcfi=integrate_frames([series]).image,
        slow=fov.slow(),
        source_x=fov.scan.source_x,
        row_offset=fov.scan.offset_y,
    )


def error_of(found: DistortionMap, case: Case) -> Error:
    edge = int(EDGE * case.source_x.size)
    difference = (found.source_x[0] - case.source_x)[edge:-edge]
    rms = float(difference.std())
    std = found.source_x_std
    return Error(
        rms=rms,
        shift=float(difference.mean()),
        row=float(found.source_y[0, 0] - case.row_offset),
        scaled=rms / float(np.sqrt((std[0, edge:-edge] ** 2).mean()))
        if std is not None
        else np.nan,
    )


def uncorrected(case: Case) -> DistortionMap:
    return DistortionMap.identity(case.slow.shape)


def linear(case: Case) -> DistortionMap:
    return match_views(case.dcfi, case.slow).distortion_map(case.slow.shape, case.dcfi.shape)


SINGLE: dict[str, Callable[[Case], DistortionMap]] = {
    "uncorrected": uncorrected,
    "view match, linear": linear,
    "strips, psnr": lambda c: fit_strips(c.dcfi, c.slow),
    "strips, zncc": lambda c: fit_strips(c.dcfi, c.slow, search=StripSearch(score="zncc")),
    "spline": lambda c: fit_spline([(c.dcfi, c.slow)])[0],
}


def report(
    size: int, errors: dict[str, list[Error | str]], seconds: dict[str, list[float]]
) -> None:
    print(f"\n{size} x {size}")
    print(
        f"{'method':20} {'n':>3} {'refused':>7} {'RMS median':>10} {'worst':>6} {'|shift| med':>11}"
        f" {'worst':>6} {'|row| med':>9} {'worst':>6} {'error/std':>9} {'s/FOV':>6}"
    )
    for method, found in errors.items():
        kept = [e for e in found if isinstance(e, Error)]
        refused = [e for e in found if isinstance(e, str)]
        if kept:
            rms, shift, row, scaled = (
                np.abs([getattr(e, name) for e in kept])
                for name in ("rms", "shift", "row", "scaled")
            )
            print(
                f"{method:20} {len(kept):3} {len(refused):7}"
                f" {np.median(rms):10.3f} {rms.max():6.2f}"
                f" {np.median(shift):11.2f} {shift.max():6.2f}"
                f" {np.median(row):9.3f} {row.max():6.2f}"
                f" {np.median(scaled):9.2f} {np.median(seconds[method]):6.2f}",
                flush=True,
            )
        for reason in refused:
            print(f"    refused: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--joint", type=int, default=4, help="FOVs fitted together; 0: none")
    parser.add_argument("--scale", type=float, default=1.0, help="of the distortion")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.size or [256, 512]:
        errors: dict[str, list[Error | str]] = defaultdict(list)
        seconds: dict[str, list[float]] = defaultdict(list)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            cases = [
                simulate(number, seed, size, options.frames, options.scale)
                for number in range(1, 1 + max(1, options.joint))
            ]
            for method, estimate in SINGLE.items():
                start = time.perf_counter()
                try:
                    errors[method].append(error_of(estimate(cases[0]), cases[0]))
                    seconds[method].append(time.perf_counter() - start)
                except DistortionError as refusal:
                    errors[method].append(f"seed {seed}: {refusal}")
            if options.joint:
                name = f"spline, {options.joint} jointly"
                start = time.perf_counter()
                try:
                    maps = fit_spline([(c.dcfi, c.slow) for c in cases])
                except DistortionError as refusal:
                    errors[name].append(f"seed {seed}: {refusal}")
                    continue
                seconds[name].append((time.perf_counter() - start) / options.joint)
                errors[name] += [error_of(m, c) for m, c in zip(maps, cases, strict=True)]
        report(size, errors, seconds)


if __name__ == "__main__":
    main()
