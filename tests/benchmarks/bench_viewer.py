"""Time the viewer in a real browser: how long a frame takes to be seen, and a store to open.

    python tests/benchmarks/bench_viewer.py [STORE] [--changes 50] [--frames 2000] [--size 512]

A change of the frame is timed in the page, from the moved slider to the second animation frame
after all images have arrived, when they are on the screen; frames are far apart, so that none was
read before. Without STORE, a series of that many noisy frames is made, with a filtered series and a
slow scan; its opening is timed from the address to all images on the screen, with the server
running, and from the command.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from stemscale.acquisition import ScanSettings
from stemscale.corrections import Calibration, save_calibration
from stemscale.distortion import DistortionMap
from stemscale.store import AcquisitionStore, block_bounds, frames_per_block

FOV = "fov01"
_CHANGE = """async ([count, step, pause]) => {
  const slider = Bokeh.documents[0].get_model_by_name("frame"), body = document.body.dataset
  const found = []
  for (let i = 0; i < count; i++) {
    const to = (slider.value + step) % slider.end
    const began = performance.now()
    slider.value = to
    await new Promise((done) => {
      const look = () => body.frame == String(to) ? done() : setTimeout(look, 1)
      look()
    })
    found.push(performance.now() - began)
    await new Promise((done) => setTimeout(done, pause))
  }
  return found
}"""


def make_store(path: Path, n_frames: int, size: int) -> Path:
    """A calibrated series whose frames repeat after 16: noise, packed as real frames are."""
    store = AcquisitionStore.create(path)
    settings = ScanSettings(
        n_y=size, n_x=size, pixel_size_nm=2.0, dwell_time_ns=100, flyback_time_us=25
    )
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    clean = 20000 - 6000 * np.exp(-((((x - 0.3 * y) % 64 - 32) / 2.5) ** 2))
    block = frames_per_block(n_frames, size, size)
    for group, noise in ((f"{FOV}/rapid", 400), (f"{FOV}/filtered/live", 10)):
        some = rng.poisson(clean / noise, (16, size, size)) * noise
        frames = some.clip(1, 65535).astype(np.uint16)
        array = _lay_out(store, group, settings, n_frames, block)
        for index in range(array.n_blocks):
            start, stop = block_bounds(index, n_frames, block)
            array.write(index, frames[np.arange(start, stop) % 16])
    store.group(f"{FOV}/slow")
    store.write_image(f"{FOV}/slow", "image", clean.astype(np.uint16), {"units": "counts"})
    store.set_attrs(f"{FOV}/slow", {"pixel_size_nm": 2.0, "relation": "same"})
    calibration = Calibration(
        distortion=DistortionMap(
            source_x=(np.arange(size) - 12 * np.exp(-np.arange(size) / 40))[None],
            source_y=(np.arange(size) + 0.3)[:, None],
            rapid_shape=(size, size),
        ),
        rapid=settings,
        pixel_ratio=1.0,
        method="known",
        source=FOV,
    )
    save_calibration(store, FOV, calibration, dcfi=None, shifts=None, attrs={})
    store.consolidate()
    return path


def _lay_out(
    store: AcquisitionStore, group: str, settings: ScanSettings, n_frames: int, block: int
) -> Any:
    import xarray as xr

    from stemscale.acquisition import frame_coordinates

    coordinates: Any = frame_coordinates(settings, {}, n_frames)
    score = ("frame", np.full(n_frames, 20.0), {"units": "dB"})
    variables = {"psnr": score, "psnr_rapid": score} if "filtered" in group else {}
    attrs = {"state": "complete", "filter": "live"}
    return store.create_frames(
        FOV,
        group,
        xr.Dataset(variables, coords=coordinates, attrs=attrs),
        settings,
        n_frames=n_frames,
        dtype=np.dtype(np.uint16),
        with_fill="filtered" in group,
        long_name="frames",
        block=block,
    )


@contextmanager
def served(store: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "stemscale_cli.app", "view", str(store), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def opening(page: Page, url: str) -> float:
    """Seconds from the address to all images on the screen."""
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_function("document.body.dataset.drawn >= 1", polling=5)
    return time.perf_counter() - began


def report(words: str, seconds: list[float]) -> None:
    ms = 1e3 * np.array(seconds)
    print(
        f"{words:44} median {np.median(ms):7.1f} ms, 95 % {np.quantile(ms, 0.95):7.1f} ms, "
        f"longest {ms.max():7.1f} ms",
        flush=True,
    )


def measure(store: Path, options: argparse.Namespace) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        page = browser.new_page(viewport={"width": options.width, "height": 1000})
        began = time.perf_counter()
        with served(store) as url:
            opening(page, url)
            print(f"from the command to the first picture {time.perf_counter() - began:.2f} s")
            page.wait_for_timeout(4000)
            report("opening, server running", [opening(page, url) for _ in range(5)])
            page.wait_for_timeout(1000)
            for words, panes in (("frame change", ()), ("with profile", ("Line profile",))):
                for pane in panes:
                    page.get_by_role("button", name=pane).click()
                page.wait_for_timeout(1000)
                found = page.evaluate(_CHANGE, [options.changes, 37, 100])
                report(f"{words}, {options.width} px wide", [ms / 1e3 for ms in found])
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--width", type=int, default=1280)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = options.store or make_store(
            Path(scratch) / "long.zarr", options.frames, options.size
        )
        measure(store, options)


if __name__ == "__main__":
    main()
