"""Filter frames with a LiberTEM UDF around a network, for `bench_process.py`.

    python -m venv libertem && libertem/bin/pip install libertem torch
    python tests/benchmarks/bench_process.py --only libertem --libertem libertem/bin/python

Runs in an environment of its own, which knows nothing of stemscale: the network comes traced. The
result stays in memory, as UDFs leave it. Prints frames/s as JSON: of the inline executor, with all
threads for torch, and of the Dask executor with one thread for each of its workers.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import libertem.api as lt
import numpy as np
import torch
from libertem.udf import UDF


class FilterFrames(UDF):  # type: ignore[misc]
    """Pass each frame through the network."""

    def get_result_buffers(self) -> dict[str, Any]:
        shape = tuple(self.meta.dataset_shape.sig)
        return {"frames": self.buffer(kind="nav", extra_shape=shape, dtype="float32")}

    def get_task_data(self) -> dict[str, Any]:
        if self.params.threads:
            torch.set_num_threads(self.params.threads)
        return {"network": torch.jit.load(self.params.network).eval()}

    def process_frame(self, frame: np.ndarray) -> None:
        values = np.asarray(frame, dtype=np.float32)[None, None] / 20000 - 1
        with torch.inference_mode():
            found = self.task_data.network(torch.from_numpy(values))
        self.results.frames[:] = found[0, 0].numpy()


def rate(context: lt.Context, options: argparse.Namespace, threads: int) -> float:
    data = context.load("npy", path=options.frames, sig_dims=2)
    udf = FilterFrames(network=options.network, threads=threads)
    best = 0.0
    for _ in range(options.rounds + 1):  # the first one warms up
        began = time.perf_counter()
        context.run_udf(dataset=data, udf=udf)
        best = max(best, int(np.prod(data.shape.nav)) / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", help="(frame, y, x), .npy")
    parser.add_argument("network", help="traced by torch")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with lt.Context.make_with("inline") as context:
        inline = rate(context, options, options.workers)
    with lt.Context.make_with(cpus=options.workers, gpus=0) as context:
        on_dask = rate(context, options, 1)
    print(json.dumps({"inline": inline, "dask": on_dask}))


if __name__ == "__main__":
    main()
