import numpy as np
import pytest
from distortion.builders import beam_path, invert, make_scan, random_scene, rms_after_shift
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from stemscale.distortion import SplineFit, StripSearch, fit_spline, fit_strips, shared_map
from stemscale.distortion.contrast import white_noise
from stemscale.distortion.prediction import shared_slopes
from stemscale.errors import DistortionError, SettingsError, ViewError

N = 192


def _pair(scan):
    return scan.dcfi, scan.slow


def _fitted(scan, **kwargs):
    return fit_spline([_pair(scan)], settings=SplineFit(**kwargs))[0]


@given(
    seed=st.integers(0, 10_000),
    start=st.floats(-0.4, 0.7),
    decay=st.floats(0.08, 0.3),
    wave=st.floats(-0.08, 0.08),
    extra=st.floats(0.03, 0.12),
)
# not shrunk: a failing example is as small as any, and each costs a fit
@settings(deadline=None, max_examples=12, derandomize=True, phases=(Phase.explicit, Phase.generate))
def test_a_random_monotone_map_is_recovered_from_its_own_warp(seed, start, decay, wave, extra):
    """Rows C3 to C7: without noise, lag or another response, to 0.05 px."""
    column = np.arange(N) / N
    rate = 1 + start * np.exp(-column / decay) + wave * np.sin(9 * column)
    path = np.cumsum(rate)
    path = (path - path[0]) / (path[-1] - path[0]) * (1 + extra) * (N - 1) - 0.5 * extra * N
    scan = make_scan(seed, N, path=path, noise=False, lag=False, response=False, lines=24)
    found = _fitted(scan)
    assert rms_after_shift(found.source_x, scan.source_x) < 0.05
    inner = np.s_[8:-8]
    assert abs(np.mean((found.source_x[0] - scan.source_x)[inner])) < 0.1
    assert found.source_y[0, 0] == pytest.approx(scan.row_offset, abs=0.05)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_spline_beats_the_strips_under_noise_lag_and_another_response(seed):
    scan = make_scan(seed, N)
    spline = rms_after_shift(_fitted(scan).source_x, scan.source_x)
    strips = rms_after_shift(
        fit_strips(*_pair(scan), search=StripSearch(strip_step_px=3)).source_x, scan.source_x
    )
    assert spline < 0.2
    assert spline < 0.7 * strips


def test_the_lag_is_told_from_the_shift():
    # the smear peaks some 1.3 px downstream of where the beam was
    scan = make_scan(11, 256)
    found = _fitted(scan)
    assert abs(np.mean(found.source_x[0] - scan.source_x)) < 0.25
    assert found.source_y[0, 0] == pytest.approx(scan.row_offset, abs=0.1)


def test_views_fitted_together_share_one_shape_and_keep_their_offsets():
    """Row C7."""
    path = beam_path(np.random.default_rng(5), N)
    offsets = (-1.0, 0.0, 1.2)
    scans = [make_scan(20 + k, N, path=path, offset_x=dx) for k, dx in enumerate(offsets)]
    maps = fit_spline([_pair(scan) for scan in scans])
    for scan, found in zip(scans, maps, strict=True):
        assert rms_after_shift(found.source_x, scan.source_x) < 0.1
        assert found.source_y[0, 0] == pytest.approx(scan.row_offset, abs=0.1)
    middle = N // 2
    moved = [m.source_x[0, middle] - s.source_x[middle] for m, s in zip(maps, scans, strict=True)]
    assert np.ptp(moved) < 0.15  # each view's own offset is found
    assert rms_after_shift(shared_map(maps).source_x, scans[1].source_x) < 0.15


def test_an_empty_view_borrows_the_map_of_the_others_and_is_refused_alone():
    path = beam_path(np.random.default_rng(5), N)
    good = make_scan(20, N, path=path)
    empty = make_scan(21, N, path=path, lines=0)
    maps = fit_spline([_pair(good), _pair(empty)])
    assert rms_after_shift(maps[1].source_x, good.source_x) < 0.2
    assert maps[1].source_x_std.mean() > maps[0].source_x_std.mean()
    first, _ = fit_spline([_pair(empty), _pair(good)])
    np.testing.assert_allclose(first.source_x, maps[1].source_x, atol=0.05)
    with pytest.raises(DistortionError, match="no structure above its noise"):
        fit_spline([_pair(empty)])


def test_lines_along_the_scan_direction_alone_are_refused():
    rng = np.random.default_rng(0)
    row = np.exp(-0.5 * ((np.arange(N)[:, None] - rng.uniform(0, N, 12)) / 2.0) ** 2).sum(axis=1)
    slow = 9000 - 4000 * np.broadcast_to(row[:, None], (N, N)) + rng.normal(0, 60, (N, N))
    rapid = 7000 - 3000 * np.broadcast_to(row[:, None], (N, N)) + rng.normal(0, 200, (N, N))
    with pytest.raises(DistortionError, match="along the scan direction"):
        fit_spline([(rapid, slow)])


