import numpy as np
import pytest
import xarray as xr
import zarr
from reports.builders import add_calibration, add_fov, frame_coordinates, new_store, put

from stemscale.distortion import DistortionMap
from stemscale.errors import DistortionError
from stemscale.reports.before_after import correct_images, stretch_percent, structure_gain
from stemscale.reports.corrected_fov import MAX_FRAMES, fits_best, read_correction
from stemscale.reports.lines import dips, telling_rows
from stemscale.reports.plots.correction_figure import overlay, root_mean_square
from stemscale.views.store_view import read_store

SHAPE = (60, 96)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
WHERE = np.linspace(-5, 101, 4000)


def dark_lines(y, x):
    """Known at every point, so that nothing need be interpolated."""
    across = [x - 30 - 0.2 * y, x - 62 + 0.1 * y, 0.8 * y + 0.6 * x - 70, x - 80]
    return 20000 - 5000 * sum(np.exp(-0.5 * (a / 3) ** 2) for a in across)


def beam(x):
    """Column of the rapid scan that shows column x of the slow one; at most 4 px off."""
    return 2 + x + 2 * np.sin(x / 15)


def known(*, gain=1.0, offset=0.0, slope=0.0):
    """A rapid scan of the lines, on a scale and a background of its own, and its map."""
    seen = np.interp(X, beam(WHERE), WHERE)
    rapid = (dark_lines(Y - 1, seen) - offset) / gain + slope * X
    distortion = DistortionMap(
        source_x=beam(X[:1]), source_y=np.arange(SHAPE[0])[:, None] + 1.0, rapid_shape=SHAPE
    )
    return rapid, distortion


def test_a_known_distortion_is_undone_and_nothing_is_left():
    rapid, distortion = known()
    slow = dark_lines(Y, X)
    images = correct_images(rapid, distortion, slow, 1.0, 1)
    assert root_mean_square(images.flat.residual_before) > 10  # % of the range
    assert root_mean_square(images.flat.residual) < 0.6
    inside = np.isfinite(images.after)
    np.testing.assert_allclose(images.after[inside], slow[inside], atol=100)
    np.testing.assert_allclose(images.before, rapid, atol=150)  # as scanned
    assert not inside[-1].any()  # the rapid scan lies 1 px lower
    assert inside[:-1, :90].all()


def test_gain_offset_and_smooth_background_leave_nothing_behind():
    rapid, distortion = known(gain=2.5, offset=-3000, slope=10.0)
    images = correct_images(rapid, distortion, dark_lines(Y, X), 1.0, 1)
    assert root_mean_square(images.flat.residual) < 2.5
    assert root_mean_square(images.flat.residual_before) > 10
    level = np.isfinite(images.after)
    assert images.after[level].mean() == pytest.approx(dark_lines(Y, X)[level].mean())


@pytest.mark.parametrize("noisy", ["image", "reference", "both"])
def test_noise_does_not_pull_the_gain(noisy):
    """A fit by least squares would be off by the ratio of noise to structure: twofold here."""
    rng = np.random.default_rng(0)
    slow = dark_lines(Y, X)
    noise = rng.normal(0, 1500, (2, *SHAPE))
    image = slow / 3 + (noise[0] / 3 if noisy != "reference" else 0)
    reference = slow + (noise[1] if noisy != "image" else 0)
    assert structure_gain(image, reference) == pytest.approx(3, rel=0.1)


def test_images_without_structure_keep_their_scale():
    assert structure_gain(np.ones(SHAPE), dark_lines(Y, X)) == 1
    assert structure_gain(np.full(SHAPE, np.nan), dark_lines(Y, X)) == 1


@pytest.mark.parametrize("dark", [True, False])
def test_an_overlay_is_grey_where_both_agree_and_tells_apart_whose_line_it_is(dark):
    """Fig. 1a. Lines of the rapid scan come out orange, those of the slow scan blue."""
    ground, line = (1.0, 0.0) if dark else (0.0, 1.0)
    rapid, slow = np.full((2, 5), ground), np.full((2, 5), ground)
    rapid[:, 0] = slow[:, 1] = line
    rapid[:, 2] = slow[:, 2] = line
    rapid[:, 4] = np.nan
    drawn = overlay(rapid, slow, dark_lines=dark, window=(0.0, 1.0))
    np.testing.assert_allclose(drawn[0, 0], [1, 0.5, 0, 1])
    np.testing.assert_allclose(drawn[0, 1], [0, 0.5, 1, 1])
    np.testing.assert_allclose(drawn[0, 2], [line, line, line, 1])
    np.testing.assert_allclose(drawn[0, 3], [ground, ground, ground, 1])
    assert drawn[0, 4, 3] == 0  # not seen: transparent
    assert np.isfinite(drawn).all()


