import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stemscale.errors import FrameShapeError
from stemscale.quality import PaperScore, psnr_by_band, psnr_paper

SHAPE = (6, 7)
VALUES = st.one_of(st.just(np.nan), st.integers(0, 300).map(float))


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(
    hnp.arrays(np.float32, SHAPE, elements=VALUES),
    st.lists(hnp.arrays(np.float32, SHAPE, elements=VALUES), min_size=1, max_size=3),
)
def test_it_scores_each_frame_as_the_plain_functions_do(reference, frames):
    score = PaperScore(reference)
    for frame in frames:
        seen = ~np.isnan(frame) & ~np.isnan(reference)
        found, by_band = score(frame)
        if not seen.any() or np.ptp(frame[seen]) == 0 or np.ptp(reference[seen]) == 0:
            assert np.isnan([found, *by_band]).all()
            continue
        same(found, psnr_paper(frame, reference))
        same(by_band, psnr_by_band(frame, reference))


def test_a_band_that_is_off_by_a_tenth_of_the_range_has_20_db():
    # reference 0, 30000, 60000, 65535: dark, middle, bright; only the middle one is off by 6553.5
    reference = np.array([[0.0, 30000.0, 60000.0, 65535.0]])
    found, by_band = PaperScore(reference)(reference + np.array([[0, 6553.5, 0, 0]]))
    same(by_band, [np.inf, 20.0, np.inf])
    same(found, 20 + 10 * np.log10(4))


def test_pixels_outside_the_edges_count_in_all_and_in_no_band():
    reference = np.array([[0.0, 30000.0, 60000.0, 65535.0]])
    frame = reference + np.array([[0, 0, 6553.5 / 2, 0]])
    found, by_band = PaperScore(reference, edges=(0, 20000, 40000))(frame)
    same(by_band, [np.inf, np.inf])
    same(found, psnr_paper(frame, reference))


def test_another_shape_is_refused():
    with pytest.raises(FrameShapeError):
        PaperScore(np.ones(SHAPE))(np.ones((3, 3)))


def test_a_frame_without_a_score_has_none_in_as_many_bands():
    score = PaperScore(np.array([[0.0, 1.0]]), edges=(0, 1, 2, 3, 65535))
    for frame in ([[np.nan, np.nan]], [[7.0, 7.0]]):
        found, by_band = score(np.array(frame))
        assert np.isnan([found, *by_band]).all()
        assert len(by_band) == 4
