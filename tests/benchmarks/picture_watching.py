"""Take a picture of the stemscale page in the Dask dashboard, in the midst of a real run.

    python tests/benchmarks/picture_watching.py [FILTER] [OUT.png] [--width 1280]

Simulates three fields of view of 64 frames, calibrates them, filters them (by nlm, or by a filter
file) and has Chromium take the picture once the last one is half done.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from stemscale import calibrate, ingest, simulate, status
from stemscale.pipeline import SeriesStatus

FRAMES, SIZE = 64, 256


def stemscale(*words: object) -> list[str]:
    return [sys.executable, "-m", "stemscale_cli.app", *map(str, words)]


def watched(store: Path) -> list[SeriesStatus]:
    return [s for s in status(store) if s.name == "watched"]


def link_of(store: Path) -> str:
    """Wait until the run tells where its page is."""
    while True:
        for series in watched(store):
            if series.driver and series.driver.get("dashboard"):
                return str(series.driver["dashboard"])
        time.sleep(0.2)


def take(store: Path, out: Path, width: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": width, "height": 1045})
        tab.goto(link_of(store))
        while sum(s.done for s in watched(store)) < 2.5 * FRAMES:
            tab.wait_for_timeout(200)
        tab.wait_for_timeout(1500)
        tab.screenshot(path=out)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("filter", nargs="?", default="nlm")
    parser.add_argument("out", nargs="?", type=Path, default=Path("watching.png"))
    parser.add_argument("--width", type=int, default=1280)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        raw, store = Path(temporary) / "microscope", Path(temporary) / "run.zarr"
        manifest = simulate(raw, fovs=3, frames=FRAMES, size=SIZE)
        ingest(store, manifest=manifest, block=4)  # the usual blocks of 128 would be too few
        calibrate(store)
        words = ("process", store, "--filter", options.filter, "--name", "watched")
        run = subprocess.Popen(stemscale(*words))
        try:
            take(store, options.out, options.width)
        finally:
            run.terminate()
            run.wait()


if __name__ == "__main__":
    main()
