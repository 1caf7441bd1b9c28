"""The pages, built as `make docs` does but for the notebook's run, as a real browser shows them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.docs, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built with warnings as errors."""
    out = tmp_path_factory.mktemp("site")
    quick = ["-D", "nb_execution_mode=off"]
    words = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-W", "--keep-going", "-n", "-q"]
    where = ["-d", out / "doctrees", ROOT / "docs", out / "html"]
    done = subprocess.run([*words, *quick, *where], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "html"


def pages(site):
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


def test_every_link_within_the_pages_leads_somewhere(site):
    names = {}
    for page in pages(site):
        names[page] = set(re.findall(r'\bid="([^"]+)"', page.read_text()))
    for page in pages(site):
        for link in re.findall(r'href="([^"]+)"', page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = re.sub(r"\?[^#]*", "", link).partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            assert target.exists(), (page.name, link)
            if anchor and target in names:
                assert unquote(anchor) in names[target], (page.name, link)


def test_every_verb_and_every_command_has_its_place(site):
    import stemscale
    from stemscale_cli.app import app

    python = (site / "reference" / "python.html").read_text()
    for name in set(stemscale.__all__) - {"__version__"}:
        assert f'id="stemscale.{name}"' in python, name
    commands = (site / "reference" / "commands.html").read_text()
    for command in app.registered_commands:
        assert f'id="stemscale-{command.callback.__name__}"' in commands, command


@pytest.mark.browser
def test_no_page_asks_for_anything_from_elsewhere_or_runs_over_its_edge(site):
    from playwright.sync_api import sync_playwright

    asked, wrong = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        for page in pages(site):
            tab.goto(page.as_uri(), wait_until="domcontentloaded")
            over = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, page.name
        tab.goto((site / "science.html").as_uri())
        assert tab.locator("math").count() > 20
        assert tab.locator("math").first.bounding_box()["width"] > 20
        browser.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
