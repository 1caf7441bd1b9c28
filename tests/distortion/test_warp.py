import numpy as np
import pytest
import torch
from distortion.builders import make_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from stemscale.distortion import DistortionMap, Warp
from stemscale.errors import DistortionError

N = 24


@st.composite
def maps(draw, *, separable=None):
    """Monotone maps between grids of different size, partly outside the rapid view."""
    n_y, n_x = draw(st.integers(2, 30)), draw(st.integers(2, 30))
    steps = draw(st.lists(st.floats(0.3, 2.0), min_size=n_x, max_size=n_x))
    source_x = np.cumsum(steps)[None] + draw(st.floats(-6, 6))
    source_y = np.arange(n_y)[:, None] * draw(st.floats(0.5, 1.5)) + draw(st.floats(-3, 3))
    if not (draw(st.booleans()) if separable is None else separable):
        source_x = source_x + draw(st.floats(-0.2, 0.2)) * np.arange(n_y)[:, None]
    return DistortionMap(source_x=source_x, source_y=source_y, rapid_shape=(N, N))


def _frames(dtype=np.uint16, count=2, n=N):
    return np.random.default_rng(1).integers(0, 60_000, (count, n, n)).astype(dtype)


def _reference(frame, distortion, order=1):
    y, x = np.broadcast_arrays(distortion.source_y, distortion.source_x)
    return map_coordinates(frame.astype(np.float64), [y, x], order=order, mode="nearest")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_identity_returns_every_frame_exactly(dtype, interpolation):
    frames = (np.random.default_rng(0).integers(0, 250, (3, 7, 9))).astype(dtype)
    warp = Warp(DistortionMap.identity((7, 9)), interpolation=interpolation)
    corrected = warp(frames)
    assert corrected.dtype == np.float32
    np.testing.assert_array_equal(corrected, frames)
    assert warp.inside.all()


@given(distortion=maps())
@settings(deadline=None, max_examples=60)
def test_linear_warp_is_that_of_scipy_wherever_the_rapid_frame_saw_something(distortion):
    """Row C7: to 1e-3 of the range."""
    frames = _frames()
    warp = Warp(distortion)
    corrected = warp(frames)
    for frame, result in zip(frames, corrected, strict=True):
        expected = _reference(frame, distortion)
        difference = np.abs(result - expected)[warp.inside]
        assert difference.size == 0 or difference.max() <= 1e-3 * np.ptp(frame)


@given(distortion=maps())
@settings(deadline=None, max_examples=60)
def test_what_the_rapid_frame_did_not_see_is_nan_and_nothing_else_is(distortion):
    warp = Warp(distortion)
    corrected = warp(_frames())
    y, x = np.broadcast_arrays(distortion.source_y, distortion.source_x)
    seen = (y >= -1e-3) & (y <= N - 1 + 1e-3) & (x >= -1e-3) & (x <= N - 1 + 1e-3)
    np.testing.assert_array_equal(warp.inside, seen)
    np.testing.assert_array_equal(np.isnan(corrected), np.broadcast_to(~seen, corrected.shape))


def test_the_outermost_pixel_is_seen_and_what_lies_a_hundredth_beyond_is_not():
    at = np.array([-0.01, 0.0, 5.0, N - 1.0, N - 0.99])
    distortion = DistortionMap(
        source_x=at[None], source_y=np.zeros((1, at.size)), rapid_shape=(N, N)
    )
    np.testing.assert_array_equal(Warp(distortion).inside, [[False, True, True, True, False]])


@given(distortion=maps(separable=True), interpolation=st.sampled_from(["linear", "cubic"]))
@settings(deadline=None, max_examples=30)
def test_the_fast_way_and_the_general_way_agree(distortion, interpolation):
    full = DistortionMap(
        source_x=np.broadcast_to(distortion.source_x, distortion.shape),
        source_y=np.broadcast_to(distortion.source_y, distortion.shape),
        rapid_shape=distortion.rapid_shape,
    )
    fast = Warp(distortion, interpolation=interpolation)(_frames())
    general = Warp(full, interpolation=interpolation)(_frames())
    np.testing.assert_allclose(fast, general, atol=0.05)


def test_cubic_follows_a_parabola_where_linear_cuts_it_off():
    # Keys' kernel with a = -1/2 is exact for polynomials of degree 2
    x = np.arange(N, dtype=float)
    frame = np.broadcast_to((x - 9.3) ** 2, (N, N))
    at = np.arange(3, 20) + 0.5
    distortion = DistortionMap(source_x=at[None], source_y=x[4:20, None] + 0.25, rapid_shape=(N, N))
    cubic = Warp(distortion, interpolation="cubic")(frame[None])[0]
    np.testing.assert_allclose(cubic, np.broadcast_to((at - 9.3) ** 2, cubic.shape), atol=1e-3)
    linear = Warp(distortion)(frame[None])[0]
    # midway between two samples of a parabola a chord lies 1/4 too high
    np.testing.assert_allclose(linear - cubic, 0.25, atol=1e-3)


def test_a_known_distortion_is_undone():
    """Row C7: the truth's own map turns the rapid image into the slow one."""
    scan = make_scan(3, 128, noise=False, lag=False, response=False, row_offset=1.25)
    distortion = DistortionMap(
        source_x=scan.source_x[None],
        source_y=np.arange(128.0)[:, None] + scan.row_offset,
        rapid_shape=(128, 128),
    )
    warp = Warp(distortion, interpolation="cubic")
    corrected = (warp(scan.dcfi[None])[0] - 4000) / 9000
    slow = (scan.slow - 2000) / 14000
    error = (corrected - slow)[4:-4, 4:-4]
    assert np.nanmax(np.abs(error)) < 0.02
    assert np.isnan(corrected[-1]).all()  # the row offset leaves the last rows unseen


def test_a_missing_pixel_spreads_only_to_those_that_mix_it():
    frame = np.ones((1, 6, 6))
    frame[0, 2, 3] = np.nan
    source_x = np.array([[0, 1, 2, 3, 4, 5.0]])
    source_x[0, 3] = 3.5
    distortion = DistortionMap(
        source_x=source_x, source_y=np.arange(6.0)[:, None], rapid_shape=(6, 6)
    )
    missing = np.argwhere(np.isnan(Warp(distortion)(frame)[0]))
    np.testing.assert_array_equal(missing, [[2, 3]])


def test_tensors_are_corrected_as_arrays_are():
    distortion = DistortionMap(
        source_x=np.linspace(-2, N + 1, 20)[None],
        source_y=np.arange(15.0)[:, None] + 0.4,
        rapid_shape=(N, N),
    )
    warp = Warp(distortion)
    frames = _frames(np.int32)
    result = warp.tensor(torch.from_numpy(frames))
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result.numpy(), warp(frames))


def test_read_only_and_strided_frames_are_taken_as_they_are():
    frames = np.broadcast_to(_frames(count=1)[0, ::-1], (3, N, N))
    np.testing.assert_array_equal(Warp(DistortionMap.identity((N, N)))(frames), frames)


@pytest.mark.parametrize("shape", [(N, N), (1, N, N + 1), (1, 1, N, N)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(DistortionError, match="calibrate with frames of this scan setting"):
        Warp(DistortionMap.identity((N, N)))(np.zeros(shape))


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(DistortionError, match="linear and cubic"):
        Warp(DistortionMap.identity((4, 4)), interpolation="nearest")
