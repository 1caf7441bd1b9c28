"""Events as drivers and workers send them, and runs of the real command to be watched."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from stemscale.dashboard import block_made, given_up, run_started
from stemscale.store import ledger_root

SERIES = "fov01/filtered/x"


def start(
    run="a", *, frames=40, block=8, done=0, failed=0, store="/s.zarr", names=(SERIES,), **more
):
    series = [
        {
            "series": name,
            "frames": frames,
            "block": block,
            "done": done,
            "failed": failed,
            "fingerprint": "f",
        }
        for name in names
    ]
    return (
        run_started(run=run, store=store, label="x", client=f"client of {run}", series=series)
        | more
    )


def made(block, run="a", *, of=40, size=8, series=SERIES, psnr=20.0, status="done", **more):
    first, last = block * size, min(of, block * size + size)
    scores = [] if psnr is None else [psnr] * (last - first)
    return block_made(
        run=run,
        series=series,
        block=block,
        start=first,
        stop=last,
        status=status,
        seconds={"read": 1.0, "write": 0.5},
        psnr=scores,
        psnr_rapid=scores,
        **more,
    )


def lost(block, run="a", *, of=40, size=8, series=SERIES):
    frames = min(of, block * size + size) - block * size
    return given_up(run=run, series=series, block=block, frames=frames, reason="no such luck")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def scrape(link):
    """All samples of stemscale on the /metrics of a scheduler, by name and labels."""
    url = link.rpartition("/")[0] + "/metrics"
    text = urlopen(url).read().decode()
    return {
        (sample.name, *(v for k, v in sample.labels.items() if k != "store")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("stemscale_")
    }


@contextmanager
def running(scene, folder, *more, filter="nlm"):
    """Run `process` as a user does, on a copy of a store; give store, process and link."""
    store = folder / "run.zarr"
    shutil.copytree(scene, store)
    words = ["process", store, "--filter", filter, "--name", "x", "--workers", "2", *more]
    code = "from stemscale_cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    try:
        yield store, process, link_of(store, process)
    finally:
        process.kill()
        process.communicate()


def link_of(store, process=None):
    """Wait until the lease of a run names its page, as `status` tells it."""
    lease = ledger_root(store) / SERIES / "lease.json"
    until = time.monotonic() + 90
    while True:
        assert time.monotonic() < until
        assert process is None or process.poll() is None, process.stderr.read()
        found = json.loads(lease.read_text()) if lease.is_file() else {}
        if found.get("dashboard"):
            return found["dashboard"]
        time.sleep(0.1)


def wait_for(condition, seconds=90):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found
