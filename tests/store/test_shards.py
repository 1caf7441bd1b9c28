"""What the packing of shards has to hold: whole or not there, the same bytes each time."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from stemscale.acquisition import ScanSettings
from stemscale.errors import DamagedDataError
from stemscale.store import AcquisitionStore, FramesArray, finish_frames

GROUP = "fov01/rapid"
WRITER = """
import sys, numpy as np
from pathlib import Path
from stemscale.store import FramesArray
frames = FramesArray(Path(sys.argv[1]), "fov01/rapid")
noise = np.random.default_rng(0).integers(0, 4000, frames.shape).astype("uint16")
print("begun", flush=True)
for turn in range(1000):
    frames.write(0, noise + np.uint16(turn))
"""


def make_frames(path, n=8, size=128, block=8, dtype="uint16", with_fill=False) -> FramesArray:
    return AcquisitionStore.create(path).create_frames(
        "fov01",
        GROUP,
        xr.Dataset(),
        ScanSettings(n_x=size, n_y=size),
        n_frames=n,
        dtype=np.dtype(dtype),
        with_fill=with_fill,
        long_name="frames",
        block=block,
    )


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def test_the_same_frames_make_the_same_bytes(tmp_path):
    frames = noise((8, 128, 128))
    packed = set()
    for i in range(12):
        array = make_frames(tmp_path / f"{i}.zarr")
        array.write(0, frames)
        packed.add(array.shard(0).read_bytes())
    assert len(packed) == 1


def test_a_killed_writer_leaves_the_shard_before_or_after_and_never_half(tmp_path):
    array = make_frames(tmp_path / "s.zarr", size=512)
    frames = noise(array.shape)
    array.write(0, frames)
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "s.zarr")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            time.sleep(random.uniform(0.02, 0.2))
            writer.send_signal(signal.SIGKILL)
        added = array.read(0, 8) - frames
        assert (added == added.flat[0]).all()


def test_what_killed_writers_left_is_gone_once_a_series_is_finished(tmp_path):
    array = make_frames(tmp_path / "s.zarr")
    array.write(0, noise(array.shape))
    left = array.shard(0).with_name("0#1")
    left.write_bytes(b"half a shard")
    finish_frames(AcquisitionStore(tmp_path / "s.zarr"), GROUP, {})
    assert not left.exists()
    assert array.shard(0).exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("with_fill", [False, True])
def test_zarr_itself_reads_what_is_packed_blank_frames_included(tmp_path, dtype, with_fill):
    array = make_frames(tmp_path / "s.zarr", n=7, size=9, block=4, dtype=dtype, with_fill=with_fill)
    frames = noise(array.shape).astype(array.dtype)
    frames[:4] = zarr.open_array(tmp_path / "s.zarr" / GROUP / "frames").fill_value
    frames[5] = 0
    for index in range(array.n_blocks):
        array.write(index, frames[slice(*array.bounds(index))])
        assert array.shard(index).is_file()
    plain = zarr.open_array(tmp_path / "s.zarr" / GROUP / "frames", mode="r")
    np.testing.assert_array_equal(np.asarray(plain[:]), frames)
    np.testing.assert_array_equal(array.read(0, 7), frames)


def test_every_flipped_bit_of_a_shard_is_noticed_when_it_is_read(tmp_path):
    array = make_frames(tmp_path / "s.zarr", n=4, size=16, block=4)
    array.write(0, noise(array.shape))
    good = array.shard(0).read_bytes()
    for place in range(0, 8 * len(good), 37):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        array.shard(0).write_bytes(bad)
        with pytest.raises(DamagedDataError, match="verify"):
            array.read(0, 4)


@pytest.mark.parametrize("name", ["a b#c%20ü?*[x]~;&'", "zwei\nlines", "日本"])
def test_any_folder_name_will_do(tmp_path, monkeypatch, name):
    array = make_frames(tmp_path / name / "s.zarr")
    array.write(0, noise(array.shape))
    monkeypatch.chdir(tmp_path / name)
    np.testing.assert_array_equal(FramesArray(Path("s.zarr"), GROUP).read(0, 8), noise(array.shape))
