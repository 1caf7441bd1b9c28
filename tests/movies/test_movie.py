import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr
from growing import Grower
from imageio_ffmpeg import get_ffmpeg_exe
from movies.builders import BLOCK, add_filtered, new_series, panels_of, read_movie, scene

from stemscale.errors import ProcessingError, SettingsError, StoreConflictError, StoreError
from stemscale.movies import movie
from stemscale.movies.panels import open_panels
from stemscale.store import AcquisitionStore, rapid_group

SHAPE = (96, 128)
SCAN = {"pixel_size_nm": 2.0, "frame_time_s": 0.04}


@pytest.fixture
def store(tmp_path):
    """Ten noisy frames, filtered to noise-free ones, heated."""
    path = new_series(
        tmp_path, scene(10, SHAPE, noise=1500), temperature=500 + 10 * np.arange(10), **SCAN
    )
    add_filtered(path, scene(10, SHAPE))
    return path


def likeness(picture, frame):
    """Correlation of a panel with a frame, at the frame's own pixels."""
    step = picture.shape[1] // frame.shape[1]
    small = picture.reshape(frame.shape[0], step, frame.shape[1], step).mean(axis=(1, 3))
    return np.corrcoef(small.ravel(), frame.ravel().astype(float))[0, 1]


@pytest.mark.parametrize("ending", ["mp4", "webm", "gif"])
def test_panels_show_the_frames_of_the_series_one_after_the_other(store, tmp_path, ending):
    done = movie(store, tmp_path / f"out.{ending}", fps=20)
    about, pictures = read_movie(done.path)
    assert about["fps"] == 20
    assert about["size"] == (done.shape[1], done.shape[0])
    assert all(n % 2 == 0 for n in done.shape)
    assert len(pictures) == done.n_frames == done.selected == 10
    assert done.panels == ("rapid, as recorded", "dlf")
    assert done.size == done.path.stat().st_size
    rapid, filtered = scene(10, SHAPE, noise=1500), scene(10, SHAPE)
    for i, picture in enumerate(pictures):
        left, right = panels_of(picture, done, 2, SHAPE[1])
        assert likeness(left[: 3 * 70], rapid[i][:70]) > 0.9  # above the scale bar
        assert likeness(right[: 3 * 70], filtered[i][:70]) > 0.97
        assert likeness(right[: 3 * 70], filtered[(i + 5) % 10][:70]) < 0.9


def test_mp4_plays_in_browsers(store, tmp_path):
    done = movie(store, tmp_path / "out.mp4")
    about, _ = read_movie(done.path)
    assert about["codec"] == "h264"
    assert about["pix_fmt"].startswith("yuv420p")
    content = done.path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays while it loads
    assert b"s.zarr fov01" in content
    assert str(tmp_path).encode() not in content


def test_contrast_stays_where_intensities_jump(tmp_path):
    frames = np.full((12, 48, 48), 10000, dtype="uint16")
    frames[:, :24] += 2000
    frames[6:] += 6000  # the beam got brighter, and so does the movie
    path = new_series(tmp_path, frames, **SCAN)
    done = movie(path, tmp_path / "out.gif")
    _, pictures = read_movie(done.path)
    (before,), (after,) = (panels_of(pictures[i], done, 1, 48) for i in (2, 9))
    top, low = (0, 100, 300), (250, 200, 300)  # (row, column, column) in either half, off the bar
    step = float(before[top[0] + 50, 200]) - float(before[low[0], 350])
    rise = float(after[top[0] + 50, 200]) - float(before[top[0] + 50, 200])
    assert rise / step == pytest.approx(3.0, rel=0.1)
    assert float(after[low[0], 350]) - float(before[low[0], 350]) == pytest.approx(rise, abs=2)


