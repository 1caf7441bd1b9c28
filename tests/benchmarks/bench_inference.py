"""Compare filtering with the fastest plain torch loop over the same network, and with sgemm.

    python tests/benchmarks/bench_inference.py [--size 512] [--frames 16] [--rounds 5]
        [--threads N] [--device cpu] [--paper-size 256]

For each network: ``plain`` is the quickest of loops of batch 1, 2 and 4 over normalised tensors
that are on the device already, with and without channels_last; ``stemscale`` is `denoise_frames`,
from counts to counts, with all that it checks. Rounds alternate, so that other load hits both;
their medians count. FLOP/s are those of the convolutions, counted by torch, against torch's
product of two large matrices in float32 (sgemm).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from stemscale.denoising import Filter, denoise_frames, find_recipe, series_scale
from stemscale.denoising.unet import UNet, UNetSettings

MATRIX = 2048


def timed(work: Callable[[], Any], device: str) -> float:
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def plain(network: UNet, frames: torch.Tensor, batch: int, layout: torch.memory_format) -> None:
    with torch.inference_mode():
        for start in range(0, len(frames), batch):
            network(frames[start : start + batch].contiguous(memory_format=layout))


def compare(name: str, settings: UNetSettings, size: int, options: argparse.Namespace) -> None:
    device = options.device
    torch.manual_seed(0)
    made = Filter(UNet(settings), {"normalisation": "series"})
    network = made.network_on(device)
    counts = np.random.default_rng(0).normal(9000, 2000, (options.frames, size, size))
    counts = counts.clip(0, 65535).astype(np.uint16)
    scale = series_scale(counts)
    ready = torch.from_numpy(counts[:, None].astype(np.float32) / 9000 - 1).to(device)
    left = torch.randn(MATRIX, MATRIX, device=device)
    layouts = {"": torch.contiguous_format, ", channels_last": torch.channels_last}
    works: dict[str, Callable[[], Any]] = {
        f"plain, batch {batch}{words}": lambda b=batch, m=layout: plain(network, ready, b, m)
        for batch in (1, 2, 4)
        for words, layout in layouts.items()
    }
    works["stemscale"] = lambda: denoise_frames(counts, made, scale=scale, device=device)
    works["sgemm"] = lambda: left @ left
    seconds: dict[str, list[float]] = {word: [] for word in works}
    for _ in range(options.rounds + 1):  # the first one warms up
        for word, work in works.items():
            seconds[word].append(timed(work, device))
    median = {word: float(np.median(times[1:])) for word, times in seconds.items()}
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(ready[:1])
    flop = counter.get_total_flops() * options.frames
    sgemm = 2 * MATRIX**3 / median.pop("sgemm")
    ours = median.pop("stemscale")
    fastest = min(median, key=lambda word: median[word])
    print(
        f"\n{name}, {options.frames} frames of {size} x {size}, {options.threads} threads, {device}"
    )
    for word, took in {**median, "stemscale": ours}.items():
        print(
            f"  {word:28} {options.frames / took:8.2f} frames/s {flop / took / 1e9:9.1f}"
            f" GFLOP/s {flop / took / sgemm:6.2f} of sgemm"
        )
    print(f"  stemscale is {median[fastest] / ours:.2f} of the fastest ({fastest})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--paper-size", type=int, default=256, help="of frames for `paper`")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=["standard", "width 16", "paper"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    paper = find_recipe("paper").network
    networks = {
        "standard": (find_recipe("standard").network, options.size),
        "width 16": (replace(paper, width=16), options.paper_size),
        "paper": (paper, options.paper_size),
    }
    for name, (settings, size) in networks.items():
        if options.only in (None, name):
            compare(name, settings, size, options)


if __name__ == "__main__":
    main()
