"""Whether an HDF5 file is closed: by its lock, its flags and its length."""

import h5py
import numpy as np
import pytest

from stemscale.ingestion.hdf5_closed import hdf5_is_closed


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("userblock", [0, 512])
def test_a_closed_file_is_told_from_an_open_a_copied_and_a_cut_one(tmp_path, libver, userblock):
    path, copy = tmp_path / "a.h5", tmp_path / "copy.h5"
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file["data"] = np.arange(10_000)
        file.flush()
        assert not hdf5_is_closed(path)
        file["more"] = np.arange(10_000)
        copy.write_bytes(path.read_bytes())  # nobody has a lock on it
        assert not hdf5_is_closed(copy)
    assert hdf5_is_closed(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not hdf5_is_closed(path)


def test_what_is_no_hdf5_is_not_closed(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\0" * 5000)
    assert not hdf5_is_closed(tmp_path / "a.h5")
