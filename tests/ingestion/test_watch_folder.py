"""A folder that gets files: whole ones only, in their order, whatever else lies there."""

import errno
import os
import time
from importlib import import_module

import numpy as np
import pytest
from builders import ramp_frames, write_image, write_stack
from watching import (
    Watching,
    append,
    assert_as_ingested_at_once,
    mrc_bytes,
    opened,
    recorded,
    tiff_bytes,
    until,
    watch_process,
)

import stemscale
from stemscale.errors import InputFileError

SETTINGS = {"dwell_time_ns": 100, "frame_time_s": 0.026}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    return folder


@pytest.fixture
def pages(tmp_path):
    """The bytes of nine files of one frame each."""
    return [tiff_bytes(tmp_path, f, **SETTINGS) for f in ramp_frames(9)]


def test_half_written_files_are_waited_for_and_never_read(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with Watching(store, source) as watching:
        for i, content in enumerate(pages):
            file = source / f"frame_{i}.tif"
            append(file, content[: len(content) // 2])
            time.sleep(0.04)
            append(file, content[len(content) // 2 :])
        watching.wait_for(9)
        done = watching.end()
    assert (done.n_frames, done.not_taken) == (9, {})
    np.testing.assert_array_equal(opened(store)["frames"], ramp_frames(9))
    np.testing.assert_allclose(opened(store)["time"], np.arange(9) * 0.026)
    stemscale.ingest(tmp_path / "o.zarr", source, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")
    assert stemscale.ingest(store, source)[0].skipped


def test_names_count_as_people_do_and_a_late_half_holds_up_those_behind_it(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with Watching(store, source) as watching:
        (source / "f8.tif").write_bytes(pages[0])
        (source / "f9.tif").write_bytes(pages[1][:300])
        (source / "f10.tif").write_bytes(pages[2])
        watching.wait_for(1)
        time.sleep(0.4)
        assert recorded(store) == 1
        append(source / "f9.tif", pages[1][300:])
        watching.wait_for(3)
        watching.end()
    np.testing.assert_array_equal(opened(store)["frames"], ramp_frames(3))


def test_a_file_under_a_temporary_name_counts_once_it_is_renamed(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with Watching(store, source) as watching:
        for i, content in enumerate(pages):
            hidden = [".f.tif", "f.tif.tmp", "f.part.tif", "~f.tif"][i % 4]
            (source / hidden).write_bytes(content)
            time.sleep(0.03)
            (source / hidden).rename(source / f"f{i}.tif")
        watching.wait_for(9)
        assert watching.end().n_frames == 9
    np.testing.assert_array_equal(opened(store)["frames"], ramp_frames(9))


def test_other_files_in_the_folder_do_not_disturb(source, pages, tmp_path):
    store, slow = tmp_path / "s.zarr", source / "slow.tif"
    with Watching(store, source, slow=slow) as watching:
        (source / "notes.txt").write_text("a fine day")
        (source / "f.mdoc").write_text("[T = 1]")
        (source / "f.csv").write_text("time_s\n0\n")
        for i, content in enumerate(pages):
            (source / f"f{i}.tif").write_bytes(content)
        watching.wait_for(9)
        write_image(slow, ramp_frames(1)[0], dwell_time_ns=5000)
        time.sleep(0.1)
        done = watching.end()
    assert (done.n_frames, done.slow, done.not_taken) == (9, True, {})
    at_once = tmp_path / "o.zarr"
    stemscale.ingest(at_once, source, slow=slow, slow_is="after", block=4)
    assert_as_ingested_at_once(store, at_once)
    assert stemscale.ingest(store, source, slow=slow, slow_is="after")[0].skipped


def test_an_image_that_is_unlike_the_frames_is_left_out_and_named(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with Watching(store, source) as watching:
        (source / "f0.tif").write_bytes(pages[0])
        watching.wait_for(1)
        write_stack(source / "f1.tif", ramp_frames(1, 20, 20))
        (source / "f2.tif").write_bytes(pages[1])
        watching.wait_for(2)
        done = watching.end()
    assert done.n_frames == 2
    assert "name a slow scan with --slow" in done.not_taken["f1.tif"]
    assert any("f1.tif is a .tif of (20, 20) uint16" in n for n in watching.notices)


def test_a_file_that_never_becomes_whole_is_named_left_out_and_stays_so(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with Watching(store, source, patience_s=0.4) as watching:
        (source / "f0.tif").write_bytes(pages[0])
        (source / "f1.tif").write_bytes(pages[1][:200])
        (source / "f2.tif").write_bytes(pages[2])
        watching.wait_for(2)
        done = watching.end()
    assert list(done.not_taken) == ["f1.tif"]
    assert "did not become whole" in watching.notices[0]
    wanted = ramp_frames(3)[[0, 2]]
    np.testing.assert_array_equal(opened(store)["frames"], wanted)
    append(source / "f1.tif", pages[1][200:])  # after its turn, and after the end
    (source / "f3.tif").write_bytes(pages[3])
    again = Watching(store, source, until_idle_s=0.5).result()
    assert (again.n_frames, list(again.not_taken)) == (3, ["f1.tif"])
    np.testing.assert_array_equal(opened(store)["frames"], ramp_frames(4)[[0, 2, 3]])
    with pytest.raises(stemscale.errors.StoreConflictError):  # it holds less than the folder
        stemscale.ingest(store, source)


def test_the_last_file_is_waited_for_and_told_of(source, pages, tmp_path):
    with Watching(tmp_path / "s.zarr", source, patience_s=0.2) as watching:
        (source / "f0.tif").write_bytes(pages[0][:200])
        until(lambda: watching.notices)
        append(source / "f0.tif", pages[0][200:])
        watching.wait_for(1)
        assert watching.end().not_taken == {}
    assert "f0.tif is not whole" in watching.notices[0]
    assert "it is still waited for" in watching.notices[0]


def test_a_file_that_comes_after_its_turn_is_left_out(source, pages, tmp_path):
    with Watching(tmp_path / "s.zarr", source) as watching:
        (source / "f2.tif").write_bytes(pages[0])
        watching.wait_for(1)
        (source / "f1.tif").write_bytes(pages[1])
        until(lambda: watching.notices)
        done = watching.end()
    assert (done.n_frames, done.not_taken) == (1, {"f1.tif": "came after its turn"})


@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_a_file_that_is_changed_after_it_was_taken_is_an_error(source, pages, tmp_path, harm):
    with Watching(tmp_path / "s.zarr", source) as watching:
        (source / "f0.tif").write_bytes(pages[0])
        watching.wait_for(1)
        if harm == "changed":
            append(source / "f0.tif", b"more")
        else:
            (source / "f0.tif").unlink()
        with pytest.raises(InputFileError, match=r"f0\.tif was changed or removed after"):
            watching.result()


def test_files_of_several_frames_and_folders_in_folders_are_taken(source, tmp_path):
    frames, store = ramp_frames(10), tmp_path / "s.zarr"
    with Watching(store, source) as watching:
        (source / "s1").mkdir()
        (source / "s1" / "a.mrc").write_bytes(mrc_bytes(frames[:3]))
        watching.wait_for(3)
        (source / "s2").mkdir()
        (source / "s2" / "a.mrc").write_bytes(mrc_bytes(frames[3:]))
        watching.wait_for(10)
        watching.end()
    np.testing.assert_array_equal(opened(store)["frames"], frames)
    stemscale.ingest(tmp_path / "o.zarr", source, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


def test_a_folder_that_comes_later_is_waited_for(pages, tmp_path):
    with Watching(tmp_path / "s.zarr", tmp_path / "a") as watching:
        until(lambda: watching.events)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "f.tif").write_bytes(pages[0])
        watching.wait_for(1)
        assert watching.end().n_frames == 1


def test_killed_among_files_it_goes_on_where_it_was(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    with watch_process(store, source) as process:
        for i, content in enumerate(pages[:6]):
            (source / f"f{i}.tif").write_bytes(content)
            time.sleep(0.02)
        until(lambda: process.poll() is not None or recorded(store) >= 4)
        process.kill()
        process.wait()
    for i, content in enumerate(pages[6:], start=6):
        (source / f"f{i}.tif").write_bytes(content)
    assert Watching(store, source, until_idle_s=0.6).result().n_frames == 9
    stemscale.ingest(tmp_path / "o.zarr", source, block=4)
    assert_as_ingested_at_once(store, tmp_path / "o.zarr")


def test_what_was_left_out_before_any_frame_was_in_has_its_chance_again(source, pages, tmp_path):
    store = tmp_path / "s.zarr"
    for i in (0, 1):
        (source / f"f{i}.tif").write_bytes(pages[i][:200])
    none = Watching(store, source, patience_s=0.2, until_idle_s=1).result()
    assert (none.n_frames, list(none.not_taken)) == (0, ["f0.tif"])
    for i in (0, 1):
        append(source / f"f{i}.tif", pages[i][200:])
    for _ in range(2):
        done = Watching(store, source, until_idle_s=0.5).result()
        assert (done.n_frames, done.not_taken) == (2, {})


def test_folders_that_may_not_be_read_do_not_disturb(source, pages, tmp_path, monkeypatch):
    (source / "lost+found").mkdir()
    refuse_to_list(monkeypatch, lambda folder: folder.endswith("lost+found"), errno.EACCES)
    (source / "f0.tif").write_bytes(pages[0])
    assert Watching(tmp_path / "s.zarr", source, until_idle_s=0.5).result().n_frames == 1


def test_a_share_that_is_away_for_a_moment_is_told_of_and_read_again(
    source, pages, tmp_path, monkeypatch
):
    away = []
    refuse_to_list(monkeypatch, lambda folder: bool(away), errno.ESTALE)
    with Watching(tmp_path / "s.zarr", source) as watching:
        (source / "f0.tif").write_bytes(pages[0])
        watching.wait_for(1)
        away.append(True)
        until(lambda: watching.notices)
        away.clear()
        (source / "f1.tif").write_bytes(pages[1])
        watching.wait_for(2)
        assert watching.end().n_frames == 2
    assert "cannot be read" in watching.notices[0]


def test_a_share_that_stays_away_ends_the_watch_and_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("stemscale.ingestion.watch"), "_AWAY_S", 0.3)
    refuse_to_list(monkeypatch, lambda folder: True, errno.EIO)
    with pytest.raises(InputFileError, match=f"{source} cannot be read .*goes on where it was"):
        Watching(tmp_path / "s.zarr", source).result()


def test_a_source_that_lacks_frames_is_told_of_while_it_is_waited_for(
    source, pages, tmp_path, monkeypatch
):
    monkeypatch.setattr(import_module("stemscale.ingestion.watch"), "_MISSED_S", 0.2)
    for i in (0, 1):
        (source / f"f{i}.tif").write_bytes(pages[i])
    Watching(tmp_path / "s.zarr", source, until_idle_s=0.5).result()
    (source / "f1.tif").unlink()
    with Watching(tmp_path / "s.zarr", source) as watching:
        until(lambda: watching.notices)
        (source / "f1.tif").write_bytes(pages[1])
        (source / "f2.tif").write_bytes(pages[2])
        watching.wait_for(3)
        watching.end()
    assert "put back what is missing" in watching.notices[0]


def refuse_to_list(monkeypatch, which, number):
    """Have folders not listed, as those of others and of shares that are away are not."""
    real = os.scandir

    def scandir(folder):
        if which(str(folder)):
            raise OSError(number, os.strerror(number))
        return real(folder)

    monkeypatch.setattr("stemscale.ingestion.watched_folder.os.scandir", scandir)
