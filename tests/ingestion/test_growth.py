"""Series that get more frames, and ingests that were cut short."""

import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from builders import ramp_frames
from velox_files import velox_page, write_velox

import stemscale
from stemscale.errors import InputFileError, SeriesError, StoreConflictError
from stemscale.store import AcquisitionStore


def write(path, frames, first=0):
    pages = [velox_page(first + i) for i in range(len(frames))]
    return write_velox(path, {"HAADF": frames}, pages={"HAADF": pages})


def opened(store, fov="a"):
    with xr.open_zarr(store, group=f"{fov}/rapid", consolidated=True) as found:
        return found.load()


def snapshot(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def is_whole(store):
    return stemscale.verify(store).damage == []


@pytest.mark.parametrize("before", [1, 3, 4, 7, 8])
def test_a_file_that_has_grown_gives_its_new_frames(tmp_path, before):
    frames = ramp_frames(9)
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", frames[:before]), block=4)
    (done,) = stemscale.ingest(store, write(tmp_path / "a.emd", frames), append=True)
    assert (done.n_frames, done.appended) == (9, 9 - before)
    found = opened(store)
    np.testing.assert_array_equal(found["frames"], frames)
    np.testing.assert_allclose(found["stage_x"], 1000 + np.arange(9))
    np.testing.assert_allclose(found["time"], 0.040001 * np.arange(9))
    assert is_whole(store)


@pytest.mark.parametrize("before", [1, 4, 6])
def test_a_file_that_continues_a_series_is_put_behind_it_on_one_clock(tmp_path, before):
    frames = ramp_frames(9)
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", frames[:before]), block=4)
    more = write(tmp_path / "b.emd", frames[before:], first=before + 10)  # 10 frames' pause
    (done,) = stemscale.ingest(store, more, fov="a", append=True)
    assert (done.n_frames, done.appended) == (9, 9 - before)
    found = opened(store)
    np.testing.assert_array_equal(found["frames"], frames)
    number = np.arange(9) + np.where(np.arange(9) < before, 0, 10)
    np.testing.assert_allclose(found["time"], 0.040001 * number, atol=1e-9)
    clock = found["timestamp"].values.astype(np.int64)
    np.testing.assert_array_equal(np.diff(clock), 40_001_000 * np.diff(number))
    assert found.attrs["source_files"] == ["a.emd", "b.emd"]
    assert is_whole(store)


def test_frames_that_were_appended_already_are_recognised(tmp_path):
    frames = ramp_frames(6)
    store = tmp_path / "s.zarr"
    first, second = write(tmp_path / "a.emd", frames[:4]), write(tmp_path / "b.emd", frames[4:], 4)
    stemscale.ingest(store, first, append=True)  # the first time there is nothing to append to
    stemscale.ingest(store, second, fov="a", append=True)
    before = snapshot(store)
    assert stemscale.ingest(store, second, fov="a", append=True)[0].skipped
    assert stemscale.ingest(store, [first, second], fov="a")[0].skipped
    assert snapshot(store) == before


def test_without_append_a_grown_file_is_refused_with_that_word(tmp_path):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", ramp_frames(4)))
    with pytest.raises(StoreConflictError, match=r"FOV a already.*--append"):
        stemscale.ingest(store, write(tmp_path / "a.emd", ramp_frames(6)))


def test_a_file_that_changed_where_it_should_have_grown_is_refused(tmp_path):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", ramp_frames(4)))
    before = snapshot(store)
    changed = ramp_frames(6)
    changed[2, 0, 0] += 1
    with pytest.raises(StoreConflictError, match="do not begin with the frames that are there"):
        stemscale.ingest(store, write(tmp_path / "a.emd", changed), append=True)
    with pytest.raises(StoreConflictError, match="do not begin with the frames"):
        stemscale.ingest(store, write(tmp_path / "a.emd", ramp_frames(3)), append=True)
    assert snapshot(store) == before


@pytest.mark.parametrize("name", ["a.emd", "b.emd"])
def test_an_append_that_turns_out_bad_leaves_the_series_as_it_was(tmp_path, name):
    good = ramp_frames(5, dtype="float32")
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", good), block=2)
    before = opened(store)
    bad = ramp_frames(11, dtype="float32")
    bad[9, 3, 3] = np.nan
    more = write(tmp_path / name, bad if name == "a.emd" else bad[5:])
    with pytest.raises(SeriesError, match="NaN"):
        stemscale.ingest(store, more, fov="a", append=True)
    xr.testing.assert_identical(opened(store), before)
    assert is_whole(store)
    mended = ramp_frames(11, dtype="float32")
    more = write(
        tmp_path / name, mended if name == "a.emd" else mended[5:], 0 if name == "a.emd" else 5
    )
    assert stemscale.ingest(store, more, fov="a", append=True)[0].appended == 6
    np.testing.assert_array_equal(opened(store)["frames"], mended)


def test_other_shapes_and_types_are_not_appended(tmp_path):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, write(tmp_path / "a.emd", ramp_frames(4)))
    narrow = write(tmp_path / "b.emd", ramp_frames(4, dtype="uint8"))
    with pytest.raises(StoreConflictError, match="uint8"):
        stemscale.ingest(store, narrow, fov="a", append=True)
    small = write(tmp_path / "c.emd", ramp_frames(4, 8, 8))
    with pytest.raises(StoreConflictError, match="already"):
        stemscale.ingest(store, small, fov="a", append=True)


