"""The viewer as a real browser draws it, and as a user handles it."""

import numpy as np
import pytest
import zarr
from growing import Grower
from viewer.builders import N_FRAMES, in_situ, numbered, served

pytestmark = pytest.mark.browser

PANELS = ("recorded", "corrected", "filtered", "slow")


def test_all_images_of_a_frame_stand_side_by_side_with_their_titles(url, opened):
    tab = opened(url)
    said = tab.text()
    for words in ("as recorded", "corrected", "filtered: live", "slow scan"):
        assert words in said
    assert "frame 0 · 14.00 dB" in said  # the corrected rapid frame
    assert "frame 0 · 16.00 dB" in said  # the filtered one
    assert "taken after the series" in said
    assert f"frame 0 · {N_FRAMES} frames\n0.00 s · 90.0 °C" in said
    boxes = [tab.box(name) for name in PANELS]
    assert len({round(box["y"]) for box in boxes}) == 1
    assert len({round(box["width"]) for box in boxes}) == 1
    for name in PANELS:
        assert len(tab.pixels(name)[1]) > 50  # greys
    assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_the_slider_and_the_keys_show_another_frame(url, opened):
    tab = opened(url)
    before = tab.looks(*PANELS)
    tab.key("ArrowRight")
    tab.key("ArrowRight")
    assert tab.frame == 2
    assert "frame 2 · 16.20 dB" in tab.text()
    after = tab.looks(*PANELS)
    assert {n for n in PANELS if before[n] != after[n]} == {"recorded", "corrected", "filtered"}
    tab.pull("frame", 0, 2000)
    assert tab.frame == N_FRAMES - 1
    tab.key("Home")
    tab.eventually(lambda: tab.looks(*PANELS) == before)


def test_rows_run_downwards_and_frames_are_those_of_the_store(tmp_path, opened):
    with served(numbered(tmp_path / "s.zarr")) as url:
        tab = opened(url)
        tab.press("Auto")
        canvas = tab.page.locator(".bk-Figure.recorded canvas").first
        top, bottom = canvas.evaluate(
            "c => [0.1, 0.8].map(y => c.getContext('2d').getImageData("
            "c.width / 2, y * c.height, 1, 1).data[0])"
        )
        assert top < bottom  # the ramp of the builder grows with the row
        greys = [tab.pixels("recorded")[0]]
        for _ in range(3):
            tab.key("ArrowRight")
            greys.append(tab.pixels("recorded")[0])
        assert greys[0] < greys[1] <= greys[2] <= greys[3]


def test_play_goes_on_frame_by_frame_until_it_is_stopped(url, opened):
    tab = opened(url)
    tab.page.get_by_role("button", name="▶ Play").click()
    tab.until("document.body.dataset.frame >= 3")
    assert "frames/s" in tab.text()
    tab.page.keyboard.press(" ")
    tab.settle()
    stopped = tab.frame
    assert 3 <= stopped < N_FRAMES
    tab.page.wait_for_timeout(500)
    assert tab.frame == stopped
    tab.page.get_by_role("button", name="▶ Play").click()
    tab.until(f"document.body.dataset.frame == {N_FRAMES - 1}")
    tab.page.get_by_role("button", name="▶ Play").wait_for()  # it stops at the end by itself


def test_a_click_on_the_trace_goes_there(url, opened):
    tab = opened(url)
    tab.page.mouse.click(*tab.at("trace", 0.5, 0.5))
    tab.settle()
    assert 4 <= tab.frame <= 7
    assert {"213,94,0", "0,114,178"} <= set(tab.pixels("trace")[1])  # temperature, filtered


def test_another_filter_and_another_fov_can_be_chosen(url, opened):
    tab = opened(url)
    before = tab.pixels("filtered")[2]
    tab.choose("filter", "soft")
    assert "filtered: soft" in tab.text()
    assert "12.00 dB" in tab.text()
    assert tab.pixels("filtered")[2] != before
    tab.choose("field of view", "fov02")
    tab.eventually(lambda: "frame 0 · 3 frames" in tab.text())
    assert "slow scan" not in tab.text()  # no panel of what is not there
    assert tab.page.locator(".bk-Figure.slow").is_hidden()
    assert len(tab.pixels("recorded")[1]) > 50
    tab.choose("field of view", "fov01")
    tab.eventually(lambda: "filtered: live" in tab.text())


def test_a_line_that_is_dragged_is_read_in_all_images(url, opened):
    tab = opened(url)
    tab.press("Line profile")
    before = tab.pixels("profile")[2]
    tab.drag("filtered", (0.1, 0.2), (0.9, 0.8))
    assert tab.pixels("profile")[2] != before
    assert "0,114,178" in tab.pixels("profile")[1]
    for name in PANELS:
        assert "230,159,0" in tab.pixels(name)[1]  # the line, in every image
    view = tab.pixels("slow")[2]
    tab.press("Line profile")  # closed again, dragging pans
    tab.drag("filtered", (0.4, 0.4), (0.6, 0.6))
    assert "230,159,0" not in tab.pixels("slow")[1]
    panned = tab.pixels("slow")[2]
    assert panned != view
    tab.press("Whole view")
    assert tab.pixels("slow")[2] != panned


