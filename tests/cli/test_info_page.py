import subprocess
import sys

import pytest
from builders import ramp_frames, write_image
from velox_files import velox_page, write_velox

import stemscale


@pytest.fixture
def store(tmp_path):
    frames = ramp_frames(7)
    modes = ["Ready", "Ready", "Off", "Off", "Off", "Ready", "Ready"]
    pages = [velox_page(i, Vacuum={"VacuumMode": m}) for i, m in enumerate(modes)]
    rapid = write_velox(tmp_path / "a.emd", {"HAADF": frames}, pages={"HAADF": pages})
    slow = write_image(tmp_path / "slow.tif", frames[0], pixel_size_nm=2.1, dwell_time_ns=5000)
    stemscale.ingest(tmp_path / "s.zarr", rapid, slow=slow, use="test", block=4)
    return tmp_path / "s.zarr"


def page(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", "info", *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"COLUMNS": "110", "PATH": ""}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def words_of(text, start):
    return next(line.split() for line in text.splitlines() if line.strip().startswith(start))


def test_the_page_shows_settings_with_units_and_ranges_of_every_frame(store):
    text = page(store)
    assert words_of(text, "dwell time") == ["dwell", "time", "100", "ns/px", "5", "µs/px"]
    assert words_of(text, "pixel size")[2:] == ["2.1", "nm", "2.1", "nm"]
    assert words_of(text, "flyback time")[2:6] == ["not", "in", "the", "file"]
    assert words_of(text, "start time")[2] == "2019-12-05T10:03:46.238991Z"
    assert words_of(text, "stage_x") == ["stage_x", "nm", "1000", "1006", "1000", "1006"]
    assert words_of(text, "vacuum_vacuum_mo")[1:] == ["2", "words", "Ready", "Ready"]
    assert words_of(text, "timestamp")[:2] == ["timestamp", "UTC"]
    assert "ingest a from a.emd" in text
    assert "\x1b" not in text


def test_many_fovs_are_listed_and_shown_one_by_one_on_demand(store, tmp_path):
    for i in range(3):
        stemscale.ingest(store, tmp_path / "a.emd", fov=f"b{i}")
    text = page(store)
    assert all(words_of(text, name) for name in ("a ", "b0", "b1", "b2"))
    assert "dwell time" not in text
    assert "dwell time" in page(store, "--fov", "b1")


def test_sizes_and_ratio_are_those_of_the_files(store):
    found = stemscale.info(store)["fovs"]["a"]
    assert found["frames_bytes_uncompressed"] == 7 * 12 * 16 * 2
    on_disk = sum(f.stat().st_size for f in (store / "a/rapid/frames").rglob("*") if f.is_file())
    assert found["frames_bytes_on_disk"] == on_disk
    assert found["compression_ratio"] == pytest.approx(7 * 12 * 16 * 2 / on_disk)
    assert (found["blocks"], found["blocks_done"]) == (2, 2)


def test_a_fov_that_is_not_there_is_named_beside_those_that_are(store):
    command = [sys.executable, "-m", "stemscale_cli.app", "info", str(store), "--fov", "zz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "has no FOV zz: it has a" in done.stderr
