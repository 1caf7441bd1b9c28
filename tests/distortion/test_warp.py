import numpy as np
import pytest
from distortion.builders import make_scan
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from stemscale.distortion import INTERPOLATIONS, DistortionMap, Warp
from stemscale.distortion.gather import Gather
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
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
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


def _other_forms(distortion):
    """The same map, row by row and pixel by pixel: each is gathered in its own way."""
    source_x = np.broadcast_to(distortion.source_x, distortion.shape)
    source_y = np.broadcast_to(distortion.source_y, distortion.shape)
    shape = distortion.rapid_shape
    yield DistortionMap(source_x=source_x, source_y=distortion.source_y, rapid_shape=shape)
    yield DistortionMap(source_x=source_x, source_y=source_y, rapid_shape=shape)


interpolations = st.sampled_from(INTERPOLATIONS)


@given(distortion=maps(separable=True), interpolation=interpolations)
@settings(deadline=None, max_examples=40)
def test_a_map_gives_the_same_in_whatever_form_it_is_written(distortion, interpolation):
    frames = _frames(count=18)  # more than are gathered at once
    lines = Warp(distortion, interpolation=interpolation)(frames)
    row_by_row, pixels = (
        Warp(form, interpolation=interpolation)(frames) for form in _other_forms(distortion)
    )
    np.testing.assert_allclose(lines, row_by_row, atol=0.05)
    # torch samples linearly at positions in float32
    np.testing.assert_allclose(lines, pixels, atol=6 if interpolation == "linear" else 0.05)


def _kernel(distance, interpolation):
    """Weight of a pixel so far away, as in the textbooks: Keys (a = -1/2), Lanczos (a = 3)."""
    d = abs(distance)
    if interpolation == "linear":
        return max(0.0, 1 - d)
    if interpolation == "cubic":
        inner, outer = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        return inner if d <= 1 else outer if d < 2 else 0.0
    return float(np.sinc(d) * np.sinc(d / 3)) if d < 3 else 0.0


@given(at=st.floats(3, N - 4), interpolation=interpolations)
@settings(deadline=None, max_examples=60)
def test_pixels_are_weighed_by_their_distance_as_in_the_textbook(at, interpolation):
    weights = np.array([_kernel(at - x, interpolation) for x in range(N)])
    frame = _frames(count=1)[0].astype(float)
    source_y = np.arange(float(N))[:, None]
    distortion = DistortionMap(source_x=[[at]], source_y=source_y, rapid_shape=(N, N))
    for form in (distortion, *_other_forms(distortion)):
        found = Warp(form, interpolation=interpolation)(frame[None])[0, :, 0]
        np.testing.assert_allclose(found, frame @ weights / weights.sum(), atol=6)


@given(distortion=maps(), interpolation=interpolations, level=st.integers(0, 65535))
@settings(deadline=None, max_examples=60)
def test_a_constant_image_stays_constant(distortion, interpolation, level):
    warp = Warp(distortion, interpolation=interpolation)
    corrected = warp(np.full((1, N, N), level, dtype=np.uint16))[0]
    np.testing.assert_allclose(corrected[warp.inside], level, rtol=1e-6)


@given(distortion=maps())
@settings(deadline=None, max_examples=30)
def test_linear_never_leaves_the_range_of_the_frame(distortion):
    frames = _frames()
    corrected = Warp(distortion)(frames)
    seen = corrected[np.isfinite(corrected)]
    assert not seen.size or (seen.min() >= frames.min() - 0.01 and seen.max() <= 60_000)


@given(shift=st.floats(-2, 2), wave=st.floats(0, 1.5), interpolation=interpolations, data=st.data())
@settings(deadline=None, max_examples=30)
def test_a_warp_is_undone_by_its_inverse(shift, wave, interpolation, data):
    n = 96
    y, x = np.mgrid[:n, :n]
    phase = data.draw(st.floats(0, 6))
    frame = 30_000 + 20_000 * np.sin(x / 5 + phase) * np.cos(y / 7)  # nothing finer than 30 px
    forth = np.arange(n) + shift + wave * np.sin(np.arange(n) / 12)
    dense = np.arange(-40, n + 40, 0.01)
    back = np.interp(np.arange(n), dense + shift + wave * np.sin(dense / 12), dense)
    rows = np.arange(float(n))[:, None]
    there, again = (
        Warp(
            DistortionMap(source_x=columns[None], source_y=rows, rapid_shape=(n, n)),
            interpolation=interpolation,
        )
        for columns in (forth, back)
    )
    returned = again(there(frame[None]))[0]
    seen = np.isfinite(returned)
    seen[:, :8] = seen[:, -8:] = False  # beyond the border there is nothing to mix
    assert seen.mean() > 0.7
    error = np.abs(returned - frame)[seen].max() / 40_000
    # a chord of a sine of 31 px is off by 1/8 of its curvature, twice
    assert error < {"linear": 8e-3, "cubic": 1e-3, "lanczos": 1e-3}[interpolation]


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_read_only_and_strided_frames_are_taken_as_they_are(dtype):
    identity = Warp(DistortionMap.identity((N, N)))
    frames = np.broadcast_to(_frames(dtype, count=1)[0], (3, N, N))
    np.testing.assert_array_equal(identity(frames), frames)
    flipped = _frames(dtype)[:, ::-1, ::-1]
    np.testing.assert_array_equal(identity(flipped), flipped)


def test_each_frame_is_worked_on_once_and_no_more_at_once_than_stay_in_the_cache(monkeypatch):
    y, x = np.mgrid[:N, :N] * 1.0
    bent = DistortionMap(source_x=x + 0.1 * y, source_y=y + 0.1 * x, rapid_shape=(N, N))
    warp = Warp(bent, interpolation="cubic")
    batches = []
    monkeypatch.setattr(warp, "_gather", GatherSpy(warp.at_once, batches))
    frames = _frames(np.float32, count=2 * warp.at_once + 1)
    warp(frames)
    assert warp.at_once > 1
    assert [len(batch) for batch in batches] == [warp.at_once, warp.at_once, 1]
    np.testing.assert_array_equal(np.concatenate(batches), frames)


class GatherSpy(Gather):
    def __init__(self, at_once, batches):
        self.at_once = at_once
        self.batches = batches

    def __call__(self, frames, out):
        self.batches.append(frames.clone())


@pytest.mark.parametrize("shape", [(N, N), (1, N, N + 1), (1, 1, N, N)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(DistortionError, match="calibrate with frames of this scan setting"):
        Warp(DistortionMap.identity((N, N)))(np.zeros(shape))
    with pytest.raises(DistortionError, match=r"for \(frame, 23, 30\)"):
        Warp(DistortionMap.identity((23, 30)))(np.zeros(shape))


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(DistortionError, match="linear, cubic, lanczos"):
        Warp(DistortionMap.identity((4, 4)), interpolation="nearest")
