"""What is known of a series, without a browser: images, growth, cache, pixels, profiles."""

from dataclasses import replace

import numpy as np
import pytest
import zarr
from growing import Grower
from reports.builders import add_calibration, add_dcfi, add_filtered, add_fov, new_store
from viewer.builders import in_situ, numbered

from stemscale.distortion import DistortionMap, Warp
from stemscale.store import AcquisitionStore
from stemscale.viewer.choice import first_choice, with_filter
from stemscale.viewer.curves import read_curves
from stemscale.viewer.greys import Scale, Window, auto_window, match, shrink, to_greys
from stemscale.viewer.library import Library
from stemscale.viewer.picture import Scales, draw, draw_spectra
from stemscale.viewer.profiles import Line, profile
from stemscale.viewer.reading import ImageCache, NotShownError
from stemscale.viewer.series import Grid


def opened(path, fov="fov01"):
    return Library(path).opened(fov)


def test_the_images_on_offer_are_those_that_there_are(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    assert opened(path).series.images == (
        "recorded",
        "corrected",
        "filtered:live",
        "filtered:soft",
        "slow",
    )
    assert opened(path, "fov02").series.images == ("recorded",)


def test_a_frame_is_read_as_stored_and_what_was_not_seen_is_nan(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    zarr.open_group(path, path="fov01/filtered/live", mode="r+")["frames"][2, 5, :7] = 0
    found = opened(path)
    image = found.reader.image(found.series, "filtered:live", 2)
    stored = zarr.open_group(path, path="fov01/filtered/live")["frames"][2].astype(np.float32)
    assert np.isnan(image[5, :7]).all()
    assert np.isnan(image).sum() == 7
    np.testing.assert_array_equal(image[6:], stored[6:])
    raw = found.reader.image(found.series, "recorded", 2)
    np.testing.assert_array_equal(raw, zarr.open_group(path, path="fov01/rapid")["frames"][2])


def test_rapid_frames_are_corrected_by_the_calibration(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    found = opened(path)
    group = zarr.open_group(path, path="fov01/calibration")
    distortion = DistortionMap(
        source_x=group["source_x"][:][None],
        source_y=group["source_y"][:][:, None],
        rapid_shape=(48, 64),
    )
    raw = found.reader.image(found.series, "recorded", 4)
    corrected = found.reader.image(found.series, "corrected", 4)
    np.testing.assert_array_equal(corrected, Warp(distortion)(raw[None])[0])


@pytest.mark.parametrize(
    ("status", "word"), [(0, "not filtered yet"), (2, "failed"), (3, "damaged in the input")]
)
def test_a_frame_that_is_not_done_says_why(tmp_path, status, word):
    path = in_situ(tmp_path / "s.zarr")
    group = zarr.open_group(path, path="fov01/filtered/live", mode="r+")
    group["frame_status"][1] = status
    found = opened(path)
    with pytest.raises(NotShownError, match=word):
        found.reader.image(found.series, "filtered:live", 1)
    assert found.reader.image(found.series, "filtered:live", 0).shape == (48, 64)


def test_an_average_of_the_series_stands_beside_every_frame(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    add_fov(path, n_frames=5)
    add_dcfi(path)
    found = opened(path)
    one, other = (found.reader.image(found.series, "filtered:dcfi", f) for f in (0, 4))
    np.testing.assert_array_equal(one, other)


def test_a_growing_series_is_read_again_only_when_it_has_grown(tmp_path):
    with Grower(tmp_path / "s.zarr") as grower:
        frames = np.random.default_rng(0).integers(100, 900, (9, 24, 32))
        grower.add(frames[:3])
        library = Library(tmp_path / "s.zarr")
        first = library.opened("fov01")
        assert (first.series.n_frames, first.series.newest) == (3, 2)
        assert library.refresh("fov01") is first
        first.reader.image(first.series, "recorded", 1)
        grower.add(frames[3:])
        second = library.refresh("fov01")
        assert (second.series.n_frames, second.series.newest) == (9, 8)
        assert second.reader is first.reader  # what was read stays
        last = second.reader.image(second.series, "recorded", 8)
        np.testing.assert_array_equal(last, frames[8])


def test_frames_filtered_again_are_not_taken_from_the_cache(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    library = Library(path)
    before = library.opened("fov01")
    old = before.reader.image(before.series, "filtered:live", 0)
    group = zarr.open_group(path, path="fov01/filtered/live", mode="r+")
    group["frames"][0] = group["frames"][0] + 1
    group.attrs["fingerprint"] = "another"
    after = library.refresh("fov01")
    np.testing.assert_array_equal(after.reader.image(after.series, "filtered:live", 0), old + 1)


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = ImageCache(max_bytes=3 * 400)
    images = {n: np.full((10, 10), n, dtype=np.float32) for n in range(4)}
    for n in range(3):
        cache.put(n, images[n])
    assert cache.get(0) is images[0]
    cache.put(3, images[3])
    assert cache.get(1) is None
    assert all(cache.get(n) is images[n] for n in (0, 2, 3))


def test_another_fov_keeps_what_was_chosen_where_it_can(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    series = opened(path).series
    choice = with_filter(first_choice(series), "soft").at(7, series)
    assert choice.swipe == ("corrected", "filtered:soft")
    other = first_choice(opened(path, "fov02").series, before=choice)
    assert (other.frame, other.filter, other.swipe) == (2, None, ("recorded", "recorded"))
    assert first_choice(series).filter == "live"  # a learned one before the others


def test_the_rapid_frame_is_shown_on_the_scale_of_the_filtered_one(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    add_fov(path)
    add_filtered(path)
    frames = zarr.open_group(path, path="fov01/rapid", mode="r+")["frames"]
    frames[:] = frames[:] // 4 + 3
    found = opened(path)
    choice = first_choice(found.series)
    scales = Scales()
    scale = scales.scale(found, choice, "recorded")
    raw = found.reader.image(found.series, "recorded", 0)
    filtered = found.reader.image(found.series, "filtered:dlf", 0)
    assert np.median(raw * scale.gain + scale.offset) == pytest.approx(
        np.median(filtered), rel=0.03
    )
    assert scales.scale(found, replace(choice, frame=2), "recorded") == scale  # once a series


def test_greys_leave_a_value_for_what_was_not_seen():
    image = np.array([[0, 50, 100], [np.nan, -10, 200]], dtype=np.float32)
    greys = to_greys(image, Window(black=0, white=100))
    assert greys.tolist() == [[1, 128, 255], [0, 1, 255]]
    assert to_greys(image, Window(black=5, white=5)).tolist()[1][0] == 0
    constant = np.full((4, 4), 7, dtype=np.float32)
    assert auto_window(constant, Scale()).black < 7 < auto_window(constant, Scale()).white
    assert match(constant, constant).gain == 1


def test_a_shrunk_image_is_averaged_over_areas_and_unseen_parts_do_not_darken_it():
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    np.testing.assert_allclose(shrink(image, 0.5)[0, 0], image[:2, :2].mean(), rtol=1e-6)
    image[0, 0] = np.nan
    np.testing.assert_allclose(shrink(image, 0.5)[0, 0], np.nanmean(image[:2, :2]), rtol=1e-5)
    image[:2, :2] = np.nan
    assert np.isnan(shrink(image, 0.5)[0, 0])
    assert shrink(image, 3.0) is image


def test_a_profile_reads_along_its_line_in_nm():
    image = np.tile(np.arange(20, dtype=np.float32), (10, 1))
    grid = Grid(shape=(10, 20), pixel=2.0)
    distance, intensity = profile(image, grid, Line(x0=1, y0=9, x1=39, y1=9), width_px=3)
    assert distance[-1] == 38
    np.testing.assert_allclose(intensity, distance / 2)
    image[4, :] = np.nan
    assert np.isfinite(profile(image, grid, Line(x0=1, y0=9, x1=39, y1=9), width_px=5)[1]).all()
    outside = profile(image, grid, Line(x0=-20, y0=5, x1=-10, y1=5))[1]
    assert np.isnan(outside).all()


def test_a_spectrum_has_a_peak_at_the_wave_number_of_a_grating(tmp_path):
    path = numbered(tmp_path / "s.zarr", n_frames=2, shape=(64, 64))
    x = np.arange(64)
    grating = (1000 + 300 * np.cos(2 * np.pi * x / 4)).astype(np.uint16)
    group = zarr.open_group(path, path="fov01/rapid", mode="r+")
    group["frames"][0] = np.broadcast_to(grating, (64, 64))
    group.attrs["pixel_size_nm"] = 2.0
    found = opened(path)
    choice = replace(first_choice(found.series), spectra=("recorded", "recorded"))
    one, other = draw_spectra(found, choice, Scales(), across_px=64)
    assert one.pixels is not None
    np.testing.assert_array_equal(one.pixels, other.pixels)
    left, _, width, _ = one.bounds
    row = one.pixels[32].astype(int)
    row[28:37] = 0  # the mean
    at = left + (np.argmax(row) + 0.5) * width / 64
    assert abs(at) == pytest.approx(1000 / (4 * 2.0))  # [1/µm]


def test_curves_mark_frames_that_are_missing_lost_or_out_of_range(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    add_fov(path, n_frames=8, temperature=True)
    add_filtered(path, n_frames=8, status=[1, 1, 1, 0, 0, 2, 3, 1])
    found = opened(path).series
    curves = read_curves(found, "dlf")
    step = 0.039
    assert curves.in_time
    assert curves.missing == [pytest.approx((2.5 * step, 4.5 * step))]
    np.testing.assert_allclose(curves.lost, [5 * step, 6 * step])
    np.testing.assert_allclose(curves.filtered[[0, 7]], [16.0, 16.7])
    assert np.isnan(curves.filtered[3:7]).all()
    assert curves.nearest(6.6 * step) == 7
    bare = read_curves(found, None)
    assert np.isnan(bare.filtered).all()


def test_a_damaged_frame_has_a_word_and_the_others_their_pixels(tmp_path):
    path = in_situ(tmp_path / "s.zarr")
    damaged = path / "fov01/filtered/live/frames/c/1/0/0"
    damaged.write_bytes(damaged.read_bytes()[:100])
    found = opened(path)
    choice = first_choice(found.series).at(1, found.series)
    scales = Scales()
    drawn = draw(found, choice, "filtered:live", scales, per_unit=1.0)
    assert drawn.pixels is None
    assert "cannot be read" in drawn.word
    assert draw(found, choice, "recorded", scales, per_unit=1.0).pixels is not None


def test_a_store_without_sizes_or_times_is_shown_in_pixels_and_frames(tmp_path):
    path = numbered(tmp_path / "s.zarr")
    series = opened(path).series
    assert series.unit == "px"
    assert series.grid("recorded") == Grid(shape=(40, 48), pixel=1.0)
    assert series.times() is None
    assert not read_curves(series, None).in_time


def test_the_map_of_another_store_is_taken_from_the_run(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    add_fov(path, slow=False)
    add_calibration(path)
    store = AcquisitionStore(path)
    group = zarr.open_group(path, path="fov01/calibration")
    columns, rows = group["source_x"][:][None], group["source_y"][:][:, None]
    add_filtered(path, distortion_transfer={"store": "other.zarr", "fingerprint": "x"})
    distortion = DistortionMap(source_x=columns, source_y=rows, rapid_shape=(48, 64))
    from stemscale.corrections import keep_distortion

    keep_distortion(store.ledger("fov01/filtered/dlf"), distortion)
    store.delete("fov01/calibration")
    found = opened(path)
    raw = found.reader.image(found.series, "recorded", 0)
    corrected = found.reader.image(found.series, "corrected", 0)
    np.testing.assert_array_equal(corrected, Warp(distortion)(raw[None])[0])
