import re

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from reports.builders import add_calibration, add_fov, new_store

from stemscale.errors import SettingsError, StoreError
from stemscale.reports import check_plot, plot_corrections
from stemscale.reports.corrected_fov import read_correction
from stemscale.reports.plots.correction_figure import correction_figure
from stemscale.reports.style import figure_style
from stemscale.views.store_view import read_store

STARTS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def store(tmp_path):
    """Two FOVs with a map of their own, one that it was carried over to, and one without."""
    path = new_store(tmp_path / "s.zarr")
    for i, fov in enumerate(("fov01", "fov02", "fov03", "fov04")):
        add_fov(path, fov, slow=fov != "fov03", seed=i)
    add_calibration(path, "fov01", zncc_before=0.5, zncc_after=0.7)
    add_calibration(path, "fov02", zncc_before=0.6, zncc_after=0.9, seed=1)
    add_calibration(path, "fov03", dcfi=False, carried_over=True, estimated_on="fov01 fov02")
    return path


def texts(store, fov=0):
    view = read_store(store)
    with figure_style():
        figure = correction_figure(read_correction(view, view.fovs[fov]))
        return "\n".join(t.get_text() for t in figure.findobj(Text))


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_ending_chooses_the_format_and_equal_data_give_equal_files(store, tmp_path, ending):
    output = tmp_path / f"map{ending}"
    output.write_text("old")
    assert plot_corrections(store, output, fovs=["fov01"]) == output
    first = output.read_bytes()
    assert first.startswith(STARTS[ending])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([output.name, "s.zarr"])
    plot_corrections(store, output, fovs=["fov01"])
    assert output.read_bytes() == first


def test_a_picture_is_large_enough_to_print_and_not_empty(store, tmp_path):
    with Image.open(plot_corrections(store, tmp_path / "map.png")) as picture:
        assert picture.width >= 1800
        assert np.asarray(picture.convert("L")).std() > 20


def test_a_pdf_has_a_page_for_each_calibrated_fov(store, tmp_path):
    whole = plot_corrections(store, tmp_path / "map.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", whole)) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("map.gif", r"ends in \.gif.*\.png, \.svg, \.pdf"),
        ("map", r"has no ending.*\.png"),
        ("none/map.png", "no folder"),
        ("s.zarr/map.png", "lies in the store"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_the_work(tmp_path, name, words):
    store = tmp_path / "s.zarr"
    store.mkdir()  # and nothing in it, which is found out later
    assert check_plot(store, tmp_path / "map.PNG") == tmp_path / "map.PNG"
    for refuse in (check_plot, plot_corrections):
        with pytest.raises(SettingsError, match=words):
            refuse(store, tmp_path / name)


def test_without_a_calibration_there_is_nothing_to_draw(store, tmp_path):
    with pytest.raises(StoreError, match="no calibration to draw"):
        plot_corrections(store, tmp_path / "map.png", fovs=["fov04"])
    assert not (tmp_path / "map.png").exists()


def test_every_panel_says_what_it_shows(store):
    found = texts(store, 1)
    for words in (
        "fov02",
        "method: spline",
        "average of 3 frames (DCFI)",
        "(ZNCC) 0.600 → 0.900",
        "a  before correction",
        "b  after correction",
        "rapid scan",
        "slow scan",
        "c  corrected − slow scan",
        "before correction, mean of rows",
        "position along the scan line [nm]",
        "f  distortion",
        "±2σ",
        "uncertainty, r.m.s. 0.2 px",
        "[nm]",
        "local stretch",
        "column of the corrected image [px]",
        "20 nm",  # the scale bar, of 48 px of 2.1 nm
    ):
        assert words in found, words


def test_strips_have_no_uncertainty_and_that_is_told(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store)
    add_calibration(store, std=False, method="strips")
    found = texts(store)
    assert "The method (strips) gives no uncertainty." in found
    assert "±2σ" not in found


def test_a_map_carried_over_is_drawn_and_told(store):
    found = texts(store, 2)
    assert "carried over to this one" in found
    assert "No slow scan to compare with." in found
    assert "ZNCC" not in found
    assert "f  distortion" in found


def test_without_a_pixel_size_all_is_in_pixels(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, pixel_size_nm=None)
    add_calibration(store)
    found = texts(store)
    assert "position along the scan line [px]" in found
    assert "nm" not in found


def test_a_wide_view_is_measured_in_micrometres(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, pixel_size_nm=50.0)
    add_calibration(store)
    assert "position along the scan line [µm]" in texts(store)


def test_images_that_cannot_be_read_leave_the_map(store):
    for chunk in (store / "fov02/rapid/frames/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    assert "The images cannot be read." in texts(store, 1)


@pytest.mark.parametrize("shape", [(10, 50), (24, 24), (200, 40), (30, 300)])
def test_views_of_any_shape_are_drawn(tmp_path, shape):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, "_$hidden$", shape=shape)
    add_calibration(store, "_$hidden$", shape=shape, method="$x^$")
    assert plot_corrections(store, tmp_path / "map.png").exists()
