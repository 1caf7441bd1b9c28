"""How fast and how small `stemscale ingest` is, beside the plainest loop that does the same.

    .venv/bin/python tests/benchmarks/bench_ingest.py [--frames 2000] [--rounds 3] [--folder DIR]

Every run is a process of its own; the kinds take turns, so that a busy machine slows all alike.
With --codecs: a table of codecs instead (ratio, MB/s, ms to read one frame).
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

sys.path.insert(0, str(Path(__file__).parents[1]))

SIZE, BLOCK = 512, 32


def make_frames(n: int, rng: np.random.Generator) -> np.ndarray:
    """Frames as noisy as a rapid scan's: about 10 bit of a 16-bit detector."""
    y, x = np.mgrid[:SIZE, :SIZE]
    scene = 3000 + 1500 * np.sin(x / 40) * np.cos(y / 55)
    return rng.normal(scene, 250, (n, SIZE, SIZE)).clip(0, 65535).astype(np.uint16)


def make_velox(path: Path, n_frames: int) -> None:
    """Write a series in the layout of Velox, with metadata for every frame."""
    from velox_files import PAGE_BYTES, velox_page

    frames = make_frames(16, np.random.default_rng(0))
    with h5py.File(path, "w") as file:
        group = file.create_group("Data/Image/0")
        data = group.create_dataset("Data", (SIZE, SIZE, n_frames), "u2", chunks=(SIZE, SIZE, 1))
        texts = group.create_dataset(
            "Metadata", (PAGE_BYTES, n_frames), "u1", chunks=(PAGE_BYTES, 1)
        )
        for i in range(n_frames):
            frame = np.roll(frames[i % 16], i, axis=0)
            data.id.write_direct_chunk((0, 0, i), frame.tobytes())
            text = json.dumps(velox_page(i)).encode().ljust(PAGE_BYTES, b"\0")
            texts.id.write_direct_chunk((0, i), text)


def plain_loop(source: Path, target: Path) -> None:
    """Read with h5py, write the same codec and shards with zarr; nothing else."""
    with h5py.File(source) as file:
        data = file["Data/Image/0/Data"]
        n_y, n_x, n = data.shape
        array = zarr.create_array(
            target / "frames",
            shape=(n, n_y, n_x),
            dtype=data.dtype,
            chunks=(1, n_y, n_x),
            shards=(BLOCK, n_y, n_x),
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()],
            fill_value=0,
        )
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            array[start:stop] = np.stack([data[:, :, i] for i in range(start, stop)])


def run_kind(kind: str, source: Path, target: Path) -> None:
    """Do one kind of run in this process, and print what it took."""
    if kind != "plain":  # what is measured is the work, not the imports
        import stemscale.ingestion
    began = time.perf_counter()
    if kind == "plain":
        plain_loop(source, target)
    else:
        stemscale.ingestion.ingest(target / "s.zarr", source, fov="big", workers=int(kind))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": took, "peak_mb": peak}))


def compare(folder: Path, n_frames: int, rounds: int) -> None:
    """Let the kinds take turns."""
    source = folder / "big.emd"
    make_velox(source, n_frames)
    megabytes = n_frames * SIZE * SIZE * 2 / 1e6
    kinds = {"plain": "plain loop", "1": "stemscale ingest", "2": "stemscale ingest --workers 2"}
    found: dict[str, list[dict[str, float]]] = {k: [] for k in kinds}
    for turn in range(rounds + 1):
        for kind in kinds:
            target = folder / "out"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            command = [sys.executable, __file__, "--kind", kind, str(source), str(target)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if turn:  # the first round warms the page cache
                found[kind].append(json.loads(done.stdout))
    print(f"{n_frames} x {SIZE} x {SIZE} uint16, {megabytes:.0f} MB, median of {rounds}")
    plain = statistics.median(r["seconds"] for r in found["plain"])
    for kind, words in kinds.items():
        seconds = statistics.median(r["seconds"] for r in found[kind])
        peak = max(r["peak_mb"] for r in found[kind])
        print(
            f"{words:30} {seconds:6.2f} s {megabytes / seconds:6.0f} MB/s "
            f"{plain / seconds:5.2f} x plain, peak {peak:4.0f} MB"
        )


CODECS = {
    "none": [],
    "zstd-3": [ZstdCodec(level=3)],
    "blosc-lz4-5 shuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
    "blosc-lz4-5 bitshuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")],
    "blosc-zstd-1 bitshuffle": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
    "blosc-zstd-5 bitshuffle": [BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle")],
}


def codec_table(folder: Path, n_frames: int) -> None:
    """Tell what codecs cost and save, on noisy 16-bit frames and on 8 bit in 16."""
    rng = np.random.default_rng(0)
    noisy = make_frames(n_frames, rng)
    kinds = {"noisy 10 bit": noisy, "8 bit in uint16": (noisy >> 5).astype(np.uint16)}
    print(f"{n_frames} frames of {SIZE} x {SIZE} uint16, shards of {BLOCK}, crc32c after each")
    print(
        f"{'codec':26}{'frames':18}{'ratio':>6}{'write MB/s':>12}{'read MB/s':>11}{'ms/frame':>10}"
    )
    for name, codecs in CODECS.items():
        for kind, frames in kinds.items():
            target = folder / "codec.zarr"
            shutil.rmtree(target, ignore_errors=True)
            array = zarr.create_array(
                target,
                shape=frames.shape,
                dtype=frames.dtype,
                chunks=(1, SIZE, SIZE),
                shards=(BLOCK, SIZE, SIZE),
                compressors=[*codecs, Crc32cCodec()],
                fill_value=0,
            )
            megabytes = frames.nbytes / 1e6
            began = time.perf_counter()
            for start in range(0, n_frames, BLOCK):
                array[start : start + BLOCK] = frames[start : start + BLOCK]
            wrote = time.perf_counter() - began
            began = time.perf_counter()
            for start in range(0, n_frames, BLOCK):
                array[start : start + BLOCK]
            read = time.perf_counter() - began
            began = time.perf_counter()
            for i in range(0, n_frames, 8):
                array[i]
            one = (time.perf_counter() - began) / len(range(0, n_frames, 8))
            on_disk = sum(f.stat().st_size for f in target.rglob("*") if f.is_file()) / 1e6
            print(
                f"{name:26}{kind:18}{megabytes / on_disk:6.2f}{megabytes / wrote:12.0f}"
                f"{megabytes / read:11.0f}{one * 1e3:10.2f}"
            )


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--codecs", action="store_true")
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        run_kind(given.kind, *given.paths)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.codecs:
            codec_table(Path(folder), min(given.frames, 256))
        else:
            compare(Path(folder), given.frames, given.rounds)


if __name__ == "__main__":
    main()
