import numpy as np
import pytest
import zarr
from reports.builders import (
    add_calibration,
    add_dcfi,
    add_filtered,
    add_fov,
    new_store,
    put,
    scene,
)

from stemscale.reports.display import prepare, smeared_place
from stemscale.reports.shots import choose_frame, read_shots
from stemscale.views.grey_scale import grey_window, on_scale_of
from stemscale.views.store_view import read_store


def shots_of(path):
    view = read_store(path)
    return read_shots(view, view.fovs[0])


def test_shots_come_in_the_order_of_the_paper(tmp_path):
    """Fig. 3: rapid, DCFI, filtered, slow."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_calibration(path)
    add_dcfi(path)
    add_filtered(path, name="dlf_slow")
    add_filtered(path, name="dlf_dcfi")
    add_filtered(path, name="plain", filter="none")
    add_filtered(path, name="bm3d", filter="bm3d")
    shots = shots_of(path)
    assert [s.name for s in shots.shots] == [
        "rapid",
        "DCFI",
        "bm3d",
        "dlf_dcfi",
        "dlf_slow",
        "slow scan",
    ]
    assert [s.role for s in shots.shots][:2] == ["rapid", "dcfi"]
    assert shots.shots[1].note == "average of 3 frames"
    assert shots.reference.role == "slow"


def test_the_calibrated_rapid_frame_is_shown_corrected(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    recorded = shots_of(path).shots[0]
    assert recorded.note == "as recorded"
    assert recorded.pixel_size_nm == 2.1
    add_calibration(path, pixel_ratio=2.0)
    corrected = shots_of(path).shots[0]
    assert corrected.note == "distortion corrected"
    assert corrected.pixel_size_nm == 4.2
    # source_y = y + 1: the image moves up by a row, and the last one was not seen
    np.testing.assert_allclose(corrected.image[:-1, 0], recorded.image[1:, 0])
    assert np.isnan(corrected.image[-1]).all()


def test_a_calibration_of_another_grid_than_the_filters_is_not_applied(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_calibration(path, shape=(40, 50))
    add_filtered(path)
    assert shots_of(path).shots[0].note == "as recorded"


def test_the_average_of_the_calibration_serves_where_there_is_no_filter(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, slow=False)
    add_calibration(path)
    shots = shots_of(path)
    assert [s.name for s in shots.shots] == ["rapid", "DCFI"]
    assert shots.reference.name == "DCFI"


def test_only_one_frame_of_each_array_is_read(tmp_path):
    """All other frames are torn, and nobody notices."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5)
    add_filtered(path, n_frames=5)
    for frames in ("fov01/rapid/frames", "fov01/filtered/dlf/frames"):
        for index in (0, 1, 3, 4):
            (path / frames / "c" / str(index) / "0/0").write_bytes(b"torn")
    view = read_store(path)
    shots = read_shots(view, view.fovs[0])
    assert shots.frame == 2
    assert [s.name for s in shots.shots] == ["rapid", "dlf", "slow scan"]
    assert view.problems == []


def test_the_frame_shown_is_the_median_one(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5)
    add_filtered(path, n_frames=5)
    assert choose_frame(read_store(path).fovs[0]) == 2


def test_a_frame_that_is_not_done_is_not_shown(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5)
    add_filtered(path, n_frames=5, status=[1, 0, 0, 2, 3])
    assert choose_frame(read_store(path).fovs[0]) == 0
    assert "dlf" in [s.name for s in shots_of(path).shots]


def test_before_a_slow_scan_taken_after_it_is_the_last_frame(tmp_path):
    """Row Q9."""
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=5, relation="after")
    add_filtered(path, n_frames=5)
    assert choose_frame(read_store(path).fovs[0]) == 4


def test_without_scores_it_is_the_middle_frame(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, n_frames=7, slow=False)
    assert choose_frame(read_store(path).fovs[0]) == 3


def test_a_filter_of_which_nothing_is_done_has_no_shot(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path, status=[0, 0, 0])
    assert [s.name for s in shots_of(path).shots] == ["rapid", "slow scan"]


def test_pixels_of_a_failed_frame_are_not_shown_whatever_they_are(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path)
    zarr.open_array(path / "fov01/filtered/dlf/frame_status")[:] = 2
    assert [s.name for s in shots_of(path).shots] == ["rapid", "slow scan"]


