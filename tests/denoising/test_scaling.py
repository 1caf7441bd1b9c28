import numpy as np
import pytest
from denoising.builders import scan_of
from hypothesis import given
from hypothesis import strategies as st

from stemscale.denoising import SeriesScale, series_scale
from stemscale.denoising.scaling import frame_min_max, normalise, to_counts
from stemscale.errors import FrameShapeError, SeriesError


def test_centre_and_spread_of_a_ramp():
    # Cells of 4 px of the ramp 0 … 399 have means 1.5, 5.5 … 397.5: median 199.5, and 5 % and
    # 95 % of 100 equidistant cells lie at 1.5 + 4·0.05·99 = 21.3 and 377.7: spread 178.2.
    ramp = np.tile(np.arange(400.0), (1, 8, 1))
    scale = series_scale(ramp)
    assert scale.center == pytest.approx(199.5)
    assert scale.spread == pytest.approx(178.2)


@given(gain=st.floats(0.01, 100), offset=st.floats(-1e4, 1e4))
def test_the_scale_follows_gain_and_offset(gain, offset):
    frames = np.random.default_rng(0).normal(size=(2, 32, 32))
    before, after = series_scale(frames), series_scale(gain * frames + offset)
    assert after.center == pytest.approx(gain * before.center + offset, abs=1e-6)
    assert after.spread == pytest.approx(gain * before.spread, rel=1e-6)


def test_the_scale_hardly_depends_on_dose_and_number_of_frames():
    clean = series_scale(300 * scan_of(128, seed=3).truth[np.newaxis])
    for frames, dose in [(1, 24.0), (8, 24.0), (1, 96.0)]:
        rapid = scan_of(128, frames=frames, dose=dose, seed=3).rapid * (24.0 / dose)
        assert series_scale(rapid).spread == pytest.approx(clean.spread, rel=0.25)


def test_single_hot_pixels_and_later_frames_do_not_count():
    frames = scan_of(64, frames=1, seed=1).rapid.repeat(70, axis=0)
    scale = series_scale(frames)
    frames[0, 3, 3] = 65535
    frames[64:] *= 10
    assert series_scale(frames).center == pytest.approx(scale.center, rel=0.01)
    assert series_scale(frames).spread == pytest.approx(scale.spread, rel=0.05)


def test_pixels_that_were_not_seen_do_not_count():
    frames = scan_of(64, frames=2, seed=1).rapid
    padded = np.pad(frames, ((0, 0), (8, 0), (0, 12)), constant_values=np.nan)
    assert series_scale(padded) == series_scale(frames)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (np.ones((4, 4)), FrameShapeError),
        (np.ones((0, 4, 4)), FrameShapeError),
        (np.ones((2, 8, 8)), SeriesError),
        (np.full((2, 8, 8), np.nan), SeriesError),
    ],
    ids=["an image", "no frame", "constant", "unseen"],
)
def test_a_series_without_a_scale_is_refused(frames, error):
    with pytest.raises(error):
        series_scale(frames)


def test_a_frame_by_itself_ends_up_between_0_and_1():
    """Row F3: every image is min-max scaled first."""
    frame = np.array([[7000.0, 20000.0], [np.nan, 13500.0]])
    assert normalise(frame, frame_min_max(frame))[0].tolist() == [0, 1]
    assert normalise(frame, frame_min_max(frame))[1, 1] == 0.5


@pytest.mark.parametrize("value", [5.0, np.nan], ids=["constant", "unseen"])
def test_a_frame_without_contrast_still_has_a_scale(value):
    assert frame_min_max(np.full((4, 4), value)).spread == 1


@given(center=st.floats(-1e5, 1e5), spread=st.floats(1.0, 1e5))
def test_counts_come_back(center, spread):
    scale = SeriesScale(center=center, spread=spread)
    counts = center + spread * np.linspace(-2, 2, 9)
    back = to_counts(normalise(counts, scale), scale)
    np.testing.assert_allclose(back, counts, rtol=1e-6, atol=1e-6 * spread)
