"""The page, as a real browser draws it while a real run goes on; and who listens meanwhile."""

import re
import shutil
import subprocess
import time
from urllib.request import urlopen

import psutil
import pytest
from dashboard.builders import SERIES, running, scrape, wait_for

import stemscale
from stemscale.dashboard import recent_rate
from stemscale.store import AcquisitionStore

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def listeners(pid):
    """Addresses on which a process and all that it started listen, as the system has them."""
    me = psutil.Process(pid)
    family = {me.pid, *(child.pid for child in me.children(recursive=True))}
    if shutil.which("ss"):
        said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in said.splitlines()]
        return [
            row[3].rpartition(":")[0].strip("[]")
            for row in rows
            if family & {int(found) for found in re.findall(r"pid=(\d+)", row[-1])}
        ]
    found = [c for pid in family for c in psutil.Process(pid).net_connections()]
    return [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN]


def test_whoever_is_not_on_this_machine_finds_nothing_open(long_store, tmp_path):
    with running(long_store, tmp_path) as (_, process, link):
        wait_for(lambda: scrape(link))  # all are there
        found = listeners(process.pid)
        assert len(found) >= 5  # scheduler, dashboard, and each worker and its nanny
        assert set(found) <= {"127.0.0.1", "::1"}
        assert urlopen(link).status == 200
        (said,) = [s for s in stemscale.status(tmp_path / "run.zarr") if s.name == "x"]
        assert said.driver["dashboard"] == link


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        yield started
        started.close()


def opened(browser, url, *, width=1280, height=1100):
    """Open a page; give it, all that it asked for, and all that it complains of."""
    asked, wrong = [], []
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: asked.append(socket.url))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.goto(url)
    return tab, asked, wrong


def tile(tab, name):
    """What stands under a name, without the small print."""
    return tab.locator(f".facts div:has(dt:text-is('{name}')) dd").inner_text().split("\n")[0]


def tiles(tab, *names):
    """Whole numbers that stand under names at one moment."""
    found = dict(
        zip(
            *tab.evaluate(
                "() => { const all = (r, s) => [...r.querySelectorAll('*')].flatMap(e => [...(e"
                ".matches(s) ? [e] : []), ...(e.shadowRoot ? all(e.shadowRoot, s) : [])]);"
                " return ['.facts dt', '.facts dd'].map(s => all(document, s).map("
                "e => e.innerText.split('\\n')[0])); }"
            ),
            strict=True,
        )
    )
    return [int(found[name].replace(",", "")) for name in names]


def inked(tab, n):
    """Colours that a plot shows, as a rough measure of whether anything is drawn."""
    canvas = tab.locator(".bk-Figure").nth(n).locator("canvas").first
    return canvas.evaluate(
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " const found = new Set(); for (let i = 0; i < d.length; i += 4)"
        " if (d[i + 3]) found.add(d[i] + ',' + d[i + 1] + ',' + d[i + 2]); return [...found]; }"
    )


@pytest.mark.browser
def test_the_page_draws_and_has_the_figures_of_the_ledger(long_store, tmp_path, browser):
    with running(long_store, tmp_path) as (store, process, link):
        wait_for(lambda: scrape(link).get(("stemscale_frames_done_total", SERIES), 0) >= 320)
        tab, asked, wrong = opened(browser, link)  # late, with the run in its midst
        tab.locator(".facts dd").first.wait_for()
        tab.wait_for_timeout(2500)
        rate, now = float(tile(tab, "frames/s")), time.time()
        done, left, failed = tiles(tab, "done", "left", "failed")
        ledger = AcquisitionStore(store).ledger(SERIES)
        times = ledger.commit_times()
        commits = sorted((when, 4) for when in times.values() if when <= now)
        assert rate == pytest.approx(recent_rate(commits, now), rel=0.05)
        span = commits[-1][0] - commits[0][0]  # counted otherwise
        assert rate == pytest.approx(4 * (len(commits) - 1) / span, rel=0.1)
        assert done == pytest.approx(4 * len(commits), abs=rate * 2)
        assert (failed, done + left) == (0, 1600)
        assert tab.locator("h1").inner_text().startswith("run.zarr")
        for plot, colour in ((0, "0,114,178"), (1, "138,143,152")):  # filter; rapid frames
            assert colour in inked(tab, plot)
        assert (
            tab.evaluate(
                "() => { const all = r => [...r.querySelectorAll('*')].flatMap("
                "e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);"
                " return all(document).filter(e => e.tagName == 'IMG' && e.src.startsWith('data:'))"
                ".map(i => [i.naturalWidth, i.naturalHeight, i.width == i.height]); }"
            )
            == [[64, 64, True]] * 2
        )
        assert tab.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert wrong == []
        assert process.poll() is None
    away = re.compile(r"(http|ws)://127\.0\.0\.1:\d+/|data:|blob:")
    assert [url for url in asked if not away.match(url)] == []
    assert any(url.startswith("ws:") for url in asked)


@pytest.mark.browser
def test_the_performance_report_opens_without_the_network(long_store, tmp_path, browser):
    report = tmp_path / "run.html"
    with running(long_store, tmp_path, "--performance-report", report, filter="gaussian") as (
        _,
        process,
        _,
    ):
        wait_for(lambda: process.poll() is not None)
        assert process.returncode == 0, process.stderr.read()
    tab, asked, wrong = opened(browser, report.as_uri())
    tab.get_by_text("Dask Performance Report").wait_for()
    tab.get_by_text("number of tasks: 400").wait_for()
    tab.get_by_text("process --filter gaussian --name x").wait_for()
    tab.get_by_text("Task Stream", exact=True).click()
    tab.wait_for_timeout(500)
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert [p.name for p in tmp_path.glob(".*tmp")] == []
