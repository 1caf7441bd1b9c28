"""A replay: the frames of an ordinary simulation, in parts, in order, at a pace."""

import csv
import struct
import threading
import time

import numpy as np
import pytest
import tifffile

from stemscale.errors import SettingsError
from stemscale.ingestion.mdoc import read_mdoc
from stemscale.ingestion.rosetta import signals
from stemscale.simulation import FrameReplayed, Replay, simulate
from stemscale.simulation.replay import Pace

FRAMES, SIZE = 6, 48


def run(folder, replay=None, **options):
    events = []
    manifest = simulate(
        folder,
        frames=FRAMES,
        size=SIZE,
        in_situ=True,
        replay=replay,
        listeners=[events.append],
        **options,
    )
    with manifest.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return row, [e for e in events if isinstance(e, FrameReplayed)]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("at_once")
    row, replayed = run(folder)
    assert row["rapid"] == "fov01_rapid.tif"
    assert replayed == []
    return folder


def test_files_hold_the_frames_that_are_otherwise_one_stack(at_once, tmp_path):
    row, replayed = run(tmp_path, Replay(fps=500))
    assert row["rapid"] == "fov01_rapid"
    files = sorted((tmp_path / "fov01_rapid").iterdir())
    assert [f.name for f in files] == [f"frame_{i + 1:06d}.tif" for i in range(FRAMES)]
    stack = tifffile.imread(at_once / "fov01_rapid.tif")
    np.testing.assert_array_equal([tifffile.imread(f) for f in files], stack)
    assert [e.frame for e in replayed] == list(range(FRAMES))
    for name in ("fov01_slow.tif", "fov01_frames.csv"):
        assert (tmp_path / name).read_bytes() == (at_once / name).read_bytes()
    assert (tmp_path / "truth.zarr" / "zarr.json").is_file()


def test_an_mrc_file_holds_them_too_with_dwell_time_and_pixel_size(at_once, tmp_path):
    row, _ = run(tmp_path, Replay(fps=500, kind="mrc"))
    (source,) = signals(tmp_path / row["rapid"])
    stack = tifffile.imread(at_once / "fov01_rapid.tif")
    np.testing.assert_array_equal(source.read(0, FRAMES), stack)
    assert source.n_frames == FRAMES
    assert source.settings.pixel_size_nm == pytest.approx(2.1)
    assert source.settings.dwell_time_ns == pytest.approx(100)
    assert source.settings.detector == "BF"
    settings, _ = read_mdoc(tmp_path / row["rapid"], source.settings, FRAMES)
    assert settings == source.settings


@pytest.mark.parametrize("kind", ["files", "mrc"])
def test_a_reader_sees_half_of_what_is_being_written(tmp_path, kind):
    sizes, over = set(), threading.Event()

    def look():
        while not over.is_set():
            if kind == "mrc":
                sizes.update(f.stat().st_size for f in tmp_path.glob("*.mrc"))
            else:
                sizes.update(f.stat().st_size for f in tmp_path.glob("fov01_rapid/*.tif"))
            time.sleep(0.0005)

    reader = threading.Thread(target=look)
    reader.start()
    run(tmp_path, Replay(fps=50, kind=kind))
    over.set()
    reader.join()
    frame = SIZE * SIZE * 2
    if kind == "mrc":
        assert any((s - 1024) % frame for s in sizes)
        head = (tmp_path / "fov01_rapid.mrc").read_bytes()[:12]
        assert struct.unpack("<3I", head) == (SIZE, SIZE, FRAMES)
    else:
        assert len(sizes) >= 2


def test_the_pace_keeps_to_absolute_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    pace = Pace(10.0)
    for i, takes in enumerate([0.01, 0.25, 0.0, 0.0, 0.0]):
        pace.wait(i)
        now[0] += takes
        assert pace.is_late(i) == (i in (1, 2))
    assert slept == pytest.approx([0.0, 0.09, 0.0, 0.0, 0.05])


def test_a_replay_can_be_replaced_by_another(tmp_path):
    run(tmp_path, Replay(fps=500))
    row, _ = run(tmp_path, Replay(fps=500, kind="mrc"), overwrite=True)
    assert not (tmp_path / "fov01_rapid").exists()
    run(tmp_path, overwrite=True)
    assert not (tmp_path / row["rapid"]).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fps": 0}, "--replay-fps is 0"), ({"fps": 38, "kind": "raw"}, "must be files or mrc")],
)
def test_a_replay_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        Replay(**options)
