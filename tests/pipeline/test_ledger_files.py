"""What workers need of a run is read back as it was kept, from beside the store."""

import numpy as np
import pytest

from stemscale.corrections import (
    keep_distortion,
    keep_drift,
    load_distortion,
    load_drift,
)
from stemscale.distortion import DistortionMap
from stemscale.pipeline.ledger_files import (
    filter_file,
    keep_filter,
    keep_parameters,
    load_parameters,
)
from stemscale.store import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "s.zarr", "fov01/filtered/x")


def test_a_filter_is_kept_once_under_its_hash(tmp_path):
    source = tmp_path / "filter.safetensors"
    for content in (b"first", b"other"):
        source.write_bytes(content)
        keep_filter(tmp_path / "s.zarr", source, "abc")
    kept = filter_file(tmp_path / "s.zarr", "abc")
    assert kept == tmp_path / "s.zarr.stemscale" / "filters" / "abc.safetensors"
    assert kept.read_bytes() == b"first"  # the same hash is the same filter
    keep_filter(tmp_path / "s.zarr", source, "def")
    assert filter_file(tmp_path / "s.zarr", "def").read_bytes() == b"other"


def test_a_distortion_map_is_kept_until_there_is_none(ledger):
    assert load_distortion(ledger) is None
    kept = DistortionMap(
        source_x=np.array([[0.5, 2.0, 2.5]]), source_y=np.array([[1.0], [3.0]]), rapid_shape=(4, 5)
    )
    for _ in range(2):
        keep_distortion(ledger, kept)
    found = load_distortion(ledger)
    np.testing.assert_array_equal(found.source_x, kept.source_x)
    np.testing.assert_array_equal(found.source_y, kept.source_y)
    assert found.rapid_shape == (4, 5)
    for _ in range(2):
        keep_distortion(ledger, None)
        assert load_distortion(ledger) is None


def test_drift_and_parameters_are_kept_until_there_are_none(ledger):
    ledger.start({})
    assert load_drift(ledger) is None
    assert load_parameters(ledger) is None
    keep_drift(ledger, np.array([[0.0, 0.0], [1.5, -2.0]]))
    keep_parameters(ledger, {"strength": 0.4})
    np.testing.assert_array_equal(load_drift(ledger), [[0, 0], [1.5, -2]])
    assert load_parameters(ledger) == {"strength": 0.4}
    for _ in range(2):
        keep_drift(ledger, None)
        keep_parameters(ledger, None)
        assert [f.name for f in ledger.folder.iterdir() if f.is_file()] == ["run.json"]