def test_the_overlay_of_corrected_images_has_equal_channels():
    rapid, distortion = known()
    images = correct_images(rapid, distortion, dark_lines(Y, X), 1.0, 1)
    assert images.dark_lines
    spread = []
    for image in (images.flat.before, images.flat.after):
        rgba = overlay(image, images.flat.slow, dark_lines=True, window=(-60.0, 60.0))
        seen = rgba[..., 3] == 1
        spread.append(np.ptp(rgba[seen][:, :3], axis=1))
    assert spread[0].max() > 0.4
    assert spread[1].max() < 0.05


def test_bright_lines_are_recognised():
    rapid, distortion = known()
    images = correct_images(-rapid, distortion, -dark_lines(Y, X), 1.0, 1)
    assert not images.dark_lines


def test_the_profiles_agree_after_correction_only():
    """Fig. 1b and c (row Q7)."""
    rapid, distortion = known()
    images = correct_images(rapid, distortion, dark_lines(Y, X), 1.0, 1)
    slow, before, after = map(images.profile, (images.slow, images.before, images.after))
    at = dips(slow, dark_lines=True).columns
    assert at.size >= 3
    found = dips(after, dark_lines=True).columns
    assert found.tolist() == at.tolist()
    off = dips(before, dark_lines=True).columns
    assert off.tolist() != at.tolist()
    np.testing.assert_allclose(off[:3], beam(at[:3]), atol=1.1)


def test_the_profile_lies_where_most_changes_along_the_line():
    image = np.zeros((40, 50))
    image[:, 5] = -1
    image[20:29, 20:40:6] = -1  # four more lines
    image[5, :] = -100  # along the scan line: no help
    seen = np.ones(image.shape, dtype=bool)
    first, end = telling_rows(image, seen=seen)
    assert first >= 20
    assert (end - first, end <= 29) == (5, True)
    seen[15:, :] = False
    assert telling_rows(image, seen=seen)[1] <= 18
    assert telling_rows(image[:3], seen=seen[:3]) == (0, 3)


def test_dips_are_the_strongest_and_in_order():
    profile = np.zeros(200)
    depths = np.arange(1, 11)
    profile[10 + 18 * np.arange(10)] = -depths
    at = dips(profile, dark_lines=True).columns
    assert at.tolist() == (10 + 18 * np.arange(2, 10)).tolist()  # eight of ten
    assert dips(-profile, dark_lines=False).columns.tolist() == at.tolist()
    assert dips(np.full(9, np.nan), dark_lines=True).columns.size == 0
    assert dips(np.ones(9), dark_lines=True).columns.size == 0


def test_the_stretch_is_that_of_the_strips():
    """Row C4: from -50 % to +100 % of the strip's width."""
    half, twice = np.arange(9) * 2.0, np.arange(9) / 2.0
    np.testing.assert_allclose(stretch_percent(half, 1.0), -50)
    np.testing.assert_allclose(stretch_percent(twice, 1.0), 100)
    np.testing.assert_allclose(stretch_percent(half, 2.0), 0)  # a slow scan of half the pixels
    assert stretch_percent(np.zeros(1), 1.0).tolist() == [0]


def calibrated(path, **calibration):
    """A store whose one FOV has three frames of the known distortion, drifting by 2 px."""
    store = new_store(path)
    rapid, distortion = known()
    frames = np.stack([rapid, np.roll(rapid, 2, axis=1), np.roll(rapid, -2, axis=1)])
    attrs = {"pixel_size_nm": 2.0, "state": "complete"}
    put(
        store,
        "fov01/rapid",
        {"frames": (("frame", "y", "x"), frames.astype(np.uint16))},
        coords=frame_coordinates(3),
        attrs=attrs,
    )
    put(
        store,
        "fov01/slow",
        {"image": (("y", "x"), dark_lines(Y, X).astype(np.uint16))},
        attrs={**attrs, "relation": "same"},
    )
    put(
        store,
        "fov01/calibration",
        {
            "source_x": ("x", distortion.source_x[0]),
            "source_y": ("y", distortion.source_y[:, 0]),
            "shift_y": ("frame", [0.0, 0, 0]),
            "shift_x": ("frame", [0.0, 2, -2]),
        },
        attrs={"method": "strips", "rapid_shape": list(SHAPE), "pixel_ratio": 1.0, **calibration},
    )
    return store


def corrections(store):
    view = read_store(store)
    return [read_correction(view, f) for f in view.fovs]


def test_frames_are_averaged_as_the_calibration_found_them_to_drift(tmp_path):
    (found,) = corrections(calibrated(tmp_path / "s.zarr"))
    assert found.images.n_frames == 3
    inside = found.images.flat.residual[:-1, 6:84]
    assert root_mean_square(inside) < 0.5
    assert found.zncc_after > 0.999
    assert found.zncc_before < 0.9
    np.testing.assert_allclose(found.line.departure_px, beam(X[0]) - X[0])
    assert found.pixel_size_nm == 2
    assert found.notes == ()


