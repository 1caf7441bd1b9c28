import numpy as np
import pytest
from PIL import Image
from reports.builders import add_dcfi, add_filtered, add_fov, new_store

from stemscale.errors import StoreError
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


def test_a_store_without_images_has_no_picture(tmp_path):
    with pytest.raises(StoreError):
        write_comparison(new_store(tmp_path / "s.zarr"), tmp_path / "none.png")
