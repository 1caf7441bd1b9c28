import numpy as np
import pytest
import xarray as xr
import zarr
from reports.builders import (
    add_calibration,
    add_dcfi,
    add_filtered,
    add_fov,
    new_store,
    put,
)

from stemscale.errors import StoreError
from stemscale.views.store_view import read_store


def test_a_store_is_read_by_parts(tmp_path):
    store = new_store(tmp_path / "a.zarr", history="one\ntwo")
    add_fov(store, use="test", temperature=True, n_frames=4)
    add_calibration(store, pixel_ratio=1.1, source="x")
    add_dcfi(store)
    add_filtered(store, n_frames=4, status=[1, 1, 2, 3], trained_on=True, filter_card={"a": 1})
    view = read_store(store)
    (fov,) = view.fovs
    assert view.name == "a.zarr"
    assert view.history == ("one", "two")
    assert (fov.use, fov.shape, fov.dtype) == ("test", (4, 48, 64), "uint16")
    assert (fov.pixel_size_nm, fov.dwell_time_ns, fov.flyback_time_us) == (2.1, 100, 25)
    assert fov.frame_interval_s == pytest.approx(0.039)
    np.testing.assert_allclose(fov.temperature, [90, 90.5, 91, 91.5])
    assert (fov.slow.relation, fov.slow.dwell_time_ns) == ("same", 5000)
    assert (fov.calibration.shape, fov.calibration.pixel_ratio) == ((48, 64), 1.1)
    assert fov.calibration.has_dcfi
    dcfi, dlf = fov.filters
    assert (dcfi.kind, dlf.kind) == ("dcfi", "learned")
    assert dlf.trained_on
    assert fov.trained
    assert (dlf.count(1), dlf.count(2), dlf.count(3)) == (2, 1, 1)
    assert view.problems == []


@pytest.mark.parametrize(
    ("name", "label", "card", "kind"),
    [
        ("a", "dcfi", None, "dcfi"),
        ("a", "none", None, "none"),
        ("a", "bm3d", None, "bm3d"),
        ("a", "x.safetensors", None, "learned"),
        ("a", "x", {"k": 1}, "learned"),
        ("a", "x", None, "other"),
    ],
)
def test_the_kind_of_a_filter_comes_from_its_attributes(tmp_path, name, label, card, kind):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    attrs = {"filter": label} | ({"filter_card": card} if card else {})
    add_filtered(store, name=name, **attrs)
    assert read_store(store).fovs[0].filters[0].kind == kind


def test_fovs_come_in_natural_order(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    for name in ("fov10", "fov2", "fov1"):
        add_fov(store, name, n_frames=1, slow=False)
    assert [f.name for f in read_store(store).fovs] == ["fov1", "fov2", "fov10"]


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_read(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    zarr.open_group(store, path="fov02/rapid")  # no frames in it
    zarr.open_group(store, path="fov01/filtered/empty")
    view = read_store(store)
    assert [f.name for f in view.fovs] == ["fov01"]
    assert view.fovs[0].filters == ()
    assert len(view.problems) == 2
    assert any("fov02" in p for p in view.problems)
    assert any("fov01/filtered/empty" in p for p in view.problems)


@pytest.mark.parametrize("bad", ["wide", -1, 0, float("inf"), None, [2.1]])
def test_settings_that_are_no_positive_numbers_count_as_not_known(tmp_path, bad):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    zarr.open_group(store, path="fov01/rapid").attrs.update({"pixel_size_nm": bad})
    assert read_store(store).fovs[0].pixel_size_nm is None


def test_a_distortion_may_depend_on_the_row(tmp_path):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    source = np.arange(64.0) + np.linspace(-1, 1, 48)[:, None]
    rows = (("y", "x"), np.broadcast_to(np.arange(48.0)[:, None], (48, 64)))
    put(store, "fov01/calibration", {"source_x": (("y", "x"), source), "source_y": rows})
    calibration = read_store(store).fovs[0].calibration
    assert calibration.shape == (48, 64)
    np.testing.assert_allclose(calibration.source_x, np.arange(64.0), atol=1e-12)


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        read_store(tmp_path / "nothing.zarr")
    zarr.create_group(tmp_path / "other.zarr", zarr_format=3)
    with pytest.raises(StoreError, match="has stemscale format None"):
        read_store(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match="no field of view"):
        read_store(new_store(tmp_path / "empty.zarr"))
    with pytest.raises(StoreError, match="format '2', but this version reads '1'"):
        read_store(new_store(tmp_path / "newer.zarr", stemscale_format="2"))


@pytest.mark.parametrize("state", ["partial", "complete"])
def test_a_group_that_is_just_being_made_longer_is_opened_once_more(tmp_path, monkeypatch, state):
    store = new_store(tmp_path / "a.zarr")
    add_fov(store)
    add_filtered(store, state=state)
    opens, refused = xr.open_zarr, []

    def open_zarr(*args, group, **options):
        if group.endswith("/dlf") and not refused:
            refused.append(group)
            raise ValueError("conflicting sizes for dimension 'frame'")
        return opens(*args, group=group, **options)

    monkeypatch.setattr(xr, "open_zarr", open_zarr)
    view = read_store(store)
    assert len(refused) == 1
    assert [f.name for f in view.fovs[0].filters] == ["dlf"] * (state == "partial")
    assert bool(view.problems) == (state == "complete")
