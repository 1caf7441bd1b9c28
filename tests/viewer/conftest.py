"""One browser for all tests of the viewer, and tabs that are watched."""

import os
import re
import shutil
import time

import pytest
from viewer.builders import in_situ, served

_HERE = re.compile(r"(http|ws)://127\.0\.0\.1:\d+/|data:|blob:")


class Tab:
    """A page of the viewer as somebody uses it."""

    def __init__(self, page, url):
        self.page, self.asked, self.wrong = page, [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        page.goto(url)
        self.until("document.body.dataset.drawn >= 1")
        self.settle()

    def until(self, condition, timeout=60_000):
        self.page.wait_for_function(condition, timeout=timeout)

    def settle(self):
        """Wait until nothing new is drawn any more; longer where others want the machine, too."""
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
        before = -1
        while before != (before := self.drawn):
            self.page.wait_for_timeout(250 * min(12, max(1, waiting)))

    @property
    def drawn(self):
        return int(self.page.evaluate("document.body.dataset.drawn"))

    @property
    def frame(self):
        return int(self.page.evaluate("document.body.dataset.frame"))

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()
        self.settle()

    def key(self, name):
        self.page.keyboard.press(name)
        self.settle()

    def choose(self, title, label):
        self.page.get_by_label(title, exact=True).select_option(label=label)
        self.settle()

    def text(self):
        """All that can be read on the page: its parts lie in shadow trees."""
        return self.page.evaluate(
            "() => { const all = r => [...r.querySelectorAll('*')].flatMap("
            "e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);"
            " return all(document).filter(e => e.matches('p, h1, h2') && e.offsetParent)"
            ".map(e => e.innerText).join('\\n'); }"
        )

    def box(self, name):
        return self.page.locator(f".bk-Figure.{name}").bounding_box()

    def at(self, name, x, y):
        box = self.box(name)
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, name, start, stop):
        """Drag in a plot, from one place to another, each (x, y) as parts of its size."""
        mouse = self.page.mouse
        (x0, y0), (x1, y1) = self.at(name, *start), self.at(name, *stop)
        mouse.move(x0, y0)
        mouse.down()
        for step in range(1, 6):
            mouse.move(x0 + (x1 - x0) * step / 5, y0 + (y1 - y0) * step / 5)
        mouse.up()
        self.settle()

    def pixels(self, name):
        """Mean grey of a plot, and the colours in it."""
        canvas = self.page.locator(f".bk-Figure.{name}").locator("canvas").first
        return canvas.evaluate(
            "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " const found = new Set(); let sum = 0, hash = 0; for (let i = 0; i < d.length; i += 4)"
            " { found.add(d[i] + ',' + d[i + 1] + ',' + d[i + 2]); sum += d[i];"
            " hash = (hash * 31 + d[i]) | 0 } return [sum / d.length * 4, [...found], hash]; }"
        )

    def pull(self, name, at, by):
        """Drag a handle of a slider by some pixels."""
        handle = self.page.locator(f".{name} .noUi-handle").nth(at).bounding_box()
        x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + by, y, steps=5)
        self.page.mouse.up()
        self.settle()

    def looks(self, *names):
        """What the plots show, to be compared."""
        return {name: self.pixels(name)[2] for name in names}

    def dark(self, name):
        """Whether a plot shows an image, not hatching and a word: a part of it is dark."""
        return sum(int(c.split(",")[0]) < 60 for c in self.pixels(name)[1]) > 20

    def eventually(self, condition, timeout=60):
        """Wait until something holds."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < timeout
            self.page.wait_for_timeout(100)

    def check(self):
        """Nothing is complained of, and nobody but this machine was asked."""
        assert self.wrong == []
        assert [url for url in self.asked if not _HERE.match(url)] == []


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens tabs; what they complain of fails the test at its end."""
    tabs = []

    def open_tab(url, *, width=1280, height=1200):
        tabs.append(Tab(browser.new_page(viewport={"width": width, "height": height}), url))
        return tabs[-1]

    yield open_tab
    for tab in tabs:
        tab.check()
        tab.page.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An in-situ series with all there is, and a FOV with nothing but frames."""
    return in_situ(tmp_path_factory.mktemp("viewer") / "situ.zarr")


@pytest.fixture(scope="module")
def url(store):
    with served(store) as address:
        yield address
