import base64
import hashlib
import re
import shutil

import numpy as np
import pytest
import zarr
from reports.builders import (
    add_calibration,
    add_dcfi,
    add_filtered,
    add_fov,
    add_summary,
    counts,
    frame_coordinates,
    new_store,
    put,
    scene,
)

from stemscale.errors import SettingsError, StoreError
from stemscale.reports import report
from stemscale.reports import report as write_report

LOADS = re.compile(r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']?(?!data:|#)[^"'>\s]+""")


def page_of(store, **options):
    return write_report(store, **options).read_text(encoding="utf-8")


def whole_store(path):
    """Two trained FOVs and one held out, all with everything."""
    store = new_store(path, history="2026-01-01 stemscale 0.1: ingest\n2026-01-02 process")
    for i, use in enumerate(("train", "train", "test")):
        fov = f"fov0{i + 1}"
        add_fov(store, fov, use=use, seed=i, temperature=use == "test")
        add_calibration(store, fov, seed=i)
        add_dcfi(store, fov, seed=i)
        card = {"architecture": {"name": "unet"}, "recipe": {"epochs": 3}}
        add_filtered(store, fov, seed=i, trained_on=use == "train", filter_card=card)
    fovs, filters = ["fov01", "fov02", "fov03"], ["rapid", "dcfi", "dlf"]
    add_summary(
        store,
        fovs,
        filters,
        n_frames=[[3, 1, 3]] * 3,
        psnr_mean=[[14.0, 15, 18], [14, 15, 18], [14, 15, 16.5]],
        psnr_std=[[0.1, 0, 0.2]] * 3,
        psnr_truth_mean=[[25.8, 31.9, 31.6]] * 3,
        psnr_truth_std=[[0.1, 0, 0.2]] * 3,
        lag_tail_mean=[[0.34, 0.32, 0.05]] * 3,
        trained=[[0, 0, 1], [0, 0, 1], [0, 0, 0]],
    )
    return store


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    store = whole_store(tmp_path_factory.mktemp("whole") / "steel.zarr")
    path = write_report(store)
    assert path == store.with_name("steel.html")
    return path


@pytest.fixture(scope="module")
def page(page_file):
    return page_file.read_text(encoding="utf-8")


def test_a_page_shows_all_that_a_store_holds(page):
    """Rows Q2, Q4, C6: images side by side, PSNR table, spectra, distortion, provenance."""
    assert page.count("<h3>fov0") == 3
    assert page.count('class="view crop"') == 3 * 4  # rapid, DCFI, dlf, slow
    assert "10 nm" in page or "20 nm" in page  # 64 px of 2.1 nm = 134.4 nm; 30 % = 40 nm
    assert "16.50 ± 0.20" in page
    assert "+2.50 dB (+18%)" in page  # 16.5 over 14.0 dB
    assert "31.60 ± 0.20" in page
    assert "Held-out FOVs" in page
    assert "FOVs that a filter was trained on" in page
    assert "PSNR against time and temperature" in page
    assert "Distortion of the rapid scan" in page
    assert "2026-01-02 process" in page
    assert "&#34;epochs&#34;: 3" in page
    assert "10.1038/s41598-022-17360-3" in page
    shown = re.findall(r'<figure class="plot" id="([^"]+)"', page)
    of_images = ("contours", "fourier", "line_profile", "spectrum")
    assert shown == [
        *(f"{name}-{fov}" for fov in ("fov03", "fov01", "fov02") for name in of_images),
        "psnr",
        "frames-fov03",
        "series-fov03",
        "distortion-fov01",
        "distortion_all",
    ]
    assert page.count("As Fig. 4b of the paper") == 3


def test_the_distortion_of_the_fov_that_agrees_best_is_shown_whole(tmp_path):
    """Fig. 1a to c and 7d: images before and after, profiles, the map."""
    store = new_store(tmp_path / "a.zarr")
    for fov, score in (("fov01", 0.7), ("fov02", 0.9)):
        add_fov(store, fov)
        add_calibration(store, fov, zncc_after=score)
    page = page_of(store)
    section = page[page.index("<h2>Distortion of the rapid scan") : page.index("<h2>Fields of")]
    shown = re.findall(r'<figure class="plot" id="([^"]+)"', section)
    assert shown == ["distortion-fov02", "distortion_all"]  # the map of all FOVs as well
    assert "<strong>Distortion of fov02.</strong>" in section
    assert "0.900" in section


def test_one_calibration_needs_no_figure_of_all(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    add_calibration(store, std=False)
    page = page_of(store)
    section = page[page.index("<h2>Distortion of the rapid scan") : page.index("<h2>Fields of")]
    assert section.count('<figure class="plot"') == 1


def test_images_of_a_distortion_that_cannot_be_read_are_told(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    add_calibration(store)
    zarr.open_group(store)["fov01/calibration/source_x"][:] += 500  # beyond the rapid frames
    page = page_of(store)
    assert "Distortion of the rapid scan" in page
    assert "fov01: no picture of its distortion: DistortionError: the map shows no place" in page


def test_held_out_fovs_are_shown_first_and_marked(page):
    shown = re.findall(r"<h3>(fov\d+)</h3>", page)
    assert shown == ["fov03", "fov01", "fov02"]
    assert page.count("held out of training") == 1
    assert page.count('class="tag trained"') == 2


def test_the_headline_says_what_a_filter_gained_on_held_out_fovs(page):
    (block,) = re.findall(r'<ul class="headline">(.*?)</ul>', page, re.DOTALL)
    dcfi, dlf = re.findall(r"<li>(.*?)</li>", block)
    assert dcfi.startswith("DCFI: 1.0 dB above")
    assert dlf == (
        "dlf: 2.5 dB above the rapid frames (+18%) on held-out FOVs, "
        "+5.8 dB against the truth, smear 0.05 (rapid 0.34)"
    )


def test_the_page_is_one_file_that_loads_nothing(page):
    assert LOADS.findall(page) == []
    assert page.count("<script") == 1  # our own; the browser takes it by its hash, and no other
    script = page[page.index("<script>") + 8 : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src" in page
    assert f"'sha256-{digest}'" in page
    assert "@import" not in page
    assert "url(" not in page
    assert len(page) < 20_000_000


def test_text_of_the_store_is_escaped_and_cut(tmp_path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    store = new_store(tmp_path / "a.zarr", history=f"{evil}\n{'x' * 10_000}\n\x00\x1b[31m")
    add_fov(store, use=evil)
    add_calibration(store, method=evil, estimated_on="y" * 10_000, carried_over=True)
    add_filtered(
        store,
        filter=evil + "z" * 10_000,
        state=evil,
        filter_card={"note": evil, "long": "w" * 10_000, "$": "$x^2$"},
        history=evil,
    )
    zarr.open_group(store, path="fov01/slow").attrs.update({"relation": evil})
    page = page_of(store)
    assert page.count("<script") == 1  # our own
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    for letter in "xyzw":
        assert letter * 7000 not in page
    assert "\x00" not in page
    assert "\x1b" not in page


def test_group_names_that_no_stemscale_writes_do_no_harm(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    for name in ("_$hidden$", "µ <b>"):
        add_fov(store, name)
        add_calibration(store, name)
        add_filtered(store, name, name="$_^{")
    page = page_of(store)
    assert "<b>" not in page
    assert "µ &lt;b&gt;" in page


def test_scores_that_need_no_slow_scan_are_shown_without_one(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store, slow=False)
    add_filtered(store, psnr=None, psnr_rapid=None)
    add_summary(store, ["fov01"], ["rapid", "dlf"], n_frames=[[0, 3]], upsnr_mean=[[np.nan, 29.3]])
    page = page_of(store)
    assert "No slow scan in this store" in page
    assert "PSNR to the slow scan" not in page
    assert "FOVs without a slow scan" in page
    assert "29.3" in page


@pytest.mark.parametrize("slow", [True, False])
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("filtered", [True, False])
def test_a_store_in_any_state_gets_a_page(tmp_path, slow, calibrated, filtered):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store, slow=slow)
    if calibrated:
        add_calibration(store, dcfi=slow)
    if filtered:
        add_filtered(store) if slow else add_filtered(store, psnr=None, psnr_rapid=None)
    page = page_of(store)
    assert ("No slow scan in this store" in page) == (not slow)
    assert ("Distortion of the rapid scan" in page) == calibrated
    assert ("no scores yet" in page) == (slow and not filtered)
    assert ("without a calibration" in page) == (filtered and not calibrated)


@pytest.mark.parametrize("shape", [(16, 16), (1, 40), (40, 3), (200, 40), (90, 700)])
def test_images_of_any_shape_fit(tmp_path, shape):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store, shape=shape, n_frames=2)
    add_dcfi(store, shape=shape)
    add_filtered(store, shape=shape, n_frames=2)
    page = page_of(store)
    assert f"{shape[1]} × {shape[0]} px" in page


def test_without_a_pixel_size_there_is_no_scale_bar(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store, pixel_size_nm=None)
    page = page_of(store)
    assert 'class="bar"' not in page
    assert "/px (period" in page
    assert "not known" in page


def test_unseen_pixels_and_whole_float_data_can_be_shown(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    frames = np.stack([counts(scene((48, 64)), noise=0.3, seed=i) for i in range(3)]).astype("f4")
    frames[:, :, -9:] = np.nan
    add_fov(store, dtype=np.float32)
    coords = frame_coordinates(3)
    attrs = {"filter": "none", "state": "complete"}
    put(
        store,
        "fov01/filtered/plain",
        {"frames": (("frame", "y", "x"), frames)},
        coords=coords,
        attrs=attrs,
    )
    put(
        store,
        "fov01/filtered/never",
        {"frames": (("frame", "y", "x"), frames * np.nan)},
        coords=coords,
        attrs={**attrs, "filter": "x.safetensors"},
    )
    page = page_of(store)
    assert "float32" in page
    assert "<figcaption><strong>rapid</strong>" in page
    assert "<figcaption><strong>never</strong>" not in page


def test_failures_and_gaps_are_named(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store, n_frames=5)
    add_filtered(store, n_frames=5, status=[1, 1, 2, 3, 0])
    zarr.open_group(store, path="fov01/rapid").attrs.update({"state": "partial"})
    add_fov(store, "fov02", slow=False)
    page = page_of(store)
    assert "fov01/dlf: failed: 1 frame (2)" in page
    assert "fov01/dlf: damaged input: 1 frame (3)" in page
    assert "fov01/dlf: 1 of 5 frames not done yet" in page
    assert "fov01: the rapid frames were not ingested to the end" in page
    assert "no slow scan, hence no PSNR: fov02" in page
    assert "dlf: partial, 2 of 5, 2 failed" in page


def test_no_name_means_all_fields_of_view_as_everywhere(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    add_filtered(store)
    page = page_of(store, fovs=[], filters=[])
    assert "fov01" in page
    assert "dlf" in page


def test_many_fovs_are_shown_in_part_and_listed_in_whole(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    for i in range(8):
        add_fov(store, f"fov{i}", shape=(16, 16), n_frames=1)
    page = page_of(store)
    assert page.count("<h3>fov") == 6
    assert "2 more fields of view" in page
    assert all(f'<td class="name">fov{i}</td>' in page for i in range(8))


def test_the_page_replaces_an_older_one_and_leaves_nothing_else(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    output = tmp_path / "pages" / "page.html"
    output.parent.mkdir()
    output.write_text("old")
    assert report(store, output) == output
    assert "stemscale" in output.read_text(encoding="utf-8")
    assert [p.name for p in output.parent.iterdir()] == ["page.html"]


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path):
    store = tmp_path / "a.zarr"
    with pytest.raises(SettingsError, match="is a folder"):
        write_report(store, tmp_path)
    with pytest.raises(SettingsError, match="no folder"):
        write_report(store, tmp_path / "none" / "page.html")
    new_store(store)
    with pytest.raises(SettingsError, match="lies in the store"):
        write_report(store, store / "page.html")
    with pytest.raises(StoreError):
        write_report(store)
    assert not (tmp_path / "a.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize("width", [800, 1280, 1920])
def test_a_browser_shows_the_page_whole_and_asks_nobody(page_file, width):
    """All pictures decode, nothing is wider than the window, nothing but the file is loaded."""
    from playwright.sync_api import sync_playwright

    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: asked.append(str(error)))
        tab.goto(page_file.as_uri())
        broken = tab.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
        overflow = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        cut = tab.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => e.innerText.slice(0, 40))"
        )
        browser.close()
    assert broken == 0
    assert overflow <= 0
    assert [a for a in asked if not a.startswith(("data:", "file:"))] == []
    if width >= 1280:
        assert cut == []
