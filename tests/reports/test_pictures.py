import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stemscale.reports.pictures import png_uri
from stemscale.views.scale_bar import scale_bar


def decoded(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize(
    ("view_nm", "length_nm", "label"),
    [
        (1075.2, 200, "200 nm"),  # 512 px of 2.1 nm
        (100, 20, "20 nm"),
        (10, 2, "2 nm"),
        (1, 0.2, "0.2 nm"),
        (5000, 1000, "1 µm"),
        (40000, 10000, "10 µm"),
        (10 / 3, 1, "1 nm"),
    ],
)
def test_the_scale_bar_has_a_round_length(view_nm, length_nm, label):
    bar = scale_bar(view_nm)
    assert bar.label == label
    assert bar.percent == pytest.approx(100 * length_nm / view_nm)


@given(view_nm=st.floats(1e-3, 1e8))
def test_the_scale_bar_is_neither_short_nor_long(view_nm):
    """From 1 to 2 to 5 to 10, the largest step is 2.5: at least 30 % / 2.5 of the view."""
    assert 11.9 <= scale_bar(view_nm).percent <= 30.1


def test_grey_runs_from_black_to_white():
    image = decoded(png_uri(np.array([[-9.0, 0, 1, 2, 9]]), black=0, white=2))
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), [[0, 0, 128, 255, 255]])


def test_unseen_pixels_are_transparent():
    image = decoded(png_uri(np.array([[np.nan, 1.0]]), black=0, white=1))
    assert image.mode == "LA"
    np.testing.assert_array_equal(np.asarray(image)[0], [[0, 0], [255, 255]])


def test_large_images_are_averaged_down_with_their_shape_kept():
    assert decoded(png_uri(np.zeros((1000, 2000)), black=0, white=1)).size == (1024, 512)
    assert decoded(png_uri(np.zeros((4, 2000)), black=0, white=1)).size == (1024, 2)