def test_a_copied_store_without_its_ledger_can_be_appended_to(tmp_path):
    frames = ramp_frames(9)
    stemscale.ingest(tmp_path / "s.zarr", write(tmp_path / "a.emd", frames[:6]), block=4)
    shutil.copytree(tmp_path / "s.zarr", tmp_path / "copy.zarr")
    more = write(tmp_path / "b.emd", frames[6:], 6)
    stemscale.ingest(tmp_path / "copy.zarr", more, fov="a", append=True)
    np.testing.assert_array_equal(opened(tmp_path / "copy.zarr")["frames"], frames)
    assert is_whole(tmp_path / "copy.zarr")


def test_several_processes_write_what_one_writes(tmp_path):
    frames = ramp_frames(40)
    file = write(tmp_path / "a.emd", frames)
    for workers in (1, 3):
        stemscale.ingest(tmp_path / f"{workers}.zarr", file, block=2, workers=workers)
    xr.testing.assert_identical(opened(tmp_path / "1.zarr"), opened(tmp_path / "3.zarr"))
    np.testing.assert_array_equal(opened(tmp_path / "3.zarr")["frames"], frames)


def test_errors_in_a_process_reach_the_caller_as_they_are(tmp_path):
    bad = ramp_frames(20, dtype="float32")
    bad[13, 0, 0] = np.inf
    file = write(tmp_path / "a.emd", bad)
    with pytest.raises(SeriesError, match=r"a\.emd: frame 13 has 1 pixels"):
        stemscale.ingest(tmp_path / "s.zarr", file, block=2, workers=2)
    assert not (tmp_path / "s.zarr").exists()


