"""One growing file: whole frames only, in odd pieces, cut, replaced, killed and gone on with."""

import signal
import time
from contextlib import suppress
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from builders import ramp_frames, write_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from velox_files import velox_page, write_velox
from watching import (
    Watching,
    append,
    assert_as_ingested_at_once,
    mdoc_text,
    mrc_bytes,
    mrc_header,
    opened,
    recorded,
    until,
    watch_process,
)

import stemscale
from stemscale.errors import InputFileError, SeriesError, SettingsError, StoreConflictError
from stemscale.store import AcquisitionStore


def finish_header(path, n, dtype="uint16"):
    with path.open("r+b") as stream:
        stream.write(mrc_header((12, 16), n, dtype))


def test_a_growing_mrc_file_becomes_the_series_that_one_ingest_makes(tmp_path):
    frames, file, store = ramp_frames(11), tmp_path / "a.mrc", tmp_path / "s.zarr"
    with Watching(store, file) as watching:
        whole = mrc_bytes(frames, 0)  # software counts late
        for start in range(0, len(whole), 997):
            append(file, whole[start : start + 997])
            time.sleep(0.005)
        watching.wait_for(11)
        finish_header(file, 11)
        file.with_name("a.mrc.mdoc").write_text(mdoc_text(11))
        done = watching.end()
    assert (done.n_frames, done.shape, done.dtype, done.skipped) == (11, (12, 16), "uint16", False)
    stemscale.ingest(tmp_path / "o.zarr", file, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")
    np.testing.assert_allclose(opened(store)["tilt_alpha"], np.arange(11) / 10)
    assert stemscale.ingest(store, file)[0].skipped


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(0, 1024 + 7 * 384), max_size=6), block=st.integers(1, 5))
def test_any_split_of_the_bytes_gives_the_same_store(tmp_path_factory, cuts, block):
    folder = tmp_path_factory.mktemp("split")
    frames, file, store = ramp_frames(7), folder / "a.mrc", folder / "s.zarr"
    whole = mrc_bytes(frames)
    bounds = [0, *sorted(cuts), len(whole)]
    with Watching(store, file, block=block) as watching:
        for start, stop in pairwise(bounds):
            append(file, whole[start:stop])
            time.sleep(0.02)
        watching.wait_for(7)
        watching.end()
    stemscale.ingest(folder / "o.zarr", file, block=block)
    assert_as_ingested_at_once(store, folder / "o.zarr")


def test_while_it_grows_readers_see_only_frames_that_are_there(tmp_path):
    frames, file, store = ramp_frames(40), tmp_path / "a.mrc", tmp_path / "s.zarr"
    seen = []
    with Watching(store, file) as watching:
        append(file, mrc_header((12, 16), 0))
        for frame in frames:
            append(file, frame.tobytes())
            time.sleep(0.04)
            found = None
            if recorded(store):
                with suppress(ValueError):  # between two lengths: to be opened again
                    found = opened(store, consolidated=False)
            if found is not None:
                seen.append(found.sizes["frame"])
                np.testing.assert_array_equal(found["frames"], frames[: seen[-1]])
                assert found.attrs["state"] == "partial"
                assert found.attrs["watched"]
        watching.wait_for(40)
        watching.end()
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert "watched" not in opened(store).attrs


def test_records_say_when_each_frame_arrived(tmp_path):
    file, store = tmp_path / "a.mrc", tmp_path / "s.zarr"
    began = time.time_ns()
    with Watching(store, file) as watching:
        append(file, mrc_bytes(ramp_frames(4), 0))
        watching.wait_for(4)
        time.sleep(0.2)
        append(file, ramp_frames(2).tobytes())
        watching.wait_for(6)
        watching.end()
    first, second = (
        r.arrived_ns for r in AcquisitionStore(store).ledger("a/rapid").records().values()
    )
    assert len(first) == 4
    assert len(second) == 2
    assert began - 2e7 < first[0] <= first[-1] < second[0] - 1e8 < time.time_ns()


