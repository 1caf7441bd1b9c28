"""Through which library stores are kept in an object store: obstore, or fsspec's s3fs.

    python tests/benchmarks/bench_object_store.py [--rounds N]

Starts a real S3 server on loopback and makes the requests of a ledger (small objects) and of blocks
(shards of 32 frames of 512 x 512) through both, turn by turn. Needs the package s3fs as well.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from objectstore.server import BUCKET, s3_server

from stemscale.store import ObjectPath

SHARD = np.random.default_rng(0).integers(0, 2**16, 4 * 2**20, dtype="uint16").tobytes()
RECORD = b"{}" * 500


def requests(key: str) -> dict[str, dict[str, Callable[[], object]]]:
    """Give each request as each library makes it."""
    import s3fs

    ours = ObjectPath(f"s3://{BUCKET}/{key}")
    theirs = s3fs.S3FileSystem(
        endpoint_url=os.environ["AWS_ENDPOINT_URL"], use_listings_cache=False
    )
    at = f"{BUCKET}/{key}"
    return {
        "put a record": {
            "obstore": lambda: (ours / "record").write_bytes(RECORD),
            "s3fs": lambda: theirs.pipe_file(f"{at}/record", RECORD),
        },
        "get a record": {
            "obstore": lambda: (ours / "record").read_bytes(),
            "s3fs": lambda: theirs.cat_file(f"{at}/record"),
        },
        "is it there": {
            "obstore": lambda: (ours / "record").is_file(),
            "s3fs": lambda: theirs.isfile(f"{at}/record"),
        },
        "put a shard": {
            "obstore": lambda: (ours / "shard").write_bytes(SHARD),
            "s3fs": lambda: theirs.pipe_file(f"{at}/shard", SHARD),
        },
        "get a shard": {
            "obstore": lambda: (ours / "shard").read_bytes(),
            "s3fs": lambda: theirs.cat_file(f"{at}/shard"),
        },
        "list 1,000": {
            "obstore": lambda: sum(1 for _ in (ours / "many").walk()),
            "s3fs": lambda: len(theirs.find(f"{at}/many")),
        },
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        os.environ.update(server.environment)
        many = ObjectPath(f"s3://{BUCKET}/bench/many")
        for i in range(1000):
            (many / f"{i:08d}.json").write_bytes(RECORD)
        print(f"{'':14s}{'obstore':>10s}{'s3fs':>10s}   [ms], medians of {rounds}")
        for name, both in requests("bench").items():
            took: dict[str, list[float]] = {library: [] for library in both}
            for _ in range(rounds):
                for library, ask in both.items():
                    began = time.perf_counter()
                    ask()
                    took[library].append(time.perf_counter() - began)
            shown = "".join(f"{1e3 * statistics.median(t):10.2f}" for t in took.values())
            print(f"{name:14s}{shown}")


if __name__ == "__main__":
    main()