def test_a_slow_scan_on_twice_the_pixels_is_fitted_on_its_own_grid():
    scan = make_scan(12, N)
    rows = np.arange(2 * N, dtype=float)[:, None]
    scene = random_scene(np.random.default_rng(12), N)
    fine = scene.at((rows + 0.5) / 2 - 0.5, ((rows + 0.5) / 2 - 0.5).T)
    found = fit_spline([(scan.dcfi, fine)])[0]
    assert found.shape == (2 * N, 2 * N)
    assert found.rapid_shape == (N, N)
    expected = np.interp((rows[:, 0] + 0.5) / 2 - 0.5, np.arange(N), scan.source_x)
    assert rms_after_shift(found.source_x, expected, margin=0.03) < 0.2
    # rows of half the size, from a quarter of a rapid pixel before row 0 on
    np.testing.assert_allclose(np.diff(found.source_y[:, 0]), 0.5)
    assert found.source_y[0, 0] == pytest.approx(scan.row_offset - 0.25, abs=0.1)


def test_a_slow_scan_that_sticks_out_of_the_rapid_view_is_fitted_where_both_see():
    path = np.arange(N) * 0.93 + 12.0  # slow columns 12 to 190 of 192: 12 are not seen
    scan = make_scan(9, N, path=path, noise=False, lag=False, response=False)
    found = _fitted(scan)
    seen = np.s_[14:186]
    truth = (np.arange(N) - 12.0) / 0.93
    np.testing.assert_allclose(found.source_x[0, seen], truth[seen], atol=0.15)
    assert found.source_x[0, 0] < 0  # unseen, not squeezed into the frame


def test_offsets_that_change_slowly_along_y_are_found_where_asked_for():
    path = beam_path(np.random.default_rng(3), 256)
    scan = make_scan(14, 256, path=path, shear=3.0)
    found = _fitted(scan, vary_y=True)
    plain = _fitted(scan)
    rows = np.arange(256.0) + scan.row_offset
    truth = np.stack([invert(path + 3 * row / 256, 256) for row in rows])
    inner = np.s_[10:-10, 10:-10]
    errors = [np.std((m.source_x - truth)[inner]) for m in (found, plain)]
    assert found.shape == (256, 256)
    assert errors[0] < 0.15
    assert errors[1] > 0.7


def test_frames_and_slow_scans_that_are_not_square_are_fitted_row_by_row():
    path = beam_path(np.random.default_rng(3), 256)
    scan = make_scan(14, 256, path=path, shear=3.0)
    n_y = 160
    [found] = fit_spline([(scan.dcfi[:n_y], scan.slow[:n_y])], settings=SplineFit(vary_y=True))
    assert found.shape == (n_y, 256)
    assert found.rapid_shape == (n_y, 256)
    rows = np.arange(float(n_y)) + scan.row_offset
    truth = np.stack([invert(path + 3 * row / 256, 256) for row in rows])
    assert np.std((found.source_x - truth)[10:-10, 10:-10]) < 0.2
    np.testing.assert_allclose(found.source_y[:, 0], rows, atol=0.2)


def test_rows_that_stretch_are_followed_in_frames_that_are_not_square():
    path = beam_path(np.random.default_rng(3), 256)
    scan = make_scan(14, 256, path=path)
    n_y = 160
    rows = np.arange(float(n_y))
    apart = 4 * (rows / n_y - 0.5)  # the slow scan drifts by 4 rows from its first to its last
    slow = map_coordinates(scan.slow, np.meshgrid(rows + apart, np.arange(256), indexing="ij"))
    [found] = fit_spline([(scan.dcfi[:n_y], slow)], settings=SplineFit(vary_y=True))
    truth = rows + apart + scan.row_offset
    np.testing.assert_allclose(found.source_y[5:-5, 0], truth[5:-5], atol=0.1)


def test_offsets_that_do_not_change_along_y_cost_little_where_views_are_fitted_together():
    path = beam_path(np.random.default_rng(5), N)
    scans = [make_scan(20 + k, N, path=path) for k in range(3)]
    maps = fit_spline([_pair(scan) for scan in scans], settings=SplineFit(vary_y=True))
    for scan, found in zip(scans, maps, strict=True):
        away = (found.source_x - scan.source_x)[8:-8, 8:-8]
        assert away.std() < 0.15
        stated = np.sqrt((found.source_x_std[0, 8:-8] ** 2).mean())
        assert away.std() < 2 * stated
        assert np.abs(np.diff(found.source_y[:, 0]) - 1).max() < 0.01


def test_the_noise_of_the_slow_scan_is_not_taken_for_lag():
    shifts = []
    for seed in range(30, 34):
        scan = make_scan(seed, N)
        rough = scan.slow + np.random.default_rng(seed).normal(0, 0.3 * scan.slow.std(), (N, N))
        found = fit_spline([(scan.dcfi, rough)])[0]
        shifts.append(np.mean((found.source_x[0] - scan.source_x)[8:-8]))
    assert abs(np.mean(shifts)) < 0.15