def test_a_block_that_is_not_full_is_committed_after_a_while_and_again_when_it_is(tmp_path):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    with Watching(store, file) as watching:
        append(file, mrc_bytes(frames[:5], 0))
        watching.wait_for(5)
        assert AcquisitionStore(store).frames("a/rapid").shape[0] == 5
        append(file, frames[5:].tobytes())
        watching.wait_for(6)
        watching.end()
    np.testing.assert_array_equal(opened(store)["frames"], frames)


def test_it_ends_by_itself_when_nothing_comes(tmp_path):
    file = tmp_path / "a.mrc"
    file.write_bytes(mrc_bytes(ramp_frames(5)))
    done = Watching(tmp_path / "s.zarr", file, until_idle_s=0.4).result()
    assert done.n_frames == 5
    nothing = Watching(tmp_path / "t.zarr", tmp_path / "b.mrc", until_idle_s=0.2).result()
    assert nothing.n_frames == 0
    assert not (tmp_path / "t.zarr").exists()


def test_a_watch_of_what_is_there_already_changes_nothing(tmp_path):
    file, store = tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(ramp_frames(5)))
    stemscale.ingest(store, file)
    before = {f: f.read_bytes() for f in store.rglob("*") if f.is_file()}
    assert Watching(store, file, until_idle_s=0.2).result().skipped
    assert {f: f.read_bytes() for f in store.rglob("*") if f.is_file()} == before


def test_a_complete_series_goes_on_growing(tmp_path):
    frames, file, store = ramp_frames(9), tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(frames[:6]))
    with Watching(store, file) as watching:
        watching.wait_for(6)
        watching.end()
    append(file, frames[6:].tobytes())
    finish_header(file, 9)
    done = Watching(store, file, until_idle_s=0.4).result()
    assert (done.n_frames, done.appended) == (9, 3)
    stemscale.ingest(tmp_path / "o.zarr", file, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


@pytest.mark.parametrize("times", [1, 3])
def test_killed_in_mid_series_it_loses_no_frame_and_doubles_none(tmp_path, times):
    frames, file, store = ramp_frames(24), tmp_path / "a.mrc", tmp_path / "s.zarr"
    append(file, mrc_header((12, 16), 0))
    share = len(frames) // (times + 1)
    for i in range(times):
        with watch_process(store, file) as process:
            for frame in frames[i * share : (i + 1) * share]:
                append(file, frame.tobytes())
                time.sleep(0.01)
            until(lambda: process.poll() is not None or recorded(store) > i * share)  # noqa: B023
            process.send_signal(signal.SIGKILL)
            process.wait()
    append(file, frames[times * share :].tobytes())
    finish_header(file, 24)
    with watch_process(store, file, "--until-idle", 0.5) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "a: 24 frames of 12 x 16 uint16" in out
    stemscale.ingest(tmp_path / "o.zarr", file, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


@pytest.mark.parametrize("step", ["lay_out_anew", "write_slow", "finish", "grown", "consolidate"])
def test_cut_off_while_it_finishes_it_is_finished_by_the_same_command(tmp_path, monkeypatch, step):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(frames))
    slow = write_image(tmp_path / "a_slow.tif", frames[0], dwell_time_ns=5000)

    def die(*_, **__):
        raise KeyboardInterrupt

    where = (
        AcquisitionStore if step == "consolidate" else import_module("stemscale.ingestion.watch")
    )
    with monkeypatch.context() as patch:
        patch.setattr(where, step, die)
        with pytest.raises(KeyboardInterrupt):
            Watching(store, file, slow=slow, until_idle_s=0.4).result()
    assert Watching(store, file, slow=slow, until_idle_s=0.4).result().n_frames == 6
    stemscale.ingest(tmp_path / "o.zarr", file, slow=slow, slow_is="after", block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


def test_an_ordinary_ingest_finishes_a_watch_that_was_killed(tmp_path):
    frames, file, store = ramp_frames(9), tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(frames))
    with watch_process(store, file) as process:
        until(lambda: process.poll() is not None or recorded(store) >= 4)
        process.kill()
        process.wait()
    stemscale.ingest(store, file)
    np.testing.assert_array_equal(opened(store)["frames"], frames)
    assert "watched" not in opened(store).attrs
    assert stemscale.verify(store).damage == []


@pytest.mark.parametrize("harm", ["cut", "replaced", "removed", "header"])
def test_a_file_that_does_not_grow_but_changes_is_an_error(tmp_path, harm):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    with Watching(store, file) as watching:
        append(file, mrc_bytes(frames, 0))
        watching.wait_for(6)
        if harm == "cut":
            with file.open("r+b") as stream:
                stream.truncate(2000)
        elif harm == "replaced":
            (tmp_path / "other").write_bytes(mrc_bytes(frames))
            (tmp_path / "other").replace(file)
        elif harm == "removed":
            file.unlink()
        else:
            with file.open("r+b") as stream:
                stream.write(mrc_header((16, 12), 6))
            watching.stop.set()
        with pytest.raises(InputFileError, match=r"a\.mrc .*while it was watched, after 6 frames"):
            watching.result()
    assert recorded(store) == 6


def test_other_frames_in_the_place_of_those_taken_are_refused(tmp_path):
    file, store = tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(ramp_frames(6)))
    Watching(store, file, until_idle_s=0.4).result()
    other = ramp_frames(8)
    other[0, 0, 0] += 1
    file.write_bytes(mrc_bytes(other))
    with pytest.raises(StoreConflictError, match=r"begun from .*a\.mrc, which holds other frames"):
        Watching(store, file, until_idle_s=0.4).result()
    file.write_bytes(mrc_bytes(ramp_frames(3)))
    with pytest.raises(InputFileError, match="holds 3 whole frames, but 6 of it were taken"):
        Watching(store, file, until_idle_s=0.4).result()
    with pytest.raises(StoreConflictError, match=r"made from a\.mrc: choose another name"):
        Watching(store, tmp_path / "b.mrc", fov="a", until_idle_s=0.1).result()


