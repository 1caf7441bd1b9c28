"""Compare ways to run a filter's network: torch, torch.compile, ONNX Runtime, OpenVINO.

    python tests/benchmarks/bench_backends.py [--size 512] [--frames 24] [--rounds 5]
        [--threads 2] [--networks standard live] [--only torch compile onnx int8 openvino]

Every backend runs in a process of its own, in the environment of a worker (which keeps memory that
was freed; without it, torch is slower), on the same frames, one frame at a time; rounds alternate,
and the median counts. ``int8`` is ONNX Runtime after static quantisation of weights and activations
(calibrated on eight of the frames). ``error`` is the root mean square difference from torch's
result over the standard deviation of what the filter changes. sgemm is torch's product of two
matrices of 2048 x 2048 in float32, in the same rounds. Backends that are not installed, or need a
compiler that is not there, are left out, as it says. ``--networks`` takes names of presets
(untrained), of shipped filters with a leading ``=``, or filter files.
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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemscale.clusters.worker import MALLOC

BACKENDS = ("torch", "compile", "onnx", "int8", "openvino")
MATRIX = 2048
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def filter_of(name: str) -> Any:
    """A filter by preset, by shipped name (=name), or by file."""
    import torch

    from stemscale.denoising import Filter, UNet, find_recipe, load_filter
    from stemscale.shipped import find_filter

    if name.startswith("=") or name.endswith(".safetensors"):
        return load_filter(find_filter(name.removeprefix("=")))
    torch.manual_seed(0)
    recipe = find_recipe(name)
    network = UNet(recipe.network)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    return Filter(network.requires_grad_(False), {"normalisation": "series"})


def frames_of(size: int, count: int) -> NDArray[np.float32]:
    """Simulated frames, on the network's scale."""
    from stemscale.denoising import series_scale
    from stemscale.denoising.scaling import normalise
    from stemscale.simulation import FieldOfView, preset_settings

    fov = FieldOfView(1, size=size, n_frames=count, settings=preset_settings("reference"))
    counts = np.stack([fov.frame(i).counts for i in range(count)])
    return normalise(counts, series_scale(counts))


# ---------------------------------------------------------------- backends


def by_torch(filter: Any, threads: int, folder: Path, compiled: bool = False) -> Run:
    import torch

    torch.set_num_threads(threads)
    network = filter.network_on("cpu")
    forward = torch.compile(network.forward_padded) if compiled else network.forward_padded

    def run(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            tensor = torch.from_numpy(frame)[None, None]
            return forward(tensor.contiguous(memory_format=torch.channels_last))[0, 0].numpy()

    return run


def onnx_file(filter: Any, folder: Path) -> Path:
    from stemscale.denoising.onnx_file import export_onnx

    file = folder / "filter.onnx"
    if not file.is_file():
        export_onnx(filter, file)
    return file


def feed(frame: NDArray[np.float32]) -> dict[str, Any]:
    one = np.ones(1, dtype=np.float32)
    return {"frames": frame[None, None], "center": 0 * one, "spread": one}


def by_onnx(filter: Any, threads: int, folder: Path, file: Path | None = None) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(file or onnx_file(filter, folder)), options, providers=["CPUExecutionProvider"]
    )
    return lambda frame: session.run(None, feed(frame))[0][0]


def by_int8(filter: Any, threads: int, folder: Path) -> Run:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Some(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = [feed(f) for f in np.load(folder / "frames.npy")[:8]]

        def get_next(self) -> Any:
            return self._left.pop() if self._left else None

    ready, file = folder / "ready.onnx", folder / "int8.onnx"
    quant_pre_process(str(onnx_file(filter, folder)), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready),
        str(file),
        Some(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "ConvTranspose", "MaxPool"],
        per_channel=True,
        reduce_range=True,  # without VNNI, 8 bits overflow
    )
    return by_onnx(filter, threads, folder, file)


