"""Table all filters on simulated fields of view that no learned one has seen.

    python tests/benchmarks/bench_filters.py [--minutes 4] [--only NAME ...]

Data: the reference settings, ``--training`` FOVs of 20 frames, ``--test`` other ones of 50, one
microscope. The distortion is estimated and undone as in `calibrate` and `process`. Every learned
filter trains for ``--minutes`` on the same frames; the patches that it saw in that time stand
beside. From each test FOV four single frames are filtered (DCFI takes more, as it says), and scored
against the noise-free truth, with the measures of `stemscale.quality`:

Q1        PSNR against the slow scan, as in the paper [dB]
truth     PSNR against the truth, background removed, gain and offset matched [dB]; and over rapid
SSIM      structural similarity with the truth
coherent  wave number up to which Fourier ring correlation with the truth is 0.5 or more [1/µm]
Q5        wave number up to which the power spectrum follows the slow scan's [1/µm]
Q6        power of the vertical streak above the truth's [dB]
tail      share of the response along x that is more than 2 px late; its mean delay [px]
frames/s  on the threads given; parameters; peak memory above that before the data are there [MB]

Then the same for series in which structures move (``--moving``), for one frame in and for five; and
for views of ``--drawn`` microscopes, each of settings of its own, drawn as widely as those that the
shipped filters are trained on, by another seed (there, the truth stands in for the slow scan).
Every filter runs in a process of its own; ``bm3d`` needs the extra of that name, and CARE an
environment of its own (`peer_care.py`), named by ``--care``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]
Image = NDArray[np.float64]

PIXEL_NM = 2.1
SCORED = 4  # frames of each test FOV
_DRAWN_SEED = 1000  # far from that of the training
PEERS = ("CARE (CAREamics)",)


@dataclass(frozen=True, kw_only=True)
class Fov:
    """One FOV on the grid of its slow scan."""

    name: str
    frames: Frames  # (frame, y, x), corrected, drift undone; NaN = not seen
    slow: Image
    truth: Image  # (y, x), or (frame, y, x) of a scene that moves
    dcfi: Frames  # (n, y, x): of 20 and 50 frames

    def truth_of(self, index: int) -> Image:
        return self.truth if self.truth.ndim == 2 else self.truth[index]


# ---------------------------------------------------------------- data


def simulate(folder: Path, options: argparse.Namespace) -> None:
    """Write training, test and moving FOVs, corrected."""
    from stemscale.distortion import Warp, fit_spline, integrate_frames
    from stemscale.simulation import FieldOfView, preset_settings
    from stemscale.workflows.shipping.fovs import make_fov, read_scenes

    settings = preset_settings("reference")
    numbers = range(1, 1 + options.training + options.test)
    made = []
    for number in numbers:
        fov = FieldOfView(
            number,
            size=options.size,
            n_frames=20 if number <= options.training else 50,
            settings=settings,
            seed=options.seed,
            scan_seed=options.seed,
        )
        series = np.stack([fov.frame(i).counts for i in range(fov.n_frames)])
        made.append((series, integrate_frames([series]), fov.slow(), fov.truth()))
        print(f"simulated {number} of {len(numbers)}", file=sys.stderr, flush=True)
    maps = fit_spline([(average.image, slow) for _, average, slow, _ in made])
    for number, (found, one) in enumerate(zip(maps, made, strict=True)):
        series, average, slow, truth = one
        corrected = [
            Warp(found.shifted(float(dy), float(dx)))(frame[None])[0]
            for frame, (dy, dx) in zip(series, average.shifts, strict=True)
        ]
        few = integrate_frames([series[:20]]).image
        dcfi = Warp(found)(np.stack([few, average.image]))
        _save(folder / f"{number:02d}.npz", np.stack(corrected), slow, truth, dcfi)
    scenes = read_scenes()
    for number in range(options.drawn):
        made_fov = make_fov(_DRAWN_SEED + options.seed, number, scenes)
        clean = made_fov.target.astype(np.float64)
        _save(folder / f"drawn{number:02d}.npz", made_fov.frames, clean, clean, made_fov.frames[:2])
    for number in range(options.moving):
        fov = FieldOfView(
            100 + number,
            size=options.size,
            n_frames=options.moving_from + 9,
            settings=replace(settings, effects=settings.effects - {"distortion", "drift"}),
            seed=options.seed,
            scan_seed=options.seed,
            in_situ=True,
        )
        shown = [fov.frame(options.moving_from + i) for i in range(9)]
        frames = np.stack([f.counts for f in shown]).astype(np.float32)
        truth = np.stack([f.truth for f in shown])
        _save(folder / f"moving{number}.npz", frames, fov.slow(), truth, frames[:2])


def _save(file: Path, frames: Frames, slow: Image, truth: Image, dcfi: Frames) -> None:
    np.savez(file, frames=frames.astype(np.float32), slow=slow, truth=truth, dcfi=dcfi)


def load(file: Path) -> Fov:
    with np.load(file) as found:
        arrays = {name: found[name] for name in ("frames", "slow", "truth", "dcfi")}
        return Fov(name=file.stem, **arrays)


# ---------------------------------------------------------------- filters


@dataclass(frozen=True, kw_only=True)
class Made:
    """A filter that is ready: frames of a series, and which of them to filter."""

    apply: Callable[[Fov, list[int]], Frames]
    parameters: int | None = None
    patches: int | None = None
    seconds: float | None = None
    rate: float | None = None  # frames/s, where another process filtered


def rapid(training: list[Fov], options: argparse.Namespace) -> Made:
    return Made(apply=lambda fov, which: fov.frames[which])


def dcfi(place: int) -> Callable[[list[Fov], argparse.Namespace], Made]:
    return lambda training, options: Made(apply=lambda fov, which: fov.dcfi[[place]])


def classical(word: str) -> Callable[[list[Fov], argparse.Namespace], Made]:
    def make(training: list[Fov], options: argparse.Namespace) -> Made:
        from stemscale.denoising import apply_classical, tune_classical

        def apply(fov: Fov, which: list[int]) -> Frames:
            parameters = tuned.get(id(fov))
            if parameters is None:  # once a FOV, against its slow scan, as `process` does
                parameters = tune_classical(word, fov.frames[:4], fov.slow)
                tuned[id(fov)] = parameters
            return apply_classical(word, fov.frames[which], parameters)

        tuned: dict[int, Any] = {}
        return Made(apply=apply)

    return make


def learned(preset: str, target: str = "slow", **changes: Any) -> Callable[..., Made]:
    def make(training: list[Fov], options: argparse.Namespace) -> Made:
        from stemscale.denoising import (
            TrainingFov,
            denoise_frames,
            find_recipe,
            series_scale,
            train_filter,
        )

        recipe = find_recipe(preset)
        network = {k: v for k, v in changes.items() if hasattr(recipe.network, k)}
        others = {k: v for k, v in changes.items() if k not in network}
        recipe = replace(recipe, network=replace(recipe.network, **network), **others)
        fovs = [
            TrainingFov(
                name=str(i),
                frames=fov.frames,
                target=(fov.slow if target == "slow" else fov.dcfi[0]).astype(np.float32),
            )
            for i, fov in enumerate(training)
        ]
        made = train_filter(
            fovs, recipe=recipe, minutes=options.minutes, threads=options.threads, seed=0
        )

        def apply(fov: Fov, which: list[int]) -> Frames:
            scale = series_scale(fov.frames)
            half = recipe.network.frames_in // 2
            parts = []
            for i in which:
                first = max(0, i - half)
                part = fov.frames[first : i + half + 1]
                mine = slice(i - first, i - first + 1)
                parts.append(denoise_frames(part, made, scale=scale, which=mine))
            return np.concatenate(parts)

        return Made(
            apply=apply,
            parameters=sum(p.numel() for p in made.network.parameters()),
            patches=made.card["training"]["patches"],
            seconds=made.card["training"]["seconds"],
        )

    return make


def shipped(name: str) -> Callable[[list[Fov], argparse.Namespace], Made]:
    def make(training: list[Fov], options: argparse.Namespace) -> Made:
        from stemscale.denoising import denoise_frames, load_filter, series_scale
        from stemscale.shipped import find_filter

        found = load_filter(find_filter(name))

        def apply(fov: Fov, which: list[int]) -> Frames:
            return denoise_frames(fov.frames[which], found, scale=series_scale(fov.frames))

        trained = found.card["training"]
        return Made(
            apply=apply,
            parameters=sum(p.numel() for p in found.network.parameters()),
            patches=trained["patches"],
            seconds=trained["seconds"],
        )

    return make


def peer(training: list[Fov], options: argparse.Namespace) -> Made:
    """Train CAREamics' CARE in the environment named, which filters the test frames as well."""
    out = Path(options.cache) / "peer" / "care.npz"
    out.parent.mkdir(exist_ok=True)
    script = Path(__file__).with_name("peer_care.py")
    command = [options.care, script, options.cache, "--out", out, "--scored", SCORED]
    for key in ("training", "minutes", "threads"):
        command += [f"--{key}", getattr(options, key)]
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)
    with np.load(out) as found:
        outputs = {name: found[name] for name in found.files if name != "about"}
        about = json.loads(str(found["about"]))

    def apply(fov: Fov, which: list[int]) -> Frames:
        return outputs[fov.name][: len(which)]

    return Made(apply=apply, **about)


