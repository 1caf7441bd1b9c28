"""Larger blocks of small ones: nothing else changes, whenever it is killed."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import BLOCK, N_FRAMES, scene

import stemscale
from stemscale.errors import DamagedDataError, StoreConflictError, StoreError
from stemscale.pipeline import plan_process
from stemscale.store import AcquisitionStore, compaction_journal, hold_lease, ledger_root

pytestmark = pytest.mark.cluster

RUNS = {
    "none": {"filter": "none"},
    "rolling": {"filter": "dcfi", "window": 3},
    "average": {"filter": "dcfi"},
}
GROUPS = ("rapid", *(f"filtered/{name}" for name in RUNS))
LARGER = 8


_made = []  # once, then copied


@pytest.fixture
def small(request, client, tmp_path, tmp_path_factory):
    """Two FOVs in blocks of 4, corrected, in a rolling average, and averaged."""
    if not _made:
        store = request.getfixturevalue("calibrated")
        for name, asked in RUNS.items():
            stemscale.process(store, **asked, name=name, client=client)
        kept = tmp_path_factory.mktemp("small") / "s.zarr"
        shutil.copytree(store, kept)
        shutil.copytree(ledger_root(store), ledger_root(kept))
        _made.append(kept)
    mine = tmp_path / "mine.zarr"
    shutil.copytree(_made[0], mine)
    shutil.copytree(ledger_root(_made[0]), ledger_root(mine))
    return mine


def content(store, fov="fov01"):
    """All that plain xarray sees, but for what is said of each block."""
    found = {}
    for group in GROUPS:
        with xr.open_zarr(store, group=f"{fov}/{group}", mask_and_scale=False) as opened:
            found[group] = opened.drop_vars(["block_size", "block_crc32"]).load()
            for name in ("run", "fingerprint"):  # which name the block
                found[group].attrs.pop(name, None)
    return found


def assert_same(store, before):
    after = content(store)
    for group, was in before.items():
        xr.testing.assert_identical(after[group], was)
    assert stemscale.verify(store).damage == []
    for name, asked in RUNS.items():
        assert plan_process(store, **asked, name=name).tasks == 0
    assert not list(ledger_root(store).rglob("compact*"))


def test_frames_and_all_that_is_known_of_them_stay(small, client):
    before, table = content(small), stemscale.summarize(small)
    told = []
    done = {s.group: s for s in stemscale.compact(small, block=LARGER, listener=told.append)}
    assert_same(small, before)
    assert stemscale.summarize(small) == table
    for group in ("rapid", "filtered/none", "filtered/rolling"):
        one = done[f"fov01/{group}"]
        assert (one.block_before, one.block, one.left) == (BLOCK, LARGER, "")
        assert one.files < one.files_before
        assert AcquisitionStore(small).frames(f"fov01/{group}").block == LARGER
    assert (done["fov01/filtered/average"].block, done["fov01/filtered/average"].left) == (1, "")
    assert sum(e.frames for e in told if e.fov == "fov01") == 3 * N_FRAMES
    again = stemscale.compact(small, block=LARGER)
    assert all(s.block == s.block_before for s in again)


def test_a_series_of_large_blocks_can_still_grow_and_be_mended(small, client, tmp_path):
    stemscale.compact(small, block=LARGER)
    rapid, _ = scene(seed=1, n=20)
    file = write_stack(tmp_path / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    stemscale.ingest(small, file, append=True)
    for name in ("none", "rolling"):
        plan = plan_process(small, **RUNS[name], name=name)
        assert plan.series[0].todo == (1, 2)
        assert stemscale.process(small, **RUNS[name], name=name, client=client).state == "complete"
    shard = AcquisitionStore(small).frames("fov01/filtered/none").shard(0)
    shard.write_bytes(shard.read_bytes()[:-1])
    assert plan_process(small, **RUNS["none"], name="none").series[0].todo == (0,)


def test_one_name_alone(small):
    before = content(small)
    (one,) = stemscale.compact(small, fovs=["fov01"], name="none", block=LARGER)
    assert (one.group, one.block) == ("fov01/filtered/none", LARGER)
    assert AcquisitionStore(small).frames("fov01/rapid").block == BLOCK
    assert_same(small, before)


# Where it dies: a function that it calls, before or after, and which call of it.
STEPS = [
    ("stemscale.pipeline.compact", "commit_block", "after", 2),
    ("stemscale.store.ledger", "Ledger.commit", "before", 4),
    ("stemscale.pipeline.compact", "_Series.stage_records", "after", 2),
    ("stemscale.pipeline.compact", "write_json", "before", 4),
    ("stemscale.pipeline.compact", "_swap", "before", 1),
    ("stemscale.pipeline.compact", "_put", "after", 1),
    ("pathlib", "Path.rename", "after", 1),
    ("pathlib", "Path.rename", "after", 3),
    ("pathlib", "Path.rename", "after", 6),
    ("stemscale.pipeline.compact", "write_block_checksums", "after", 2),
    ("stemscale.store.acquisition_store", "AcquisitionStore.set_attrs", "before", 1),
    ("stemscale.store.acquisition_store", "AcquisitionStore.consolidate", "after", 1),
    ("stemscale.pipeline.compact", "remove_tree", "before", 7),
]

_DIE = """
import importlib, os, signal, sys
import stemscale.pipeline.compact
module, name, when, number = {step!r}
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)
calls = 0
def dies(*args, **kwargs):
    global calls
    calls += 1
    if calls == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = real(*args, **kwargs)
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(owner, last, dies)
import stemscale
stemscale.compact({store!r}, block={block})
"""


@pytest.mark.parametrize("step", STEPS, ids=lambda s: f"{s[1]}-{s[2]}-{s[3]}")
def test_killed_in_any_step_the_same_call_finishes(small, step, tmp_path):
    before = content(small)
    script = tmp_path / "dies.py"
    script.write_text(_DIE.format(step=step, store=str(small), block=LARGER))
    died = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    if compaction_journal(small, "fov01").is_file():
        with pytest.raises(StoreError, match="fov01 is being compacted, or that was cut short"):
            plan_process(small, filter="none")
    else:
        for group, was in content(small).items():
            xr.testing.assert_identical(was, before[group])
    stemscale.compact(small, block=LARGER)
    assert_same(small, before)
    assert AcquisitionStore(small).frames("fov01/filtered/rolling").block == LARGER


def test_what_changed_since_it_was_killed_is_staged_anew(small, client, tmp_path, frames_of):
    script = tmp_path / "dies.py"
    step = ("stemscale.pipeline.compact", "write_json", "before", 4)
    script.write_text(_DIE.format(step=step, store=str(small), block=LARGER))
    subprocess.run([sys.executable, script], capture_output=True)
    stemscale.process(small, filter="none", distortion="none", overwrite=True, client=client)
    before = frames_of(small, "fov01/filtered/none")
    stemscale.compact(small, block=LARGER)
    np.testing.assert_array_equal(frames_of(small, "fov01/filtered/none"), before)
    assert plan_process(small, filter="none", distortion="none").tasks == 0


def test_a_series_that_is_being_written_is_refused(small):
    file = AcquisitionStore(small).ledger("fov01/filtered/none").lease_file
    with hold_lease(file, what="it"), pytest.raises(StoreConflictError, match="is being written"):
        stemscale.compact(small, block=LARGER)


def test_a_damaged_shard_is_named_and_nothing_is_changed(small):
    before = content(small)
    shard = AcquisitionStore(small).frames("fov01/filtered/none").shard(1)
    whole = bytearray(shard.read_bytes())
    shard.write_bytes(bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]))
    with pytest.raises(DamagedDataError, match="block 1 changed since it was written"):
        stemscale.compact(small, block=LARGER)
    shard.write_bytes(whole)
    assert_same_but_staged = content(small)
    for group, was in before.items():
        xr.testing.assert_identical(assert_same_but_staged[group], was)


def test_what_is_not_complete_is_left(small):
    store = AcquisitionStore(small)
    store.set_attrs("fov01/filtered/none", {"state": "partial"})
    done = {s.group: s for s in stemscale.compact(small, fovs=["fov01"], block=LARGER)}
    assert done["fov01/filtered/none"].left == "not complete: finish it first"
    assert done["fov01/rapid"].block == LARGER
    # its records name the raw blocks that there are now
    assert plan_process(small, filter="none", fovs=["fov01"]).tasks == 0
    assert json.loads(store.ledger("fov01/filtered/none").run_file.read_text())["block"] == BLOCK
