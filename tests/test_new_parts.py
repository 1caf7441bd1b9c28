"""A new part is one module in one folder and one line in a table of that folder.

Each test copies the package, adds the two as `docs/architecture.md` says, and uses them by the
command line of the copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import median_filter

import stemscale
import stemscale_cli

MAIN = "from stemscale_cli.app import main; main()"

READER = '''
"""Frames as rows of numbers in a text file, after the line "frames N_Y N_X"."""

from pathlib import Path

import numpy as np

from stemscale.acquisition import ScanSettings
from stemscale.ingestion.source import Signals


class RowsSource:
    detector = ""
    per_frame = {}
    start_time = None
    original_metadata = {}
    dtype = np.dtype(np.uint16)

    def __init__(self, path: Path):
        self.name, self._path = path.name, path
        words = path.read_text().split()
        self._shape = (-1, int(words[1]), int(words[2]))
        self.settings = ScanSettings(n_y=self._shape[1], n_x=self._shape[2], dwell_time_ns=100.0)
        self.n_frames = len(self._frames())

    def _frames(self):
        return np.array(self._path.read_text().split()[3:], dtype=np.uint16).reshape(self._shape)

    def read(self, start, stop):
        return self._frames()[start:stop]


def signals(path):
    return Signals([RowsSource(path)], left_out={})
'''

FILTER = '''
"""A median of each pixel's surroundings."""

import numpy as np
from scipy.ndimage import median_filter


def tune(frames, reference):
    return {"size_px": 3}


def apply(frames, parameters):
    return np.stack([median_filter(f, parameters["size_px"]) for f in frames])
'''

PLACE = '''
"""One worker process, of the name that a file gives."""

from contextlib import contextmanager

import yaml
from distributed import Client, LocalCluster

from stemscale.clusters.worker import WorkerSetup, register


def read_name(file):
    return yaml.safe_load(file.read_text())["name"]


@contextmanager
def in_one_process(name):
    with (
        LocalCluster(n_workers=1, name=name, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        register(client, WorkerSetup(1, ("cpu",)))
        print("workers of", cluster.name)
        yield client
'''


class Copy:
    """A copy of the package, to be changed."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        ours = Path(stemscale.__file__).parent, Path(stemscale_cli.__file__).parent
        for package in ours:
            shutil.copytree(
                package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )

    def add(self, module: str, text: str) -> None:
        path = self._root / "stemscale" / module
        assert not path.exists()
        path.write_text(text)

    def add_line(self, module: str, before: str, line: str) -> None:
        """Put a line before the first that begins with `before`."""
        path = self._root / "stemscale" / module
        lines = path.read_text().splitlines(keepends=True)
        at = next(i for i, there in enumerate(lines) if there.startswith(before))
        path.write_text("".join([*lines[:at], line + "\n", *lines[at:]]))

    def run(self, *words: object) -> str:
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(self._root)},
            cwd=self._root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path / "source")


@pytest.fixture
def frames():
    return np.random.default_rng(7).integers(0, 500, (5, 16, 24), dtype=np.uint16)


@pytest.fixture
def store(tmp_path, frames):
    np.save(tmp_path / "series.npy", frames)
    made = tmp_path / "run.zarr"
    stemscale.ingest(made, tmp_path / "series.npy", rapid_settings={"dwell_time_ns": 100.0})
    return made


def test_a_reader(copy, tmp_path, frames):
    copy.add("ingestion/rows.py", READER)
    copy.add_line("ingestion/readers.py", '    _Reader("ser"', '    _Reader("rows", (".rows",)),')
    rows = "\n".join(" ".join(map(str, row)) for row in frames.reshape(-1, frames.shape[2]))
    (tmp_path / "series.rows").write_text(f"frames 16 24\n{rows}\n")
    said = copy.run("ingest", tmp_path / "run.zarr", tmp_path / "series.rows")
    assert "5 frames of 16 x 24 uint16" in said
    with xr.open_zarr(tmp_path / "run.zarr", group="series/rapid", mask_and_scale=False) as found:
        np.testing.assert_array_equal(found["frames"], frames)
        assert found.attrs["dwell_time_ns"] == 100.0


@pytest.mark.cluster
def test_a_classical_filter(copy, store, frames):
    copy.add("denoising/classical/median.py", FILTER)
    copy.add_line(
        "denoising/classical/by_name.py", '    "nlm"', '    "median": "median of 3 x 3 px",'
    )
    copy.run("process", store, "--filter", "median", "--workers", "1")
    with xr.open_zarr(store, group="series/filtered/median") as found:
        expected = np.stack([median_filter(f.astype(np.float32), 3) for f in frames])
        np.testing.assert_array_equal(found["frames"], expected)


@pytest.mark.cluster
def test_a_place_to_run(copy, store, tmp_path):
    copy.add("clusters/one_process.py", PLACE)
    copy.add_line(
        "clusters/place.py",
        '    "slurm": _',
        '    "one": _ByFile(read_name, in_one_process),',
    )
    copy.add_line(
        "clusters/place.py",
        "from stemscale.clusters.slurm",
        "from stemscale.clusters.one_process import in_one_process, read_name",
    )
    (tmp_path / "one.yaml").write_text("name: alone\n")
    place = ["--scheduler", "one", "--cluster", tmp_path / "one.yaml"]
    said = copy.run("process", store, "--filter", "gaussian", *place)
    assert "workers of alone" in said
    with xr.open_zarr(store, group="series/filtered/gaussian") as found:
        assert found["frames"].shape == (5, 16, 24)
        assert np.isfinite(found["frames"]).all()