def test_an_image_that_cannot_be_read_is_named_and_left_out(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path)
    add_filtered(path)
    for chunk in (tmp_path / "a.zarr/fov01/slow/image/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"torn")
    view = read_store(path)
    shots = read_shots(view, view.fovs[0])
    assert [s.name for s in shots.shots] == ["rapid", "dlf"]
    assert len(view.problems) == 1
    assert "fov01" in view.problems[0]


def test_a_match_keeps_the_contrast_of_a_noisy_image():
    """Regressing the noisy image on the clean one would show it with half of its contrast."""
    clean = scene((128, 128))
    noisy = clean + clean.std() * np.random.default_rng(0).normal(size=clean.shape)
    matched = on_scale_of(40 * noisy + 7000, clean)
    np.testing.assert_allclose(matched, noisy, atol=0.1 * clean.std())


def test_an_image_of_another_grid_is_matched_by_median_and_spread():
    reference = scene((64, 64))
    matched = on_scale_of(5 * scene((40, 80)) + 100, reference)
    assert np.median(matched) == pytest.approx(np.median(reference))
    low, high = np.quantile(matched, [0.16, 0.84])
    assert high - low == pytest.approx(np.ptp(np.quantile(reference, [0.16, 0.84])))


@pytest.mark.parametrize("level", [0.0, 30000.0])
def test_constant_images_can_be_shown(level):
    image = np.full((20, 20), level)
    assert np.isfinite(on_scale_of(image, scene((20, 20)))).all()
    assert np.isfinite(on_scale_of(scene((20, 20)), image)).all()
    black, white = grey_window(image)
    assert black < level < white


def test_one_hot_pixel_does_not_set_the_grey_window():
    image = scene((100, 100))
    expected = grey_window(image)
    image[3, 3] = 1e6
    assert grey_window(image) == pytest.approx(expected, abs=0.05)


def test_the_crop_lies_on_a_vertical_edge():
    image = np.zeros((120, 120))
    image[80:83] = -1.0  # a line along x shows no smear
    image[10:60, 90:93] = -1.0
    crop = smeared_place(image, [image])
    assert crop.size == 20
    assert crop.left <= 91 < crop.left + crop.size
    assert 5 <= crop.top <= 45


def test_a_vertical_edge_is_preferred_to_a_stronger_slanting_one():
    y, x = np.mgrid[:120, :120].astype(float)
    image = -np.exp(-0.5 * ((x - y - 30) / 2.5) ** 2) - 0.7 * np.exp(-0.5 * ((x - 20) / 2) ** 2)
    crop = smeared_place(image, [image])
    assert crop.left <= 20 < crop.left + crop.size


def test_the_crop_is_seen_in_all_images():
    image = np.zeros((120, 120))
    image[:, 30:33] = -0.5
    image[:, 90:93] = -1.0
    hidden = image.copy()
    hidden[:, 85:] = np.nan
    crop = smeared_place(image, [image, hidden, np.full((9, 9), np.nan)])
    assert crop.left <= 31 < crop.left + crop.size
    assert np.isfinite(crop.of(hidden)).all()


@pytest.mark.parametrize(
    "image", [np.zeros((16, 16)), np.full((120, 120), np.nan)], ids=["small", "not seen"]
)
def test_where_no_crop_fits_there_is_none(image):
    with np.errstate(all="ignore"):
        assert smeared_place(np.nan_to_num(image), [image]) is None


def test_prepare_names_what_the_images_are_matched_to(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    add_fov(path, shape=(96, 80))
    put(path, "fov01/slow", {"image": (("y", "x"), 7 * scene((96, 80)) + 3)})
    display = prepare(shots_of(path))
    assert display.matched_to == "slow scan"
    assert display.crop is not None
    rapid, slow = display.images
    assert np.median(rapid) == pytest.approx(np.median(slow), abs=0.2)


def test_the_first_frame_of_an_output_that_grows_is_no_average(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    add_filtered(store, n_frames=1, state="partial")
    view = read_store(store)
    assert "dlf" in [s.name for s in read_shots(view, view.fovs[0], frame=0).shots]
    assert "dlf" not in [s.name for s in read_shots(view, view.fovs[0], frame=1).shots]
