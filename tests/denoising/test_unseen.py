import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stemscale.denoising.unseen import fill_unseen

NAN = np.nan


def nearest(line):
    """Nearest seen value of a line, the first of two."""
    seen = [i for i, value in enumerate(line) if np.isfinite(value).all()]
    return [line[min(seen, key=lambda j: (abs(i - j), j))] for i in range(len(line))]


def test_an_unseen_pixel_takes_the_nearest_seen_value():
    frame = np.array([[NAN, 1, 2, NAN, NAN], [NAN, 3, 4, NAN, NAN]])
    assert fill_unseen(frame).tolist() == [[1, 1, 2, 2, 2], [3, 3, 4, 4, 4]]


def test_a_row_of_which_nothing_was_seen_takes_the_nearest_row():
    frame = np.array([[NAN, NAN], [NAN, 1], [2, 3], [NAN, NAN]])
    assert fill_unseen(frame).tolist() == [[1, 1], [1, 1], [2, 3], [2, 3]]


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([NAN, 1, 2, 3, 4, 5]),
    )
)
def test_any_frame_is_filled_along_its_rows(frame):
    rows = [row for row in frame if np.isfinite(row).any()]
    if not rows:
        assert not fill_unseen(frame).any()
        return
    filled = [nearest(row) if np.isfinite(row).any() else [NAN] * len(row) for row in frame]
    assert np.array_equal(fill_unseen(frame), nearest(np.array(filled)))


def test_a_frame_that_was_not_seen_at_all_is_0():
    assert not fill_unseen(np.full((3, 4), NAN)).any()
