import numpy as np

from stemscale.denoise.unseen import fill_unseen


def test_an_unseen_pixel_takes_the_nearest_seen_value():
    nan = np.nan
    frame = np.array([[nan, 1, 2, nan, nan], [nan, 3, 4, nan, nan]])
    assert fill_unseen(frame).tolist() == [[1, 1, 2, 2, 2], [3, 3, 4, 4, 4]]


def test_a_frame_that_was_not_seen_at_all_is_0():
    assert not fill_unseen(np.full((3, 4), np.nan)).any()