def test_a_stale_header_at_the_end_loses_no_frame(tmp_path):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(frames, 2))
    assert Watching(store, file, until_idle_s=0.4).result().n_frames == 6
    np.testing.assert_array_equal(opened(store)["frames"], frames)


def test_a_growing_npy_file_is_watched_too(tmp_path):
    frames, file, store = ramp_frames(6), tmp_path / "a.npy", tmp_path / "s.zarr"
    np.save(tmp_path / "whole.npy", frames)
    whole = (tmp_path / "whole.npy").read_bytes()
    settings = {"pixel_size_nm": 2.0, "dwell_time_ns": 100.0}
    with Watching(store, file, rapid_settings=settings) as watching:
        for start in range(0, len(whole), 500):
            append(file, whole[start : start + 500])
            time.sleep(0.01)
        watching.wait_for(6)
        assert "time" in opened(store, consolidated=False).coords
        watching.end()
    stemscale.ingest(tmp_path / "o.zarr", file, block=4, rapid_settings=settings)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


def test_a_slow_scan_and_a_table_that_come_at_the_end_are_added(tmp_path):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    slow, table = tmp_path / "a_slow.tif", tmp_path / "a.csv"
    with Watching(store, file, slow=slow, frame_metadata=table, until_idle_s=1.5) as watching:
        append(file, mrc_bytes(frames))
        watching.wait_for(6)
        time.sleep(0.3)
        write_image(slow, frames[0], dwell_time_ns=5000)
        table.write_text("time_s\n" + "\n".join(f"{0.5 * i}" for i in range(6)))
        done = watching.result()
    assert done.slow
    np.testing.assert_allclose(opened(store)["time"], np.arange(6) * 0.5)
    assert AcquisitionStore(store).attrs("a/slow")["relation"] == "after"
    at_once = tmp_path / "o.zarr"
    stemscale.ingest(at_once, file, slow=slow, slow_is="after", frame_metadata=table, block=4)
    assert_as_ingested_at_once(store, at_once)