def test_an_interrupted_ingest_is_finished_from_a_copy_of_its_file_but_from_no_other(tmp_path):
    frames = ramp_frames(12)
    file = write(tmp_path / "a.emd", frames)
    store = tmp_path / "s.zarr"

    def die(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stemscale.ingest(store, file, block=2, listener=die)
    other = frames.copy()
    other[0, 0, 0] += 1
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(StoreConflictError, match=r"FOV a was begun from a\.emd.*other frames"):
        stemscale.ingest(store, write(tmp_path / "elsewhere" / "a.emd", other))
    with pytest.raises(StoreConflictError, match=r"ingest of a\.emd as FOV a was cut short"):
        stemscale.ingest(store, write(tmp_path / "b.emd", frames), fov="a")
    stemscale.ingest(store, write(tmp_path / "elsewhere" / "a.emd", frames))
    np.testing.assert_array_equal(opened(store)["frames"], frames)


def test_settings_given_too_late_are_not_passed_over(tmp_path):
    file = write(tmp_path / "a.emd", ramp_frames(3))
    stemscale.ingest(tmp_path / "s.zarr", file)
    with pytest.raises(StoreConflictError, match=r"pixel_size_nm 2\.1, now it is to be 3"):
        stemscale.ingest(tmp_path / "s.zarr", file, rapid_settings={"pixel_size_nm": 3.0})


def save(path, frames):
    np.save(path, frames)
    return path


@pytest.mark.parametrize("name", ["g.npy", "h.npy"])
def test_new_frames_are_timed_by_the_settings_that_are_there(tmp_path, name, caplog):
    frames, store = ramp_frames(20), tmp_path / "s.zarr"
    said = {"dwell_time_ns": 500.0, "flyback_time_us": 10.0, "pixel_size_nm": 2.0}
    first = save(tmp_path / "g.npy", frames[:10])
    stemscale.ingest(store, first, fov="a", rapid_settings=said)
    more = save(tmp_path / name, frames if name == "g.npy" else frames[10:])
    (done,) = stemscale.ingest(store, more, fov="a", append=True)
    assert (done.n_frames, done.appended) == (20, 10)
    found = opened(store)
    np.testing.assert_array_equal(found["frames"], frames)
    np.testing.assert_allclose(found["time"], np.arange(20) * 12 * (16 * 500e-9 + 10e-6))
    np.testing.assert_allclose(found["x"], np.arange(16) * 2.0)
    assert found.attrs["dwell_time_ns"] == 500
    assert is_whole(store)
    assert not caplog.records


@pytest.mark.parametrize("name", ["g.npy", "h.npy"])
def test_what_only_the_first_frames_have_is_missing_for_new_ones_and_said(tmp_path, name, caplog):
    frames, store = ramp_frames(6), tmp_path / "s.zarr"
    table = tmp_path / "t.csv"
    table.write_text("frame,time_s,temperature_C\n0,0,20\n1,1.5,21\n2,3,22\n3,5,23\n")
    first = save(tmp_path / "g.npy", frames[:4])
    stemscale.ingest(store, first, fov="a", frame_metadata=table)
    more = save(tmp_path / name, frames if name == "g.npy" else frames[4:])
    with caplog.at_level("WARNING", "stemscale"):
        stemscale.ingest(store, more, fov="a", append=True)
    found = opened(store)
    np.testing.assert_array_equal(found["temperature"], [20, 21, 22, 23, np.nan, np.nan])
    np.testing.assert_array_equal(found["time"], [0, 1.5, 3, 5, np.nan, np.nan])
    assert "2 new frames have no temperature, time" in caplog.text


def test_a_quantity_that_a_bad_append_brought_is_taken_back(tmp_path):
    store, frames = tmp_path / "s.zarr", ramp_frames(9, dtype="float32")
    stemscale.ingest(store, save(tmp_path / "g.npy", frames[:4]), fov="a", block=2)
    before = opened(store)
    table = tmp_path / "t.csv"
    table.write_text("frame,temperature_C\n" + "".join(f"{i},{20 + i}\n" for i in range(9)))
    frames[8, 0, 0] = np.nan
    more = save(tmp_path / "g.npy", frames)
    with pytest.raises(SeriesError, match="NaN"):
        stemscale.ingest(store, more, fov="a", append=True, frame_metadata=table)
    xr.testing.assert_identical(opened(store), before)


@pytest.mark.parametrize("name", ["g.npy", "h.npy"])
@pytest.mark.parametrize(
    ("before", "there"), [(500.0, "with dwell_time_ns 500"), (None, "without")]
)
def test_an_append_with_other_settings_than_those_there_is_refused(tmp_path, name, before, there):
    frames, store = ramp_frames(6), tmp_path / "s.zarr"
    first = save(tmp_path / "g.npy", frames[:4])
    stemscale.ingest(store, first, fov="a", rapid_settings={"dwell_time_ns": before})
    more = save(tmp_path / name, frames if name == "g.npy" else frames[4:])
    now = {"dwell_time_ns": 100.0}
    was = snapshot(store)
    with pytest.raises(StoreConflictError, match=f"made {there}.*now it is to be 100"):
        stemscale.ingest(store, more, fov="a", append=True, rapid_settings=now)
    assert snapshot(store) == was


def test_a_file_that_was_scanned_otherwise_does_not_continue_a_series(tmp_path):
    store = tmp_path / "s.zarr"
    first = save(tmp_path / "g.npy", ramp_frames(4))
    stemscale.ingest(store, first, fov="a", rapid_settings={"pixel_size_nm": 3.0})
    more = write(tmp_path / "b.emd", ramp_frames(4))
    with pytest.raises(StoreConflictError, match=r"b\.emd was scanned with pixel_size_nm 2\.1"):
        stemscale.ingest(store, more, fov="a", append=True)


def refusal(store, *args, **options):
    with pytest.raises(StoreConflictError) as caught:
        stemscale.ingest(store, *args, **options)
    return str(caught.value)


@pytest.mark.parametrize("append", [False, True])
def test_another_detector_of_the_same_file_is_called_that(tmp_path, append):
    store, frames = tmp_path / "s.zarr", ramp_frames(4)
    file = write_velox(tmp_path / "a.emd", {"HAADF": frames, "BF": frames + 1})
    stemscale.ingest(store, file, detector="HAADF")
    said = refusal(store, file, detector="BF", append=append)
    assert "detector HAADF of a.emd, now BF" in said
    assert "another --fov" in said
    assert "--append" not in said


def test_a_grown_and_a_changed_file_are_told_apart(tmp_path):
    store, frames = tmp_path / "s.zarr", ramp_frames(6)
    stemscale.ingest(store, save(tmp_path / "g.npy", frames[:4]), fov="a")
    file = save(tmp_path / "g.npy", frames)
    assert "grown since, from 4 to 6 frames: add them with --append" in refusal(
        store, file, fov="a"
    )
    for other in (frames + 1, frames[:, :8], frames[:3]):
        said = refusal(store, save(tmp_path / "g.npy", other), fov="a")
        assert "since" in said or "less by now" in said
        assert "--fov" in said
        assert "--append" not in said


def test_another_option_for_the_same_file_is_called_that(tmp_path):
    store, table = tmp_path / "s.zarr", tmp_path / "t.csv"
    file = save(tmp_path / "g.npy", ramp_frames(2))
    stemscale.ingest(store, file, fov="a")
    table.write_text("frame,temperature_C\n0,20\n1,21\n")
    for append in (False, True):
        said = refusal(store, file, fov="a", frame_metadata=table, append=append)
        assert "frames are the same" in said
        assert "--frame-metadata" in said
        assert "--append" not in said
        said = refusal(store, file, fov="a", slow=save(tmp_path / "s.npy", ramp_frames(1)))
        assert "another slow scan (none; now s.npy)" in said


def test_append_is_advised_only_for_frames_that_fit(tmp_path):
    store, frames = tmp_path / "s.zarr", ramp_frames(4)
    stemscale.ingest(store, save(tmp_path / "g.npy", frames), fov="a")
    assert "--append" in refusal(store, save(tmp_path / "h.npy", frames + 1), fov="a")
    for other in (frames[:, :8], frames.astype("float32")):
        assert "--append" not in refusal(store, save(tmp_path / "h.npy", other), fov="a")
    small = save(tmp_path / "h.npy", frames[:, :8])
    assert "8 x 16 pixels" in refusal(store, small, fov="a", append=True)


SCRIPT = """
import sys, stemscale
if __name__ == "__main__":
    store, workers, append, *files = sys.argv[1:]
    stemscale.ingest(store, files, fov="a", block=2, workers=int(workers), append=append == "yes")
"""


def start(tmp_path, store, files, *, workers=1, append=False):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    args = [store, workers, "yes" if append else "no", *files]
    return subprocess.Popen([sys.executable, str(script), *map(str, args)])


def wait_for(condition, process):
    while not condition() and process.poll() is None:
        time.sleep(0.002)


def records(store):
    return list((store.with_name(store.name + ".stemscale") / "a/rapid/blocks").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "append"), [(1, False), (2, False), (1, True)])
