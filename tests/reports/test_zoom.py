"""The images of a field of view are magnified together, in a real browser."""

import shutil
import time

import pytest
from reports.builders import add_filtered, add_fov, new_store

from stemscale.reports import report as write_report

pytestmark = pytest.mark.browser

PART = """view => {
  const image = view.querySelector('img').getBoundingClientRect();
  const window = view.getBoundingClientRect();
  return [image.width / window.width, (window.left - image.left) / image.width,
          (window.top - image.top) / image.height];
}"""  # how often magnified, and where the part shown begins


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    store = new_store(tmp_path_factory.mktemp("zoom") / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(store, fov, shape=(64, 64))
        add_filtered(store, fov, shape=(64, 64))
    return write_report(store).as_uri()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser, page):
    errors = []
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text))
    tab.goto(page)
    tab.locator("section.fov").first.scroll_into_view_if_needed()
    yield tab
    tab.close()
    assert errors == []


def parts(tab, fov=0):
    views = tab.locator("section.fov").nth(fov).locator(".view.whole")
    return [[round(v, 3) for v in views.nth(i).evaluate(PART)] for i in range(views.count())]


def eventually(is_so):
    """Wait for what a browser does in its own time; the page's policy lets no test wait in it."""
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within five seconds")


def middle(tab, index=0):
    box = tab.locator(".view.whole").nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box


def test_the_wheel_magnifies_all_images_of_a_field_of_view_about_one_place(tab):
    x, y, box = middle(tab)
    tab.mouse.move(x, y)
    tab.mouse.move(box["x"] + box["width"] / 4, y)
    for _ in range(3):
        tab.mouse.wheel(0, -100)
    eventually(lambda: parts(tab)[0][0] > 1.9)
    shown = parts(tab)
    assert len(shown) == 3  # rapid, dlf, slow
    assert shown[0] == shown[1] == shown[2]
    scale, left, top = shown[0]
    assert scale == pytest.approx(1.25**3, abs=0.01)
    assert left + 0.25 / scale == pytest.approx(0.25, abs=0.01)  # under the pointer as before
    assert top + 0.5 / scale == pytest.approx(0.5, abs=0.01)
    assert {p[0] for p in parts(tab, 1)} == {1}  # another field of view keeps still


def test_the_wheel_scrolls_the_page_where_nothing_can_be_made_smaller(tab):
    x, y, _ = middle(tab)
    tab.mouse.move(x - 5, y)
    tab.mouse.move(x, y)
    before = tab.evaluate("scrollY")
    tab.mouse.wheel(0, 60)
    eventually(lambda: tab.evaluate("scrollY") == before + 60)
    tab.mouse.wheel(0, -60)  # nor does a page that is being scrolled stop at an image
    eventually(lambda: tab.evaluate("scrollY") == before)
    assert {p[0] for p in parts(tab)} == {1}


def test_an_image_is_dragged_within_its_borders(tab):
    x, y, box = middle(tab)
    tab.mouse.dblclick(x, y)
    assert parts(tab) == [pytest.approx([2, 0.25, 0.25], abs=0.003)] * 3
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - box["width"] / 5, y + 3 * box["height"])
    tab.mouse.up()
    assert parts(tab) == [pytest.approx([2, 0.35, 0], abs=0.003)] * 3
    tab.mouse.move(x, y)  # no button is down
    assert parts(tab) == [pytest.approx([2, 0.35, 0], abs=0.003)] * 3


def test_keys_magnify_move_and_go_back(tab):
    panels = tab.locator(".panels").first
    panels.focus()
    for _ in range(4):
        tab.keyboard.press("+")
    scale, left, _ = parts(tab)[0]
    assert scale == pytest.approx(1.25**4, abs=0.01)
    tab.keyboard.press("ArrowRight")
    assert parts(tab)[0][1] == pytest.approx(left + 0.1 / scale, abs=0.002)
    tab.keyboard.press("-")
    assert parts(tab)[0][0] == pytest.approx(1.25**3, abs=0.01)
    tab.keyboard.press("0")
    assert {tuple(p) for p in parts(tab)} == {(1, 0, 0)}


def test_two_fingers_magnify(tab):
    x, y, _ = middle(tab)
    tab.locator(".view.whole").first.evaluate(
        """(view, [x, y]) => {
          const finger = (type, id, dx) => view.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: 'touch', clientX: x + dx, clientY: y, bubbles: true }));
          view.setPointerCapture = () => {};
          finger('pointerdown', 1, -20); finger('pointerdown', 2, 20);
          finger('pointermove', 1, -40); finger('pointermove', 2, 40);
          finger('pointerup', 1, -40); finger('pointerup', 2, 40);
        }""",
        [x, y],
    )
    for scale, left, top in parts(tab):
        assert scale == pytest.approx(2, abs=0.02)
        assert (left, top) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.25, abs=0.02))


def test_the_button_appears_when_it_is_needed_and_shows_the_whole(tab):
    button = tab.locator("button.reset").first
    assert button.is_hidden()
    tab.mouse.dblclick(*middle(tab)[:2])
    assert button.is_visible()
    assert "2.0 ×" in button.inner_text()
    button.click()
    assert button.is_hidden()
    assert {tuple(p) for p in parts(tab)} == {(1, 0, 0)}


def test_the_scale_bar_keeps_to_the_magnified_image(tab):
    """64 px of 2.1 nm = 134.4 nm: 20 nm of it; at 8 times 16.8 nm: 5 nm of them."""
    bar = tab.locator(".view.whole .bar").first
    assert bar.inner_text() == "20 nm"
    for _ in range(3):
        tab.mouse.dblclick(*middle(tab)[:2])
    assert bar.inner_text() == "5 nm"
    share = bar.evaluate("b => b.getBoundingClientRect().width / b.parentElement.clientWidth")
    assert share == pytest.approx(5 / (134.4 / 8), abs=0.01)


def test_printed_all_that_is_folded_away_is_there_and_afterwards_folded_again(tab):
    closed = "document.querySelectorAll('details:not([open])').length"
    before = tab.evaluate(closed)
    assert before > 1  # the second field of view's figures, the filter's card
    tab.evaluate(f"addEventListener('beforeprint', () => {{ window.left = {closed}; }})")
    assert tab.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    assert tab.evaluate("window.left") == 0
    assert tab.evaluate(closed) == before


def test_without_scripts_the_page_is_whole(browser, page):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page)
    assert tab.locator(".view.whole img").count() == 6
    assert tab.locator("button.reset").first.is_hidden()
    assert tab.get_by_text("are magnified and moved together").is_hidden()
    context.close()