def test_zooming_one_image_zooms_all(url, opened):
    tab = opened(url)
    before = tab.looks(*PANELS)
    tab.page.mouse.move(*tab.at("recorded", 0.5, 0.5))
    tab.page.mouse.wheel(0, -600)
    tab.settle()
    zoomed = tab.looks(*PANELS)
    assert all(zoomed[name] != before[name] for name in PANELS)
    tab.page.mouse.dblclick(*tab.at("slow", 0.5, 0.5))
    tab.settle()
    tab.eventually(lambda: tab.looks(*PANELS) == before)


def test_the_divider_of_the_swipe_follows_the_mouse(url, opened):
    tab = opened(url)
    tab.press("Swipe")
    middle = tab.pixels("swipe")[0]
    tab.choose("left of the divider", "slow scan")
    tab.drag("swipe", (0.5, 0.5), (0.9, 0.5))
    mostly_slow = tab.pixels("swipe")[2]
    tab.drag("swipe", (0.9, 0.5), (0.1, 0.5))
    assert tab.pixels("swipe")[2] != mostly_slow
    assert middle > 0


def test_the_spectra_have_wave_numbers(url, opened):
    tab = opened(url)
    tab.press("FFT")
    assert len(tab.pixels("left")[1]) > 50
    before = tab.pixels("right")[2]
    tab.choose("right", "slow scan")
    assert tab.pixels("right")[2] != before


def test_contrast_is_shared_and_comes_back(url, opened):
    tab = opened(url)
    before = tab.looks(*PANELS)
    tab.pull("contrast", 0, 40)
    assert all(tab.pixels(name)[2] != before[name] for name in PANELS)
    tab.press("Auto")
    tab.eventually(lambda: tab.looks(*PANELS) == before)


def test_each_tab_has_a_state_of_its_own(url, opened):
    one, other = opened(url), opened(url)
    one.key("End")
    other.choose("filter", "soft")
    assert (one.frame, other.frame) == (N_FRAMES - 1, 0)
    assert "filtered: live" in one.text()


def test_new_frames_come_while_the_page_is_open(tmp_path, opened):
    path = tmp_path / "s.zarr"
    rng = np.random.default_rng(0)
    frames = rng.integers(100, 1000, (12, 24, 32))
    with Grower(path) as grower:
        grower.add(frames[:4])
        with served(path) as url:
            tab = opened(url)
            assert "frame 0 · 4 frames" in tab.text()
            assert "growing" in tab.text()
            grower.add(frames[4:6])
            tab.page.get_by_text("· 6 frames").wait_for(timeout=10_000)
            assert tab.frame == 0  # it stays where somebody looks
            tab.press("Follow newest")
            assert tab.frame == 5
            grower.add(frames[6:12])
            tab.until("document.body.dataset.frame == 11")


def test_frames_that_are_missing_or_damaged_are_said_so(tmp_path, opened):
    path = in_situ(tmp_path / "s.zarr")
    group = zarr.open_group(path, path="fov01/filtered/live", mode="r+")
    group.attrs["state"] = "partial"
    group["frame_status"][1:4] = [0, 2, 3]
    damaged = path / "fov01/rapid/frames/c/5/0/0"
    content = bytearray(damaged.read_bytes())
    damaged.write_bytes(content[: len(content) // 2])
    with served(path) as url:
        tab = opened(url)
        assert tab.dark("filtered")
        for frame in range(1, 4):
            tab.key("ArrowRight")
            assert tab.frame == frame
            assert not tab.dark("filtered")
            assert tab.dark("recorded")
        tab.key("ArrowRight")
        tab.key("ArrowRight")
        assert not tab.dark("recorded")
        assert tab.dark("filtered")
        tab.key("ArrowRight")
        assert tab.dark("recorded")  # and the rest goes on


_SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("label", [_SCRIPT, "x" * 10_000], ids=["script", "long"])
def test_what_a_store_says_of_itself_does_nothing(tmp_path, opened, label):
    path = in_situ(tmp_path / "s.zarr", label=label)
    zarr.open_group(path, path="fov01/rapid", mode="r+").attrs["detector"] = label
    zarr.open_group(path, path="fov01", mode="r+").attrs["use"] = label
    with served(path) as url:
        tab = opened(url)
        assert "filtered: live" in tab.text()
        assert tab.page.locator("img[src=x]").count() == 0
        assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        tab.page.goto("about:blank")
