"""Every file of a store is harmed in turn, and `verify` must name it."""

import json
import shutil
import warnings
from itertools import cycle

import numpy as np
import pytest
import zarr
from builders import write_image, write_stack
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.builders import BLOCK, N_FRAMES, known_map, scene

import stemscale
from stemscale.corrections import Calibration, save_calibration
from stemscale.errors import StoreError
from stemscale.pipeline import RunStarted
from stemscale.store import AcquisitionStore, ledger_root

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def whole(tmp_path_factory, client):
    """One FOV with everything that a store can hold, without its ledger, as copies come."""
    folder = tmp_path_factory.mktemp("verify")
    path = folder / "s.zarr"
    rapid, slow = scene(seed=1)
    write_stack(folder / "fov01.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    write_image(folder / "slow.tif", slow, dwell_time_ns=5000)
    stemscale.ingest(path, folder / "fov01.tif", slow=folder / "slow.tif", block=BLOCK)
    calibrate_by_hand(path)
    stemscale.process(path, filter="none", client=client)
    stemscale.summarize(path)
    shutil.rmtree(ledger_root(path))
    return path


def calibrate_by_hand(path):
    store = AcquisitionStore(path)
    for fov in store.fovs():
        calibration = Calibration(
            distortion=known_map(),
            rapid=store.settings(f"{fov}/rapid"),
            pixel_ratio=1.0,
            method="by hand",
            source=fov,
        )
        dcfi = scene(seed=1)[1].astype(float)
        # no drift at all: these chunks hold nothing but the fill value
        shifts = np.zeros((N_FRAMES, 2))
        save_calibration(store, fov, calibration, dcfi=dcfi, shifts=shifts, attrs={"zncc": 0.5})
    store.consolidate()


def files_of(store):
    return sorted(f for f in store.rglob("*") if f.is_file())


def named(store, file):
    """What `verify` should call a file: the group, and what in it."""
    parts = file.relative_to(store).parts
    if "c" in parts:
        parts = parts[: parts.index("c")]
    folder = "/".join(parts)
    group = store.joinpath(*parts[:-1])
    while json.loads((group / "zarr.json").read_text())["node_type"] == "array":
        group = group.parent
    group = "" if group == store else group.relative_to(store).as_posix()
    name = folder.removeprefix(group).strip("/")
    return group, None if name == "frames" else name


HARMS = {
    "flipped bit": lambda content, bit: (
        content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :]
    ),
    "truncated": lambda content, bit: content[: bit // 8],
    "emptied": lambda content, bit: b"",
    "deleted": lambda content, bit: None,
}


def findings(store):
    """Damage by what it is called; a root that cannot be read is an error that names it."""
    try:
        return {(d.group, d.name) for d in stemscale.verify(store).damage}
    except StoreError as error:
        is_named = str(store / "zarr.json") in str(error) or "no zarr.json" in str(error)
        is_named |= f"{store} has stemscale format" in str(error)
        return {("", "zarr.json")} if is_named else {str(error)}


def findings_after(harm, store, file, bit):
    """Harm a file, verify, and put the file back; None where the harm changed nothing."""
    before = file.read_bytes()
    after = HARMS[harm](before, bit % (8 * len(before)))
    if after is None:
        file.unlink()
    else:
        file.write_bytes(after)
    try:
        return None if says_the_same(file, before) else findings(store)
    finally:
        file.write_bytes(before)


def says_the_same(file, before):
    """JSON has more than one way to write a number: 1e-07 and 1E-07 differ in one bit."""
    try:
        return file.suffix == ".json" and json.loads(file.read_bytes()) == json.loads(before)
    except (ValueError, OSError):
        return False


def reasons(store):
    return [(d.group, d.name, d.reason) for d in stemscale.verify(store).damage]


def test_a_whole_store_has_no_damage_without_its_ledger(whole):
    found = stemscale.verify(whole)
    assert (found.blocks, found.damage) == (3 + 3, [])
    chunks = [f for f in files_of(whole) if f.name != "zarr.json" and "frames" not in f.parts]
    assert found.arrays == len(chunks) > 30  # every array has its chunk, of zeros and NaN too


@pytest.mark.slow
def test_harm_to_any_file_of_a_store_is_found_and_named(whole):
    """Each file once, by one harm after the other: all harms to all files take four minutes."""
    for i, (file, harm) in enumerate(zip(files_of(whole), cycle(HARMS), strict=False)):
        expected = named(whole, file)
        found = findings_after(harm, whole, file, 7919 * i + 3)
        if file.parent == whole:  # what it has on record of another may be what is wrong
            assert found is None or expected in found, file
        else:
            assert found in (None, {expected}), file
    assert stemscale.verify(whole).damage == []


@settings(max_examples=25)
@given(st.data())
def test_any_flipped_bit_is_found_and_a_file_that_ends_anywhere(whole, data):
    file = data.draw(st.sampled_from(files_of(whole)))
    bit = data.draw(st.integers(0, 8 * file.stat().st_size - 1))
    harm = data.draw(st.sampled_from(("flipped bit", "truncated")))
    found = findings_after(harm, whole, file, bit)
    assert found is None or named(whole, file) in found


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("fov01", ("fov01", None)),
        ("fov01/rapid", ("fov01/rapid", None)),
        ("fov01/rapid/time", ("fov01/rapid", "time")),
        ("fov01/rapid/block_crc32", ("fov01/rapid", "block_crc32")),
        ("summary", ("summary", None)),
    ],
)
def test_a_folder_that_is_gone_is_named_once(whole, tmp_path, folder, expected):
    shutil.copytree(whole, tmp_path / "s.zarr")
    shutil.rmtree(tmp_path / "s.zarr" / folder)
    assert reasons(tmp_path / "s.zarr") == [(*expected, "missing")]