FILTERS: dict[str, Callable[..., Made]] = {
    "rapid": rapid,
    "gaussian": classical("gaussian"),
    "nlm": classical("nlm"),
    "bm3d": classical("bm3d"),
    "lag": classical("lag"),
    "DCFI, 20 frames": dcfi(0),
    "DCFI, 50 frames": dcfi(1),
    "DLF-DCFI, width 16": learned("paper", "dcfi", width=16),
    "DLF-Slow, width 16": learned("paper", width=16),
    "CARE (CAREamics)": peer,
    "standard": learned("standard"),
    "standard, 5 in": learned("standard", frames_in=5),
    "live": learned("live"),
    "shipped standard": shipped("standard"),
    "shipped live": shipped("live"),
}
MOVING = (
    "rapid", "CARE (CAREamics)", "standard", "standard, 5 in", "shipped standard", "shipped live"
)  # fmt: skip
DRAWN = ("rapid", "gaussian", "standard", "live", "shipped standard", "shipped live")


# ---------------------------------------------------------------- scores


def score(fov: Fov, index: int, frame: Frames) -> dict[str, float]:
    from stemscale.quality import (
        agreement_cutoff,
        coherence_cutoff,
        horizontal_profile,
        lag_tail,
        match_gain,
        psnr_paper,
        psnr_without_background,
        ssim,
        streak,
    )

    truth = fov.truth_of(index)
    tail = lag_tail(frame, truth)
    wave_number, reference = horizontal_profile(fov.slow, pixel_size_nm=PIXEL_NM)
    _, profile = horizontal_profile(match_gain(frame, fov.slow), pixel_size_nm=PIXEL_NM)
    return {
        "Q1": psnr_paper(frame, fov.slow),
        "truth": psnr_without_background(frame, truth),
        "SSIM": ssim(frame, truth),
        "coherent": coherence_cutoff(frame, truth, pixel_size_nm=PIXEL_NM),
        "Q5": agreement_cutoff(profile, reference, wave_number),
        "Q6": streak(frame, truth),
        "tail": tail.weight,
        "delay": tail.delay_px,
    }