def by_openvino(filter: Any, threads: int, folder: Path) -> Run:
    import openvino

    core = openvino.Core()
    # Not brought to a fixed size, as advised for speed: 2026.4 then gives something else.
    model = core.read_model(onnx_file(filter, folder))
    hint = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads)}
    compiled = core.compile_model(model, "CPU", hint)
    return lambda frame: np.array(compiled(feed(frame))[0])[0]  # of a buffer that is used again


MAKERS: dict[str, Callable[..., Run]] = {
    "torch": by_torch,
    "compile": lambda *a: by_torch(*a, compiled=True),
    "onnx": by_onnx,
    "int8": by_int8,
    "openvino": by_openvino,
}


def serve(backend: str, name: str, threads: int, folder: Path) -> None:
    """Be one backend: a line in, its times out."""
    frames = np.load(folder / "frames.npy")
    run = MAKERS[backend](filter_of(name), threads, folder)
    result = np.stack([run(f) for f in frames[:4]])
    np.save(folder / f"{backend}.npy", result)
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for frame in frames:
            run(frame)
        spent = (time.perf_counter() - wall, time.process_time() - cpu)
        print(json.dumps([s / len(frames) for s in spent]), flush=True)


# ---------------------------------------------------------------- driver


def sgemm(threads: int) -> float:
    """GFLOP/s of a product of two matrices."""
    import torch

    torch.set_num_threads(threads)
    left = torch.randn(MATRIX, MATRIX)
    best = np.inf
    for _ in range(3):
        began = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - began)
    return float(2 * MATRIX**3 / best / 1e9)


def compare(name: str, options: argparse.Namespace) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = filter_of(name).network
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, options.size, options.size))
    gflop = counter.get_total_flops() / 1e9
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        frames = frames_of(options.size, options.frames)
        np.save(folder / "frames.npy", frames)
        processes = {}
        for backend in options.only:
            words = ["--serve", backend, "--networks", name, "--threads", options.threads]
            process = subprocess.Popen(
                [sys.executable, Path(__file__).resolve(), *map(str, words), "--folder", scratch],
                stdin=subprocess.PIPE,
                env={**os.environ, **{name: str(value) for name, value in MALLOC.items()}},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if not options.debug else None,
                text=True,
                cwd=scratch,  # where the quantiser leaves its files
            )
            if process.stdout.readline() != "ready\n":  # type: ignore[union-attr]
                process.kill()
                _, said = process.communicate()
                print(f"{backend}: left out: {(said or '').strip().splitlines()[-1:]}")
                continue
            processes[backend] = process
        spent: dict[str, list[list[float]]] = {b: [] for b in processes}
        product = []
        for _ in range(options.rounds):
            product.append(sgemm(options.threads))
            for backend, process in processes.items():
                process.stdin.write("go\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                spent[backend].append(json.loads(process.stdout.readline()))  # type: ignore[union-attr]
        for process in processes.values():
            process.communicate()
        truth = np.load(folder / "torch.npy") if "torch" in processes else None
        change = np.std(truth - frames[:4]) if truth is not None else np.nan
        print(
            f"\n{name}: {gflop:.2f} GFLOP a frame of {options.size} x {options.size}, "
            f"{options.threads} threads; sgemm {np.median(product):.0f} GFLOP/s"
        )
        print(f"  {'':10} {'ms':>7} {'frames/s':>9} {'of sgemm':>9} {'CPU ms':>7} {'error':>8}")
        for backend, rounds in spent.items():
            wall, cpu = (1e3 * float(np.median(times)) for times in zip(*rounds, strict=True))
            result = np.load(folder / f"{backend}.npy")
            error = np.nan if truth is None else np.sqrt(np.mean((result - truth) ** 2)) / change
            rate = gflop / wall * 1e3 / float(np.median(product))
            print(
                f"  {backend:10} {wall:7.1f} {1e3 / wall:9.1f} {rate:9.2f} {cpu:7.1f} {error:8.1e}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=["standard", "live"])
    parser.add_argument("--only", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--debug", action="store_true", help="show what backends say")
    parser.add_argument("--serve", choices=BACKENDS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.networks[0], options.threads, options.folder)
        return
    for name in options.networks:
        compare(name, options)


if __name__ == "__main__":
    main()