def test_a_later_verb_does_not_make_damage_forgotten(whole, tmp_path):
    store = tmp_path / "s.zarr"
    shutil.copytree(whole, store)
    (store / "fov01" / "slow" / "x" / "zarr.json").unlink()
    (store / "fov01" / "calibration" / "dcfi" / "zarr.json").write_text("{")
    stemscale.summarize(store)
    assert findings(store) == {
        ("fov01/slow", "x/zarr.json"),
        ("fov01/calibration", "dcfi/zarr.json"),
    }


def test_blocks_are_checked_by_themselves_where_their_checksums_are_damaged(whole, tmp_path):
    store = tmp_path / "s.zarr"
    shutil.copytree(whole, store)
    (store / "fov01" / "rapid" / "block_crc32" / "c" / "0").write_bytes(b"")
    shards = store / "fov01" / "rapid" / "frames" / "c"
    content = bytearray((shards / "0" / "0" / "0").read_bytes())
    content[40] ^= 1
    (shards / "0" / "0" / "0").write_bytes(content)
    (shards / "1" / "0" / "0").write_bytes(b"")
    (shards / "2" / "0" / "0").unlink()
    found = stemscale.verify(store).damage
    assert [(d.name, d.block) for d in found] == [
        ("block_crc32", None),
        (None, 0),
        (None, 1),
        (None, 2),
    ]


@pytest.fixture
def killed(monkeypatch):
    """A verb that is killed when everything is written, and nothing of it on record."""

    def kill(store):
        raise KeyboardInterrupt

    def run(verb, *args, **options):
        with monkeypatch.context() as patched:
            patched.setattr(AcquisitionStore, "consolidate", kill)
            with pytest.raises(KeyboardInterrupt):
                verb(*args, **options)

    return run


def test_a_verb_killed_at_its_end_is_unfinished_and_not_damage(calibrated, client, killed):
    killed(stemscale.process, calibrated, filter="none", client=client)
    assert reasons(calibrated) == [
        ("", "zarr.json", "never finished"),
        ("fov01/filtered", None, "never finished"),
        ("fov02/filtered", None, "never finished"),
    ]
    stemscale.process(calibrated, filter="none", client=client)  # nothing to do but this
    assert reasons(calibrated) == []


def test_a_group_written_anew_is_unfinished_until_it_is_on_record(calibrated, killed):
    store = AcquisitionStore(calibrated)
    stemscale.summarize(calibrated)
    killed(calibrate_by_hand, calibrated)
    expected = [(f"{fov}/calibration", None, "never finished") for fov in store.fovs()]
    assert reasons(calibrated) == expected
    shutil.rmtree(calibrated / "fov02" / "calibration" / "x")  # as if killed before
    assert reasons(calibrated) == expected
    calibrate_by_hand(calibrated)
    assert reasons(calibrated) == []


def test_a_run_killed_midway_is_unfinished_and_not_damage(calibrated, client):
    def stop(event):
        if isinstance(event, RunStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stemscale.process(calibrated, filter="none", client=client, listener=stop)
    found = reasons(calibrated)
    assert {why for _, _, why in found} <= {"never finished", "not written yet"}
    assert {group.split("/")[1] for group, _, _ in found} == {"filtered"}
    stemscale.process(calibrated, filter="none", client=client)
    assert reasons(calibrated) == []


def test_a_root_that_cannot_be_read_is_an_error_with_a_remedy(whole, tmp_path):
    store = tmp_path / "s.zarr"
    shutil.copytree(whole, store)
    (store / "zarr.json").write_text("")
    with pytest.raises(StoreError, match=r"zarr\.json cannot be read.*put it back from a copy"):
        stemscale.verify(store)
    (store / "zarr.json").unlink()
    with pytest.raises(StoreError, match=r"has no zarr\.json.*put that file back"):
        stemscale.verify(store)


def test_the_record_of_a_store_is_consolidated_metadata_as_zarr_writes_them(whole, tmp_path):
    """Only the checksum is ours; xarray reads the store by it."""
    store = tmp_path / "s.zarr"
    shutil.copytree(whole, store)
    ours = json.loads((store / "zarr.json").read_text())["consolidated_metadata"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not in the specification yet
        zarr.consolidate_metadata(store)
    assert json.loads((store / "zarr.json").read_text())["consolidated_metadata"] == ours
