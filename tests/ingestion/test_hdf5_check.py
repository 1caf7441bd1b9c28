"""Damaged HDF5 files on which the library itself loops or crashes, one bit each, found by fuzzing.

They are opened in processes of their own, which are ended if the protection fails.
"""

import json
import logging
import re
import signal
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
from builders import DATA, ramp_frames
from velox_files import write_velox

from stemscale.errors import InputFileError
from stemscale.ingestion.hdf5_check import check_hdf5
from stemscale.ingestion.readers import open_series
from stemscale.ingestion.velox import signals

VELOX = "fei_example_tem_stack.emd"

# No guard of __main__, as in a user's script.
INGEST = """
import functools, resource, sys
import stemscale.ingestion
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))  # a length without end would fill the memory
from stemscale.errors import InputFileError
module = sys.modules["stemscale.ingestion.ingest"]
module.check_hdf5 = functools.partial(module.check_hdf5, cpu_limit_s=1)
try:
    stemscale.ingestion.ingest(sys.argv[1], sys.argv[2])
except InputFileError as error:
    print(error)
"""


def turned(path, whole, byte, bit):
    bits = bytearray(whole)
    bits[byte] ^= 1 << bit
    path.write_bytes(bits)
    return path


def nion_bytes(folder):
    with h5py.File(folder / "whole.h5", "w") as file:
        file.create_dataset("data", data=ramp_frames(4), chunks=(1, 12, 16))
        file["data"].attrs["properties"] = json.dumps({"datum_dimension_count": 2, "x": "y" * 100})
    return (folder / "whole.h5").read_bytes()


def looping_nion(folder):
    whole = nion_bytes(folder)
    return turned(folder / "a.h5", whole, whole.index(b"GCOL") + 24, 3)  # size of a text


def crashing_nion(folder):
    whole = nion_bytes(folder)
    return turned(folder / "a.h5", whole, whole.index(b"properties\0") + 17, 3)  # size of its type


def velox(byte, bit):
    return lambda folder: turned(folder / "a.emd", (DATA / VELOX).read_bytes(), byte, bit)


def ingest(folder, path):
    done = subprocess.run(
        [sys.executable, "-c", INGEST, str(folder / "s.zarr"), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(velox(50289, 2), "never comes to an end", id="Velox: size of a text"),
        pytest.param(velox(74098, 0), "never comes to an end", id="Velox: axes of a chunk"),
        pytest.param(velox(67932, 2), r"is to have 17179869186 frames, but 2", id="Velox: length"),
        pytest.param(looping_nion, "never comes to an end", id="Nion: size of a text"),
        pytest.param(crashing_nion, r"crashes on it \(SIG", id="Nion: size of a type"),
    ],
)
def test_a_file_on_which_hdf5_loops_or_crashes_ends_in_our_own_error(tmp_path, harm, said):
    path = harm(tmp_path)
    found = ingest(tmp_path, path)
    assert str(path) in found
    assert re.search(said, found)
    assert not (tmp_path / "s.zarr").exists()


def test_of_many_files_the_one_is_named_that_is_damaged(tmp_path):
    good = tmp_path / "whole.h5"
    bad = crashing_nion(tmp_path)
    tiff = tmp_path / "no_hdf5.tif"  # not even there
    check_hdf5([good] * 50 + [tiff])
    with pytest.raises(InputFileError, match=r"a\.h5 is damaged"):
        check_hdf5([good] * 50 + [tiff, bad, good])


def test_files_that_are_only_damaged_are_left_to_their_reader(tmp_path):
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "short.emd").write_bytes((DATA / VELOX).read_bytes()[:5000])
    check_hdf5([tmp_path / "empty.h5", tmp_path / "short.emd", *sorted(DATA.glob("*.emd"))])


def test_where_no_process_can_be_started_files_are_opened_all_the_same(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    for program in ("/no/such/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        check_hdf5([DATA / VELOX])
    assert caplog.text.count("opened unchecked") == 2


def test_ctrl_c_ends_a_check_that_loops(tmp_path):
    script = (
        "import signal, sys, pathlib\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "from stemscale.ingestion.hdf5_check import check_hdf5\n"
        "print('begun', flush=True)\ncheck_hdf5([pathlib.Path(sys.argv[1])])"
    )
    command = [sys.executable, "-c", script, str(looping_nion(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            running.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(2)
            running.send_signal(signal.SIGINT)
            assert b"KeyboardInterrupt" in running.communicate(timeout=10)[1]
        finally:
            running.kill()


@pytest.mark.parametrize(("byte", "bit"), [(2, 0), (1, 0), (0, 7)], ids=["64 KiB", "256", "-128"])
@pytest.mark.parametrize("kind", ["emd", "h5"])
def test_a_chunk_of_a_wrong_size_in_the_index_is_refused(tmp_path, kind, byte, bit):
    """HDF5 copies as many bytes as the index says, beyond the frame or too few."""
    frames, path = ramp_frames(5), tmp_path / f"a.{kind}"
    if kind == "emd":
        write_velox(path, {"HAADF": frames})
        last = (0, 0, 4)
    else:
        path.write_bytes(nion_bytes(tmp_path))
        last = (3, 0, 0)
    whole = path.read_bytes()
    turned(path, whole, whole.index(struct.pack("<2I4Q", 384, 0, *last, 0)) + byte, bit)
    with pytest.raises(InputFileError, match=r"has a chunk of \d+ bytes instead of 384"):
        open_series([path])


def test_a_series_that_broke_off_is_listed_and_refused_where_it_ends(tmp_path):
    path = write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(3)})
    with h5py.File(path, "a") as file:
        group = file[f"Data/Image/{0:032x}"]
        data = group["Data"][:]
        del group["Data"]
        made = group.create_dataset("Data", (12, 16, 5), "u2", chunks=(12, 16, 1))
        made[:, :, :3] = data
    (source,) = signals(path)
    np.testing.assert_array_equal(source.read(0, 3), ramp_frames(3))
    with pytest.raises(InputFileError, match="frames 2 to 4 of HAADF cannot be read"):
        source.read(2, 5)