def forget_peak() -> None:
    """Have the kernel begin anew with the peak: that of training is another matter."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) / 1e3


def run_one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Make one filter and score it; in a process of its own."""
    import torch

    torch.set_num_threads(options.threads)
    files = sorted(Path(options.cache).glob("[0-9][0-9].npz"))
    training = [load(f) for f in files[: options.training]]
    made = FILTERS[name](training, options)
    del training
    found: dict[str, Any] = {}
    sets = {"still": files[options.training :]}
    if name in MOVING:
        sets["moving"] = sorted(Path(options.cache).glob("moving*.npz"))
    if name in DRAWN:
        sets["drawn"] = sorted(Path(options.cache).glob("drawn*.npz"))
    forget_peak()
    seconds, filtered, before = 0.0, 0, peak_mb()
    for kind, of_kind in sets.items():
        scores = []
        for file in of_kind:
            fov = load(file)
            middle = len(fov.frames) // 2
            which = list(range(max(0, middle - SCORED // 2), middle + SCORED // 2))
            which = which[: len(fov.frames)]
            made.apply(fov, which[:1])  # tables, parameters
            began = time.perf_counter()
            outputs = made.apply(fov, which)
            seconds += time.perf_counter() - began
            filtered += len(outputs)
            scores += [score(fov, i, f) for i, f in zip(which, outputs, strict=False)]
        if scores:
            found[kind] = {k: float(np.nanmean([s[k] for s in scores])) for k in scores[0]}
    return {
        **found,
        "frames/s": made.rate or (filtered / seconds if seconds > 1e-3 else None),
        "parameters": made.parameters,
        "patches": made.patches,
        "seconds": made.seconds,
        "MB": peak_mb() - before,
    }


def show(kind: str, rows: dict[str, dict[str, Any]]) -> None:
    columns = ("Q1", "truth", "SSIM", "coherent", "Q5", "Q6", "tail", "delay")
    print(f"\n{kind}")
    print(
        f"{'':20} {'Q1':>6} {'truth':>6} {'+':>5} {'SSIM':>5} {'coh.':>5} {'Q5':>4} {'Q6':>5}"
        f" {'tail':>6} {'delay':>6} {'frames/s':>8} {'param.':>9} {'patches':>8} {'MB':>5}"
    )
    base = rows["rapid"][kind]["truth"] if "rapid" in rows else np.nan
    for name, row in rows.items():
        if kind not in row:
            continue
        q1, truth, ssim, coherent, q5, q6, tail, delay = (row[kind][c] for c in columns)
        rate, parameters, patches = (row[c] for c in ("frames/s", "parameters", "patches"))
        print(
            f"{name:20} {q1:6.2f} {truth:6.2f} {truth - base:5.2f} {ssim:5.3f} {coherent:5.1f}"
            f" {q5:4.0f} {q6:5.2f} {tail:6.3f} {delay:6.2f}"
            f" {'' if rate is None else f'{rate:.1f}':>8} {parameters or '':>9} {patches or '':>8}"
            f" {row['MB']:5.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--training", type=int, default=8, help="FOVs")
    parser.add_argument("--test", type=int, default=4, help="FOVs")
    parser.add_argument("--moving", type=int, default=2, help="in-situ FOVs; 0: none")
    parser.add_argument("--drawn", type=int, default=24, help="microscopes; 0: none")
    parser.add_argument("--moving-from", type=int, default=20, help="first frame that is shown")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each training")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=list(FILTERS), metavar="NAME")
    parser.add_argument("--care", metavar="PYTHON", help="of an environment with CAREamics")
    parser.add_argument("--cache", help="folder that keeps the data for the next run")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(options.one, options)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.cache = options.cache or scratch
        Path(options.cache).mkdir(parents=True, exist_ok=True)
        if not any(Path(options.cache).glob("*.npz")):
            simulate(Path(options.cache), options)
        rows: dict[str, dict[str, Any]] = {}
        for name in options.only or [n for n in FILTERS if options.care or n not in PEERS]:
            command = [sys.executable, __file__, "--one", name]
            for key in ("training", "minutes", "threads", "cache", "care"):
                value = getattr(options, key)
                command += [f"--{key}", str(value)] if value is not None else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                print(f"{name}: failed, see above", file=sys.stderr, flush=True)
                continue
            rows[name] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}: done", file=sys.stderr, flush=True)
        for kind in ("still", "moving", "drawn"):
            if any(kind in row for row in rows.values()):
                show(kind, rows)


if __name__ == "__main__":
    main()
