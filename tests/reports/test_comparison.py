import re

import numpy as np
import pytest
from PIL import Image
from reports.builders import add_calibration, add_dcfi, add_filtered, add_fov, new_store

from stemscale.errors import SettingsError, StoreError
from stemscale.reports import write_comparison


def test_the_picture_has_a_panel_for_every_image(tmp_path):
    """Fig. 3 of the paper: rapid, DCFI, filtered and slow side by side."""
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, "fov01")
    add_dcfi(store, "fov01")
    one = write_comparison(store, tmp_path / "one.png")
    add_filtered(store, "fov01", "mine")
    two = write_comparison(store, tmp_path / "two.png")
    with Image.open(one) as less, Image.open(two) as more:
        assert more.width == pytest.approx(less.width * 4 / 3, abs=2)
        assert np.asarray(more.convert("L")).std() > 20  # something is drawn


def test_titles_above_panels_in_one_row_are_not_cut_off(tmp_path):
    """Frames so small that there is no place to magnify."""
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, shape=(16, 16))
    add_filtered(store, shape=(16, 16))
    with Image.open(write_comparison(store, tmp_path / "p.png")) as picture:
        assert np.asarray(picture.convert("L"))[0].min() == 255


def test_a_store_without_images_has_no_picture(tmp_path):
    with pytest.raises(StoreError):
        write_comparison(new_store(tmp_path / "s.zarr"), tmp_path / "none.png")


def said(path):
    """The words of a picture, which SVG keeps as comments beside its letters."""
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


def test_each_panel_says_what_it_is_and_how_near_to_the_slow_scan(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store)
    add_dcfi(store, psnr=14.5)
    add_filtered(store, name="mine", psnr=16.0, psnr_rapid=14.0)
    words = said(write_comparison(store, tmp_path / "p.svg"))
    for title in (
        ["rapid", "one frame, 100 ns/px", "PSNR 14.1 dB"],
        ["DCFI", "average of 3 frames", "PSNR 14.5 dB"],
        ["mine", "the same frame, filtered", "PSNR 16.1 dB"],
        ["slow scan", "5 µs/px", "reference"],
    ):
        assert set(title) <= set(words)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$x_", "n" * 10_000])
def test_odd_metadata_do_no_harm(tmp_path, name):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, slow=False, pixel_size_nm=None)
    add_filtered(
        store, psnr=None, psnr_rapid=None, trained_on=True, filter=name, pixel_size_nm=name
    )
    words = said(write_comparison(store, tmp_path / "p.svg"))
    assert "was trained on this FOV" in words
    assert not [w for w in words if "PSNR" in w]


def test_a_field_of_view_and_its_filters_can_be_chosen(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    for fov, names in {"fov01": ("a",), "fov02": ("a", "b"), "fov03": ()}.items():
        add_fov(store, fov)
        for name in names:
            add_filtered(store, fov, name, psnr=20.0 + 10 * (fov == "fov02"))
    add_calibration(store, "fov02")

    def words(**chosen):
        return said(write_comparison(store, tmp_path / "p.svg", **chosen))

    assert "PSNR 20.1 dB" in words()
    assert "PSNR 30.1 dB" in words(fovs=["fov02"])
    only = words(filters=["b"])
    assert {"b", "DCFI", "rapid", "slow scan"} <= set(only)
    assert "a" not in only
    with pytest.raises(StoreError, match="no filtered frames c: it has a, b"):
        words(filters=["c"])
    with pytest.raises(StoreError, match=r"no filtered frames b: it has a$"):
        words(fovs=["fov01"], filters=["b"])
    with pytest.raises(StoreError, match="no field of view fov09: it has fov01"):
        words(fovs=["fov09"])


def test_a_picture_in_the_store_or_of_another_kind_is_refused(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store)
    with pytest.raises(SettingsError, match="lies in the store"):
        write_comparison(store, store / "p.png")
    with pytest.raises(SettingsError, match=r"choose \.png, \.svg"):
        write_comparison(store, tmp_path / "p.jpg")
