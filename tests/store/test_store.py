import errno
import json
import shutil
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import stemscale
from stemscale.acquisition import ScanSettings, frame_coordinates
from stemscale.errors import StoreConflictError, StoreError
from stemscale.store import (
    AcquisitionStore,
    block_bounds,
    block_count,
    check_epoch,
    commit_block,
    current_epoch,
    fill_value,
    find_damage,
    finish_frames,
    frames_per_block,
    hold_lease,
    is_on_disk,
    lease,
    ledger_root,
    natural_order,
)
from stemscale.store.ledger import write_json

GROUP = "fov01/rapid"
SETTINGS = ScanSettings(n_x=6, n_y=4, pixel_size_nm=2.0, dwell_time_ns=100)


def make_store(path, *, n=10, block=4, dtype="uint16", with_fill=False):
    store = AcquisitionStore.create(path)
    array = store.create_frames(
        "fov01",
        GROUP,
        xr.Dataset(coords=frame_coordinates(SETTINGS, {}, n)),
        SETTINGS,
        n_frames=n,
        dtype=np.dtype(dtype),
        with_fill=with_fill,
        long_name="frames",
        block=block,
    )
    ledger = store.ledger(GROUP)
    ledger.start({"fingerprint": "x"})
    return store, array, ledger


def fill(array, ledger):
    for i in range(array.n_blocks):
        start, stop = array.bounds(i)
        frames = np.arange(start, stop)[:, None, None] + np.zeros(array.shape[1:])
        commit_block(array, ledger, i, frames.astype(array.dtype))


@given(st.integers(1, 10**6), st.integers(1, 4096), st.integers(1, 4096))
def test_blocks_are_powers_of_two_that_cover_every_frame_once(n, n_y, n_x):
    block = frames_per_block(n, n_y, n_x)
    assert block & (block - 1) == 0
    assert block < 2 * n or block == 1
    bounds = [block_bounds(i, n, block) for i in {0, block_count(n, block) - 1}]
    assert bounds[0][0] == 0 or len(bounds) == 2
    assert max(b for _, b in bounds) == n


def test_a_block_of_512_x_512_has_32_frames():
    assert frames_per_block(2000, 512, 512) == 32
    assert frames_per_block(20, 512, 512) == 32
    assert frames_per_block(5, 512, 512) == 8


def test_frames_read_back_equal_and_records_follow_the_pixels(tmp_path):
    _, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    np.testing.assert_array_equal(array.read(0, 10)[:, 0, 0], np.arange(10))
    records = ledger.records()
    assert [(r.start, r.stop) for r in records.values()] == [(0, 4), (4, 8), (8, 10)]
    assert all(is_on_disk(array, r) for r in records.values())


def test_an_all_zero_block_is_written_too(tmp_path):
    _, array, ledger = make_store(tmp_path / "s.zarr")
    record = commit_block(array, ledger, 0, np.zeros((4, 4, 6), "uint16"))
    assert array.shard(0).stat().st_size == record.size > 0


@pytest.mark.parametrize("shape", [(3, 4, 6), (5, 4, 6), (4, 4, 5)])
def test_a_part_of_a_shard_is_never_written(tmp_path, shape):
    _, array, _ = make_store(tmp_path / "s.zarr")
    with pytest.raises(StoreError, match="block 0 of fov01/rapid holds"):
        array.write(0, np.zeros(shape, "uint16"))


def test_a_run_that_lost_its_lease_writes_neither_pixels_nor_record(tmp_path):
    _, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    before = array.shard(0).read_bytes()

    def gone():
        raise StoreConflictError("replaced")

    with pytest.raises(StoreConflictError):
        commit_block(array, ledger, 0, np.zeros((4, 4, 6), "uint16"), still_mine=gone)
    assert array.shard(0).read_bytes() == before
    assert ledger.record(0) is not None


def test_a_torn_shard_does_not_block_its_own_rewrite(tmp_path):
    _, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    array.shard(1).write_bytes(array.shard(1).read_bytes()[:50])
    commit_block(array, ledger, 1, np.full((4, 4, 6), 7, "uint16"))
    assert (array.read(4, 8) == 7).all()


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda b: bytes([*b[:30], b[30] ^ 1, *b[31:]]), "changed"),
        (lambda b: b[:-3], "bytes long"),
        (lambda b: b"", "bytes long"),
        (None, "missing"),
    ],
    ids=["flipped bit", "truncated", "emptied", "deleted"],
)
def test_damage_is_found_and_named_with_and_without_the_ledger(tmp_path, harm, word):
    store, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    finish_frames(store, GROUP, ledger.records())
    shard = array.shard(1)
    if harm is None:
        shard.unlink()
    else:
        shard.write_bytes(harm(shard.read_bytes()))
    for _ in range(2):
        found = [d for d in find_damage(store, GROUP) if d is not None]
        assert [(d.block, d.start, d.stop) for d in found] == [(1, 4, 8)]
        assert word in found[0].reason
        shutil.rmtree(ledger_root(store.path), ignore_errors=True)


def test_a_whole_store_has_no_damage_and_an_unfinished_one_says_so(tmp_path):
    store, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    assert list(find_damage(store, GROUP)) == [None, None, None]
    ledger.forget(2)
    assert [d and d.reason for d in find_damage(store, GROUP)] == [None, None, "never finished"]


def test_only_one_driver_holds_a_lease_and_each_gets_a_new_epoch(tmp_path):
    file = tmp_path / "lease.json"
    with hold_lease(file, what="fov01") as first:
        refused = pytest.raises(StoreConflictError, match="fov01 is being written by process")
        with refused, hold_lease(file, what="fov01"):
            pass
        check_epoch(file, first, what="fov01")
    with hold_lease(file, what="fov01") as second:
        assert second == first + 1
        with pytest.raises(StoreConflictError, match="late write"):
            check_epoch(file, first, what="fov01")