def test_an_ingest_killed_again_and_again_ends_as_one_that_was_not(tmp_path, workers, append):
    """Killed -9 at random moments, some twenty times in all over the three cases."""
    rng = random.Random(workers + append)
    frames = np.random.default_rng(0).integers(0, 999, (121, 64, 64), dtype=np.uint16)
    whole, store = tmp_path / "whole.zarr", tmp_path / "s.zarr"
    parts = [write(tmp_path / "1.emd", frames[:51]), write(tmp_path / "2.emd", frames[51:], 51)]
    stemscale.ingest(whole, parts, fov="a", block=2)
    files = parts
    if append:
        stemscale.ingest(store, parts[0], fov="a", block=2)
        files = parts[1:]
    kills = 0
    for _ in range(7):
        process = start(tmp_path, store, files, workers=workers, append=append)
        wanted = len(records(store)) + rng.randint(0, 3)
        wait_for(lambda n=wanted: len(records(store)) > n, process)
        time.sleep(rng.uniform(0, 0.02))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 5
    assert start(tmp_path, store, files, workers=workers, append=append).wait() == 0
    assert is_whole(store)
    found, expected = opened(store), opened(whole)
    np.testing.assert_array_equal(found["frames"], frames)
    for name in expected.coords:
        np.testing.assert_allclose(
            found[name].values.astype(float), expected[name].values.astype(float), rtol=1e-12
        )
    assert len(AcquisitionStore(store).ledger("a/rapid").records()) == 61


def test_a_missing_file_of_several_is_named_before_anything_is_written(tmp_path):
    file = write(tmp_path / "a.emd", ramp_frames(3))
    with pytest.raises(InputFileError, match=r"b\.emd does not exist"):
        stemscale.ingest(tmp_path / "s.zarr", [file, tmp_path / "b.emd"])
    assert not (tmp_path / "s.zarr").exists()