def test_raw_frames_are_brought_onto_the_scale_of_the_filtered_ones(tmp_path):
    clean = scene(6, SHAPE)
    path = new_series(tmp_path, (clean // 4 + 500).astype("uint16"), **SCAN)
    add_filtered(path, clean)
    done = movie(path, tmp_path / "out.gif")
    _, pictures = read_movie(done.path)
    left, right = panels_of(pictures[3], done, 2, SHAPE[1])
    assert np.abs(left.astype(float) - right).max() <= 3


def test_speed_keeps_the_pace_of_the_clock_where_frames_came_unevenly(tmp_path):
    time_s = np.array([0, 1, 2, 3, 4, 14, 15, 16, 17, 18.0])  # a pause of ten seconds
    path = new_series(tmp_path, scene(10, SHAPE), time=time_s, **SCAN)
    told = []
    done = movie(path, tmp_path / "out.gif", fps=4, speed=2, listener=told.append)
    assert (done.pace, done.left_out, done.selected) == (2, 0, 10)
    assert done.n_frames == sum(t.frames for t in told) == 38  # 19 s at twice the pace
    assert done.seconds == 9.5
    _, pictures = read_movie(done.path)
    shown = [likeness_index(panels_of(p, done, 1, SHAPE[1])[0]) for p in pictures]
    expected = [int(np.abs(time_s - 0.5 * i - 1e-6).argmin()) for i in range(38)]
    assert shown == expected
    assert movie(path, tmp_path / "fast.gif", fps=4, speed=16).left_out == 6


def likeness_index(picture):
    frames = scene(10, SHAPE)
    return int(np.argmax([likeness(picture[: 3 * 70], f[:70]) for f in frames]))


def test_frames_crop_and_scale_choose_what_is_shown(store, tmp_path):
    done = movie(
        store, tmp_path / "out.gif", frames=(4, 7), crop=(60, 10, 40, 30), scale=5, raw="none"
    )
    assert (done.n_frames, done.panels) == (3, ("dlf",))
    _, pictures = read_movie(done.path)
    for i, picture in enumerate(pictures):
        (panel,) = panels_of(picture, done, 1, 40)
        assert panel[:150].shape == (150, 200)
        wanted = scene(10, SHAPE)[4 + i, 10:40, 60:100]
        assert likeness(panel[: 5 * 18], wanted[:18]) > 0.99


def test_time_temperature_and_number_are_stamped_in_one_place(store, tmp_path):
    done = movie(store, tmp_path / "out.gif", raw="none")
    _, pictures = read_movie(done.path)
    strip = pictures[:, -25:].astype(int)
    assert (strip[0] > 150).sum() > 200  # letters
    assert all((strip[i] != strip[i + 1]).any() for i in range(9))
    ends = [np.flatnonzero((s > 150).any(axis=0)).max() for s in strip]
    assert len(set(ends)) == 1  # the pace keeps its place


def test_a_scale_bar_is_there_where_the_pixel_size_is_known(tmp_path):
    frames = np.full((2, 50, 100), 20000, dtype="uint16")
    known, unknown = tmp_path / "known", tmp_path / "unknown"
    for folder, scan in ((known, {"pixel_size_nm": 2.0}), (unknown, {})):
        folder.mkdir()
        new_series(folder, frames, **scan)
        movie(folder / "s.zarr", folder / "out.gif")
    _, with_bar = read_movie(known / "out.gif")
    _, without = read_movie(unknown / "out.gif")
    brightest = (with_bar[0, 25:-25] > 240).sum(axis=1)
    assert brightest.max() == 100  # 50 nm of 200 nm, on 400 px
    assert (without[0, 25:-25] > 240).sum() == 0
    assert (without[0, -25:] > 150).sum() > 0  # the frame number still is


def test_frames_that_are_not_there_are_hatched_and_counted_not_skipped(tmp_path):
    path = new_series(tmp_path, scene(14, SHAPE), **SCAN)
    add_filtered(path, scene(14, SHAPE), leave=(1,), fail=(2,))
    store = AcquisitionStore(path)
    shard = store.frames(rapid_group("fov01")).shard(3)
    shard.write_bytes(shard.read_bytes()[:-50])
    done = movie(path, tmp_path / "out.gif")
    assert done.n_frames == 14
    assert done.absent == {
        "rapid, as recorded": {"damaged": 2},
        "dlf": {"not filtered yet": BLOCK, "filter failed": BLOCK},
    }
    _, pictures = read_movie(done.path)
    right = [panels_of(p, done, 2, SHAPE[1])[1] for p in pictures]
    assert all((right[i] == right[4])[:100].all() for i in (5, 6, 7, 8, 11))
    assert likeness(right[13][:210], scene(14, SHAPE)[13][:70]) > 0.97


def test_a_run_under_way_is_shown_as_far_as_it_has_come(tmp_path):
    path = new_series(tmp_path, scene(10, SHAPE), **SCAN)
    add_filtered(path, scene(10, SHAPE), leave=(1, 2), finish=False)
    done = movie(path, tmp_path / "out.gif")
    assert done.absent == {"dlf": {"not filtered yet": 6}}


def test_a_series_that_grows_is_shown_as_long_as_it_is(tmp_path):
    frames = scene(7, (24, 32))
    with Grower(tmp_path / "g.zarr") as grower:
        with pytest.raises(StoreError, match="fov01 has no frame yet"):
            movie(tmp_path / "g.zarr", tmp_path / "out.gif")
        grower.add(frames[:6])
        done = movie(tmp_path / "g.zarr", tmp_path / "out.gif")
        assert (done.n_frames, done.absent) == (6, {})
        grower.add(frames[6:])
        assert movie(tmp_path / "g.zarr", tmp_path / "out.gif", overwrite=True).n_frames == 7


def test_a_block_that_is_written_anew_while_the_movie_is_made_is_read_again(tmp_path):
    frames = scene(7, (24, 32))
    with Grower(tmp_path / "g.zarr") as grower:
        grower.add(frames[:6])
        (panel,), n_frames = open_panels(
            AcquisitionStore(tmp_path / "g.zarr"), "fov01", [], raw="corrected"
        )
        grower.add(frames[6:])  # its last block was a short one
        pictures = list(panel.pictures(range(n_frames)))
    np.testing.assert_array_equal(pictures, frames[:6])


def test_an_absent_frame_that_is_shown_for_long_counts_once(tmp_path):
    path = new_series(tmp_path, scene(6, SHAPE), **SCAN)
    add_filtered(path, scene(6, SHAPE), leave=(1,))
    told = []
    done = movie(path, tmp_path / "out.gif", speed=0.02, scale=1, listener=told.append)
    assert done.n_frames == 300
    assert len(told) > 2 * 6 // BLOCK  # so that a frame is shown in several pieces
    assert done.absent == {"dlf": {"not filtered yet": 2}}


def test_pixels_that_were_not_seen_are_hatched(tmp_path):
    path = new_series(tmp_path, scene(3, SHAPE), **SCAN)
    filtered = scene(3, SHAPE)
    filtered[:, :, :30] = 0  # the fill value
    add_filtered(path, filtered)
    done = movie(path, tmp_path / "out.gif", raw="none")
    _, pictures = read_movie(done.path)
    (panel,) = panels_of(pictures[1], done, 1, SHAPE[1])
    assert set(np.unique(panel[:200, :80])) <= set(range(38, 43)) | set(range(82, 87))


def test_filters_are_chosen_and_titled(tmp_path):
    path = new_series(tmp_path, scene(6, SHAPE), **SCAN)
    clean = scene(6, SHAPE)
    assert movie(path, tmp_path / "raw.gif").panels == ("rapid, as recorded",)
    add_filtered(path, clean, "gauss", filter="gaussian", filter_card=None)
    add_filtered(path, clean, "plain", filter="none", filter_card=None)
    add_filtered(path, clean[:1], "dcfi", filter="dcfi", filter_card=None)
    add_filtered(path, clean, "dcfi3", filter="dcfi", filter_card=None, window=3)
    classical = movie(path, tmp_path / "a.gif").panels
    assert classical == ("rapid, as recorded", "dcfi3, average of 3 frames", "gauss")
    add_filtered(path, clean, "mine", trained_on=True)
    learned = movie(path, tmp_path / "b.gif").panels
    assert learned == ("rapid, as recorded", "mine, trained on this FOV")
    asked = movie(path, tmp_path / "c.gif", filters=["gauss", "dcfi"], raw="none")
    assert asked.panels == ("gauss", "dcfi, average of the series")
    assert asked.absent == {}
    with pytest.raises(StoreError, match="not filtered as magic: it has dcfi, dcfi3, gauss"):
        movie(path, tmp_path / "d.gif", filters=["magic"])


def test_one_frame_without_time_is_a_movie(tmp_path):
    path = new_series(tmp_path, scene(1, (9, 11)))
    done = movie(path, tmp_path / "out.mp4")
    assert (done.n_frames, done.pace) == (1, None)
    assert len(read_movie(done.path)[1]) == 1


def test_float_and_signed_frames_are_shown_too(tmp_path):
    for dtype in ("float32", "int16"):
        folder = tmp_path / dtype
        folder.mkdir()
        frames = (scene(4, SHAPE).astype("float64") - 18000).astype(dtype)
        path = new_series(folder, frames, **SCAN)
        filtered = frames.copy()
        filtered[:, 0] = np.nan if dtype == "float32" else np.iinfo(dtype).min
        add_filtered(path, filtered)
        done = movie(path, folder / "out.gif")
        left, right = panels_of(read_movie(done.path)[1][2], done, 2, SHAPE[1])
        assert likeness(right[3:210], frames[2][1:70]) > 0.98
        assert likeness(left[:210], frames[2][:70]) > 0.98


def test_metadata_that_are_hostile_or_huge_do_no_harm(tmp_path):
    path = new_series(tmp_path, scene(3, SHAPE), **SCAN)
    evil = "<script>alert(1)</script>\x00\n" + "x" * 10_000
    add_filtered(path, scene(3, SHAPE), filter=evil, window=evil, trained_on=evil)
    AcquisitionStore(path).set_attrs(
        rapid_group("fov01"), {"pixel_size_nm": "<b>", "instrument": evil}
    )
    assert movie(path, tmp_path / "out.mp4").panels == ("rapid, as recorded", "dlf")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"frames": (5, 11)}, "--frames 5:11 is not within the series, which has 10 frames"),
        ({"frames": (5, 5)}, "--frames 5:5"),
        ({"frames": (-3, None)}, "--frames -3:"),
        ({"crop": (100, 0, 40, 10)}, "reaches outside of rapid.* 128 pixels wide and 96 high"),
        ({"crop": (0, 0, 0, 10)}, "is empty"),
        ({"fps": 0}, "--fps is 0"),
        ({"fps": float("nan")}, "--fps is nan"),
        ({"fps": 60}, "--fps 60 is more than 50"),
        ({"speed": -1}, "--speed is -1"),
        ({"speed": 1e-9}, "give a higher --speed"),
        ({"scale": 0}, "--scale is 0"),
        ({"scale": 100}, "--scale 100 makes a movie of more than"),
        ({"raw": "magic"}, "choose one of corrected, recorded, none"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(store, tmp_path, asked, words):
    with pytest.raises(SettingsError, match=words):
        movie(store, tmp_path / "out.gif", **asked)
    assert not list(tmp_path.glob("*out*"))


def test_speed_without_times_is_refused(tmp_path):
    path = new_series(tmp_path, scene(4, SHAPE))
    with pytest.raises(SettingsError, match="--speed needs the time of every frame"):
        movie(path, tmp_path / "out.gif", speed=1)
    AcquisitionStore(path).write_dataset(
        rapid_group("fov01"), xr.Dataset(coords={"time": ("frame", [0, 2, 1, np.nan])})
    )
    with pytest.raises(SettingsError, match="1 of 4 have none"):
        movie(path, tmp_path / "out.gif", speed=1)
    with pytest.raises(SettingsError, match="fall from 2 s to 1 s"):
        movie(path, tmp_path / "out.gif", speed=1, frames=(0, 3))
    assert movie(path, tmp_path / "out.gif").n_frames == 4


def test_the_place_of_the_file_is_checked(store, tmp_path):
    with pytest.raises(SettingsError, match=r"choose \.mp4, \.webm, \.gif"):
        movie(store, tmp_path / "out.avi")
    with pytest.raises(SettingsError, match="lies in the store"):
        movie(store, store / "out.mp4")
    (tmp_path / "there.gif").write_bytes(b"mine")
    with pytest.raises(StoreConflictError, match="--overwrite"):
        movie(store, tmp_path / "there.gif")
    assert (tmp_path / "there.gif").read_bytes() == b"mine"


def test_several_fovs_ask_which_one(store, tmp_path):
    new_series(tmp_path, scene(2, SHAPE), fov="fov02")
    with pytest.raises(SettingsError, match="choose with --fov fov01, fov02"):
        movie(store, tmp_path / "out.gif")
    assert movie(store, tmp_path / "out.gif", fov="fov02").n_frames == 2


def test_a_killed_ffmpeg_is_one_error_and_leaves_the_old_file(store, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"the old one")

    def kill(_):
        for child in ffmpegs():
            os.kill(child, signal.SIGKILL)

    with pytest.raises(ProcessingError, match="ended by signal 9"):
        movie(store, tmp_path / "out.mp4", overwrite=True, listener=kill)
    assert (tmp_path / "out.mp4").read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.glob("*out*")] == ["out.mp4"]