def test_the_lease_of_a_dead_process_is_taken_over(tmp_path):
    file = tmp_path / "lease.json"
    with hold_lease(file, what="fov01"):
        held = json.loads(file.read_text())
    write_json(file, {**held, "held": True, "pid": 2**22 + 12345})
    with hold_lease(file, what="fov01") as epoch:
        assert epoch == 2
    assert current_epoch(file) == 2


def test_a_lease_whose_lock_vanishes_while_it_is_looked_at_is_being_claimed(tmp_path):
    file = tmp_path / "lease.json"
    (tmp_path / "lease.json.lock").symlink_to(tmp_path / "gone")  # there, but not to be looked at
    refused = pytest.raises(StoreConflictError, match="being claimed by another run")
    with refused, hold_lease(file, what="fov01"):
        pass


def test_a_lease_is_given_back_although_the_disk_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "lease.json"
    with hold_lease(file, what="fov01"), monkeypatch.context() as patch:
        patch.setattr(lease, "write_json", full)
        lease._release(file, {"epoch": 1})
        assert lease.lease_holder(file) is None
        assert not lease.was_left(file)
    with hold_lease(file, what="fov01") as epoch:
        assert epoch == 2


def test_xarray_opens_the_store_whole_and_in_parts_without_a_warning(tmp_path):
    store, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    finish_frames(store, GROUP, ledger.records(), with_status=False)
    store.consolidate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_datatree(store.path, engine="zarr") as tree:
            assert tree["fov01"].dims == {}
            assert tree["fov01/rapid"].sizes["frame"] == 10
        with xr.open_zarr(store.path, group=GROUP) as rapid:
            assert rapid["frames"].dims == ("frame", "y", "x")
            assert rapid["frames"].dtype == "uint16"
            assert "time" in rapid.coords
            assert rapid["time"].attrs["units"] == "s"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_pixels_never_seen_are_nan_in_plain_xarray(tmp_path, dtype):
    store, array, ledger = make_store(
        tmp_path / "s.zarr", n=2, block=2, dtype=dtype, with_fill=True
    )
    frames = np.full((2, 4, 6), 5, dtype)
    frames[1, 2, 3] = fill_value(np.dtype(dtype))
    commit_block(array, ledger, 0, frames)
    store.consolidate()
    with xr.open_zarr(store.path, group=GROUP) as opened:
        values = opened["frames"].values
    assert np.isnan(values[1, 2, 3])
    assert np.isfinite(values).sum() == values.size - 1


def test_later_variables_leave_the_attributes_of_a_group_alone(tmp_path):
    store, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    assert finish_frames(store, GROUP, ledger.records()) == "complete"
    attrs = store.attrs(GROUP)
    assert attrs["pixel_size_nm"] == 2.0
    assert attrs["state"] == "complete"
    assert attrs["ome"]["multiscales"][0]["axes"][0] == {
        "name": "frame",
        "type": "time",
        "unit": "second",
    }


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not a stemscale store"):
        AcquisitionStore(tmp_path / "x")
    with pytest.raises(StoreError, match="choose another path"):
        AcquisitionStore.create(tmp_path / "x")
    assert [f.name for f in (tmp_path / "x").iterdir()] == ["notes.txt"]


def test_a_store_of_another_format_is_refused_by_name(tmp_path):
    store = AcquisitionStore.create(tmp_path / "s.zarr")
    store.set_attrs("", {"stemscale_format": "99"})
    with pytest.raises(StoreError, match="format '99'"):
        AcquisitionStore(tmp_path / "s.zarr")


def test_names_sort_as_people_count():
    assert sorted(["fov10", "fov2", "fov1"], key=natural_order) == ["fov1", "fov2", "fov10"]
    assert sorted(["10²", "10", "9²", "²"], key=natural_order) == ["9²", "10", "10²", "²"]


@pytest.mark.parametrize("name", ["mark", "changing", "zarr"])
def test_any_name_of_a_fov_may_be_changed_and_put_on_record(tmp_path, name):
    store = AcquisitionStore.create(tmp_path / "s.zarr")
    store.write_dataset(f"{name}/rapid", xr.Dataset({"x": 1}))
    assert store.changing() == {f"{name}/rapid"}
    store.consolidate()
    assert store.changing() == set()


def test_writing_into_a_group_reads_nothing_above_it(tmp_path):
    """The root has the metadata of all others on record: megabytes, where there are many."""
    store, array, ledger = make_store(tmp_path / "s.zarr")
    fill(array, ledger)
    store.consolidate()
    (tmp_path / "s.zarr" / "zarr.json").write_text("not read")
    scores = xr.Dataset({"psnr": ("frame", np.arange(3.0))})
    store.write_dataset("summary/fov01/gaussian", scores)
    store.write_image("summary/fov01", "image", np.ones((4, 6), np.float32), {"units": "1"})
    assert store.dataset("summary/fov01/gaussian")["psnr"].values.tolist() == [0.0, 1.0, 2.0]
    assert store.array("summary/fov01/image")[:].sum() == 24


@pytest.mark.parametrize("names", [[], ["a"]])
def test_an_empty_store_says_how_to_fill_it(tmp_path, names):
    store = AcquisitionStore.create(tmp_path / "s.zarr")
    with pytest.raises(StoreError, match=r"holds no field of view: add one with `stemscale ing"):
        store.require_fovs(names)
    with pytest.raises(StoreError, match=r"holds no field of view: add one with `stemscale ing"):
        stemscale.summarize(tmp_path / "s.zarr")
