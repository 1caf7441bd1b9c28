import base64
import io

import numpy as np
import pytest
from PIL import Image

from stemscale.dashboard import thumbnail


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.mark.parametrize(("shape", "size"), [((512, 512), (192, 192)), ((600, 300), (96, 192))])
def test_a_frame_becomes_a_small_grey_picture(shape, size):
    frame = np.linspace(100, 60000, shape[1]) * np.ones((shape[0], 1))
    picture = opened(thumbnail(frame.astype("uint16")))
    assert (picture.size, picture.mode) == (size, "L")
    row = np.asarray(picture)[5].astype(int)
    assert row[0] == 0
    assert row[-1] == 255
    assert (np.diff(row) >= 0).all()


def test_a_small_frame_keeps_its_pixels_and_unseen_ones_are_transparent():
    frame = np.arange(12.0).reshape(3, 4)
    frame[0, :2] = np.nan
    picture = opened(thumbnail(frame))
    assert (picture.size, picture.mode) == ((4, 3), "LA")
    grey, alpha = np.asarray(picture).transpose(2, 0, 1)
    assert (alpha == np.where(np.isnan(frame), 0, 255)).all()
    assert grey[2, 3] == 255


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_a_frame_without_contrast_is_no_error(value):
    assert opened(thumbnail(np.full((8, 8), value))).size == (8, 8)


def test_pixels_are_averaged_and_unseen_ones_do_not_darken_their_neighbours():
    frame = np.full((384, 384), 1000.0)
    frame[:, ::2] = np.nan  # half of each area
    frame[:192] += np.where(np.isnan(frame[:192]), 0, 1000)
    picture = np.asarray(opened(thumbnail(frame)))
    assert picture.ndim == 2  # something was seen of every area
    assert set(np.unique(picture)) == {0, 255}
