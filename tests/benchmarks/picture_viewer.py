"""Take a picture of the viewer.

    python tests/benchmarks/picture_viewer.py STORE [OUT.png] [--width 1280] [--frame 120]
        [--panes Swipe "Line profile" FFT]

STORE is best an in-situ series that was filtered.
"""

from __future__ import annotations

import argparse
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

from PIL import Image, ImageColor
from playwright.sync_api import sync_playwright

import stemscale

NO_DITHER = Image.Dither.NONE
COLOURS = [  # of the page
    "#e69f00",
    "#d55e00",
    "#0072b2",
    "#e3f0f8",
    "#00486f",
    "#8a8f98",
    "#5a6372",
    "#1d2330",
]


def take(url: str, options: argparse.Namespace) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": options.width, "height": options.height})
        tab.goto(url)
        tab.wait_for_function("document.body.dataset.drawn >= 1")
        for pane in options.panes:
            tab.get_by_role("button", name=pane).click()
        frame = options.frame
        tab.evaluate(f"Bokeh.documents[0].get_model_by_name('frame').value = {frame}")
        tab.wait_for_function(f"document.body.dataset.frame == {frame}")
        tab.wait_for_timeout(4000)
        tab.screenshot(path=options.out)
        browser.close()
    few = Image.open(options.out).convert("RGB").quantize(palette=_palette(), dither=NO_DITHER)
    few.save(options.out, optimize=True)


def _palette() -> Image.Image:
    """Greys and the colours of the page: a quarter of the bytes, and nothing is lost to the eye."""
    colours = [ImageColor.getrgb(c) for c in COLOURS] + [
        (round(g * 255 / 63),) * 3 for g in range(64)
    ]
    found = Image.new("P", (1, 1))
    found.putpalette([v for colour in colours for v in colour])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("out", nargs="?", type=Path, default=Path("viewer.png"))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1130)
    parser.add_argument("--frame", type=int, default=120)
    parser.add_argument("--panes", nargs="*", default=["Swipe", "Line profile", "FFT"])
    options = parser.parse_args()
    stop, address = threading.Event(), Future[str]()
    words = {"browser": False, "ready": address.set_result, "stop": stop}
    server = threading.Thread(target=stemscale.view, args=(options.store,), kwargs=words)
    server.start()
    try:
        take(address.result(60), options)
    finally:
        stop.set()
        server.join()


if __name__ == "__main__":
    main()