def test_white_noise_is_told_from_lines_and_slopes():
    scan = make_scan(3, N, noise=False, lag=False)
    seen = np.ones((N, N), dtype=bool)
    spread = scan.slow.std()
    assert white_noise(scan.slow.astype(np.float32), seen) < (0.01 * spread) ** 2
    noisy = scan.slow + np.random.default_rng(0).normal(0, 0.2 * spread, (N, N))
    found = white_noise(noisy.astype(np.float32), seen)
    assert np.sqrt(found) == pytest.approx(0.2 * spread, rel=0.03)


def test_the_uncertainty_is_larger_where_there_is_no_contrast():
    scan = make_scan(13, 256)
    half = scan.slow.copy(), scan.dcfi.copy()
    rng = np.random.default_rng(0)
    for image, noise in zip(half, (300, 500), strict=True):
        image[:, 150:215] = image.mean() + rng.normal(0, noise, (256, 65))
    found = fit_spline([(half[1], half[0])])[0]
    std = found.source_x_std[0]
    assert std.shape == (256,)
    assert std[175:190].mean() > 2 * std[60:120].mean()


def test_columns_count_by_the_slopes_that_both_images_share():
    rng = np.random.default_rng(0)
    scene = rng.normal(size=(200, 120))
    left, right = (scene + rng.normal(0, 0.2, scene.shape) for _ in range(2))
    left[:, 60:] = rng.normal(size=(200, 60))  # noise as strong as the scene
    counted = np.ones(scene.shape, dtype=bool)
    share = shared_slopes(left.astype(np.float32), 3 * right.astype(np.float32), counted)
    assert share[10:45].min() > 0.7
    assert share[75:110].max() < 0.2


@pytest.mark.parametrize("frames", [2, 50])
def test_the_error_is_of_the_size_of_the_stated_uncertainty(frames):
    scaled = []
    for seed in range(4):
        scan = make_scan(seed + 40, N, frames=frames)
        found = _fitted(scan)
        rms = rms_after_shift(found.source_x, scan.source_x)
        scaled.append(rms / np.sqrt((found.source_x_std**2).mean()))
    assert 0.2 < np.median(scaled) < 1.8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda d, s: (d, make_scan(99, N).slow), "another area", id="another area"),
        pytest.param(lambda d, s: (d[:, ::-1], s), "flipped along x", id="flipped along x"),
        pytest.param(lambda d, s: (d[::-1], s), "flipped along y", id="flipped along y"),
        pytest.param(lambda d, s: (d[::-1, ::-1], s), "turned by 180°", id="turned"),
        pytest.param(lambda d, s: (d.T, s), "transposed", id="transposed"),
        pytest.param(lambda d, s: (np.rot90(d), s), "counter-clockwise", id="rot90"),
        pytest.param(lambda d, s: (np.rot90(d, -1), s), "90° clockwise", id="rot-90"),
        pytest.param(lambda d, s: (d, np.full_like(s, 3.0)), "constant", id="constant slow"),
        pytest.param(lambda d, s: (np.full_like(d, 3.0), s), "constant", id="constant rapid"),
        pytest.param(lambda d, s: (d, np.minimum(s, 9000.0)), "saturated", id="saturated"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(change, words):
    with pytest.raises(DistortionError, match=words):
        fit_spline([change(*_pair(make_scan(1, N)))])


def test_the_pair_that_is_wrong_is_named():
    good, other = make_scan(1, 128), make_scan(2, 128)
    with pytest.raises(ViewError, match=r"pair 2: .*another area") as refused:
        fit_spline([_pair(good), (other.dcfi, good.slow)])
    assert refused.value.number == 1


def test_no_pair_and_rapid_frames_of_two_shapes_are_refused():
    with pytest.raises(DistortionError, match="at least"):
        fit_spline([])
    with pytest.raises(DistortionError, match="2 shapes"):
        fit_spline([_pair(make_scan(1, 64)), _pair(make_scan(2, 96))])


def test_a_result_worse_than_its_start_is_refused(monkeypatch):
    from stemscale.distortion import gauss_newton

    def run_away(self, state, **kwargs):
        bent = state.path + 3 * np.sin(np.linspace(0, 3, state.path.size))
        return gauss_newton.replace(state, path=bent)

    monkeypatch.setattr(gauss_newton.Fit, "run", run_away)
    path = beam_path(np.random.default_rng(5), N)
    good, empty = make_scan(20, N, path=path), make_scan(21, N, path=path, lines=0)
    for pairs in ([_pair(good)], [_pair(empty), _pair(good)]):
        with pytest.raises(DistortionError, match="ran away"):
            fit_spline(pairs, settings=SplineFit(max_std_px=99.0, min_borrowed_zncc=0.01))


@pytest.mark.parametrize(
    "wrong", [{"knot_px": 0.0}, {"smooth_px": ()}, {"min_zncc": 1.0}, {"steps": 0}, {"bend": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingsError):
        SplineFit(**wrong)