def test_the_scores_are_those_that_calibrate_stored(tmp_path):
    store = calibrated(tmp_path / "s.zarr", zncc_before=0.25, zncc_after=0.75)
    (found,) = corrections(store)
    assert (found.zncc_before, found.zncc_after) == (0.25, 0.75)


def test_a_frame_without_contrast_is_left_out(tmp_path):
    store = calibrated(tmp_path / "s.zarr")
    with xr.open_zarr(store, group="fov01/calibration", consolidated=False) as opened:
        assert "shift_x" in opened
    for name in ("shift_y", "shift_x"):
        zarr.open_group(store)[f"fov01/calibration/{name}"][1] = np.nan
    (found,) = corrections(store)
    assert found.images.n_frames == 2
    assert any("2 of 3 frames" in note for note in found.notes)


def test_a_map_carried_over_is_told_and_drawn_as_far_as_can_be(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, "with")
    add_fov(store, "without", slow=False)
    add_fov(store, "after", relation="after", n_frames=MAX_FRAMES + 3)
    zarr.open_group(store)["after/rapid/frames"][:3] = 0  # which the last 50 are not
    add_fov(store, "other")
    for fov in ("with", "without", "after"):
        add_calibration(store, fov, dcfi=False, carried_over=fov != "with", estimated_on="with")
    of_others = {"rapid_shape": [48, 64], "carried_over": True}
    add_calibration(store, "other", shape=(40, 50), dcfi=False, **of_others)
    found = {c.fov.name: c for c in corrections(store)}
    assert found["with"].notes == ()
    assert found["without"].notes == (
        "The map was estimated on other fields of view and carried over to this one.",
        "There is no slow scan of this field of view to compare with.",
    )
    assert found["without"].images.flat is None
    assert np.isfinite(found["without"].images.after).any()
    assert np.isnan(found["without"].zncc_after)
    assert found["after"].images.flat is not None
    assert found["after"].images.n_frames == MAX_FRAMES
    assert "taken after the series" in found["after"].notes[1]
    assert "the last 50 of 53 frames" in found["after"].notes[2]
    assert "another grid" in found["other"].notes[1]
    assert found["other"].images.slow is None


def test_the_ideal_fov_comes_first(tmp_path):
    """Row C7: the FOV that shows the distortion best."""
    store = new_store(tmp_path / "s.zarr")
    scores = {"a": 0.7, "b": 0.9, "c": 0.99, "d": None, "e": None}
    for fov, score in scores.items():
        add_fov(store, fov, slow=fov != "d")
        if fov != "e":
            add_calibration(store, fov, zncc_after=score, carried_over=fov in "cd")
    assert [f.name for f in fits_best(read_store(store).fovs)] == ["b", "a", "c", "d"]


def test_a_slow_scan_of_more_pixels_is_no_distortion(tmp_path):
    store = new_store(tmp_path / "s.zarr")
    add_fov(store, shape=(20, 30))
    put(
        store,
        "fov01/calibration",
        {
            "source_x": ("x", (np.arange(60) + 0.5) / 2 - 0.5),
            "source_y": ("y", (np.arange(40) + 0.5) / 2 - 0.5),
        },
        attrs={"method": "spline", "pixel_ratio": 0.5, "rapid_shape": [20, 30]},
    )
    (found,) = corrections(store)
    np.testing.assert_allclose(found.line.departure_px, 0, atol=1e-12)
    np.testing.assert_allclose(found.stretch_percent, 0, atol=1e-9)
    np.testing.assert_array_equal(found.images.before, found.images.after)
    assert found.pixel_size_nm == pytest.approx(1.05)


def test_a_map_that_leads_out_of_the_rapid_frames_is_refused():
    rapid, distortion = known()
    with pytest.raises(DistortionError, match="shows no place"):
        correct_images(rapid, distortion.shifted(0, 500), dark_lines(Y, X), 1.0, 1)
    images = correct_images(rapid, distortion, dark_lines(Y, X), 100.0, 1)
    assert np.isfinite(images.before).sum() == 1
    assert np.isnan(root_mean_square(np.full(SHAPE, np.nan)))


def test_images_that_cannot_be_read_leave_the_map(tmp_path):
    store = calibrated(tmp_path / "s.zarr")
    for chunk in (store / "fov01/rapid/frames/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    view = read_store(store)
    found = read_correction(view, view.fovs[0])
    assert found.images is None
    assert np.isnan(found.zncc_after)
    assert found.line.departure_px.size == SHAPE[1]
    assert any("no picture of its distortion" in p for p in view.problems)