def test_without_any_ffmpeg_the_error_names_the_extra_before_a_frame_is_read(
    store, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    read = []
    module = sys.modules["stemscale.movies.movie"]
    monkeypatch.setattr(module, "fix_contrast", lambda *_: read.append(1))
    with pytest.raises(ProcessingError, match=r"pip install 'stemscale\[movie\]'"):
        movie(store, tmp_path / "out.mp4")
    assert not read


def test_without_the_extra_the_ffmpeg_of_the_machine_is_taken(store, tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").symlink_to(get_ffmpeg_exe())
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert movie(store, tmp_path / "out.gif").n_frames == 10


def test_a_file_that_cannot_grow_is_an_error_and_leaves_nothing(store, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # as a full disk
    try:
        with pytest.raises(ProcessingError, match="cannot be written"):
            movie(store, tmp_path / "out.gif", scale=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("*out*"))


def test_ctrl_c_ends_ffmpeg_and_leaves_nothing(store, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        movie(store, tmp_path / "out.mp4", listener=interrupt)
    assert not list(tmp_path.glob("*out*"))
    assert not ffmpegs()
    assert not [t for t in threading.enumerate() if t.name.startswith("movie")]


def ffmpegs():
    """Process numbers of our ffmpegs."""
    ids = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "ffmpeg"], capture_output=True, text=True
    ).stdout
    return [int(i) for i in ids.split()]