def test_what_came_too_late_is_told_and_added_by_the_same_command(tmp_path):
    frames, file, store = ramp_frames(6), tmp_path / "a.mrc", tmp_path / "s.zarr"
    file.write_bytes(mrc_bytes(frames))
    slow, table = tmp_path / "a_slow.tif", tmp_path / "a.csv"
    table.write_text("time_s\n0\n1\n")
    options = {"slow": slow, "frame_metadata": table, "until_idle_s": 0.4}
    watching = Watching(store, file, **options)
    assert not watching.result().slow
    assert [n.split(":")[0] for n in watching.notices] == [
        f"{slow} is not there yet",
        "not added",
    ]
    assert "2 values, but the series has 6 frames" in watching.notices[1]
    write_image(slow, frames[0], dwell_time_ns=5000)
    table.write_text("time_s\n" + "\n".join(map(str, range(6))))
    done = Watching(store, file, **options).result()
    assert (done.slow, done.n_frames, done.appended) == (True, 6, 0)
    np.testing.assert_allclose(opened(store)["time"], np.arange(6))
    assert stemscale.verify(store).damage == []


def test_an_hdf5_file_is_taken_once_it_is_closed(tmp_path):
    frames, store = ramp_frames(5), tmp_path / "s.zarr"
    whole = write_velox(tmp_path / "whole.emd", {"HAADF": frames}, pages={
        "HAADF": [velox_page(i) for i in range(5)]
    })  # fmt: skip
    import h5py

    with Watching(store, tmp_path / "a.emd") as watching:
        with h5py.File(tmp_path / "a.emd", "w") as target, h5py.File(whole) as source:
            source.copy("Data", target)
            target.attrs.update(source.attrs)
            target.flush()
            time.sleep(1.6)
            assert recorded(store) == 0
        watching.wait_for(5)
        watching.end()
    stemscale.ingest(tmp_path / "o.zarr", tmp_path / "a.emd", block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")
    np.testing.assert_allclose(opened(store)["stage_x"], 1000 + np.arange(5))


def test_half_an_hdf5_file_is_not_taken(tmp_path):
    whole = write_velox(tmp_path / "whole.emd", {"HAADF": ramp_frames(5)}).read_bytes()
    file, store = tmp_path / "a.emd", tmp_path / "s.zarr"
    with Watching(store, file, patience_s=1.5) as watching:
        append(file, whole[: len(whole) // 2])
        until(lambda: watching.notices)
        assert "is not whole (is open for writing, or was not closed" in watching.notices[0]
        append(file, whole[len(whole) // 2 :])
        watching.wait_for(5)
        assert watching.end().n_frames == 5


def test_a_stack_that_gets_page_after_page_is_taken_whole(tmp_path):
    frames, file, store = ramp_frames(5), tmp_path / "a.tif", tmp_path / "s.zarr"
    with Watching(store, file) as watching:
        for frame in frames:
            tifffile.imwrite(file, frame, append=file.exists(), metadata=None)
            time.sleep(0.2)
        watching.wait_for(5)
        assert watching.end().n_frames == 5


def test_pixels_that_are_no_numbers_end_the_watch_and_keep_what_was_taken(tmp_path):
    frames, file, store = ramp_frames(6, dtype="float32"), tmp_path / "a.mrc", tmp_path / "s.zarr"
    frames[5, 0, 0] = np.nan
    with Watching(store, file) as watching:
        append(file, mrc_bytes(frames))
        with pytest.raises(SeriesError, match="frame 5 has 1 pixels that are NaN"):
            watching.result()
    assert recorded(store) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "--block is 0"),
        ({"detector": "all"}, "--detector all cannot be watched"),
        ({"slow_is": "before"}, "--slow-is is 'before'"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(SettingsError, match=message):
        stemscale.watch(tmp_path / "s.zarr", tmp_path / "a.mrc", **options)
    with pytest.raises(InputFileError, match="has no reader"):
        stemscale.watch(tmp_path / "s.zarr", tmp_path / "a.docx")
