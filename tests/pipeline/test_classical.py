import importlib.util
import json

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import BLOCK, scene

import stemscale
from stemscale.errors import FilterError
from stemscale.pipeline import plan_process
from stemscale.store import AcquisitionStore, ledger_root

pytestmark = pytest.mark.cluster

needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None,
    reason="needs the package bm3d (pip install bm3d; non-commercial licence)",
)


@pytest.fixture
def without_slow(tmp_path):
    rapid, _ = scene(seed=3)
    write_stack(tmp_path / "a.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    stemscale.ingest(tmp_path / "a.zarr", tmp_path / "a.tif")
    return tmp_path / "a.zarr"


@pytest.mark.parametrize(
    "word", ["gaussian", "nlm", "lag", pytest.param("bm3d", marks=[needs_bm3d, pytest.mark.slow])]
)
def test_a_classical_filter_is_tuned_once_for_each_fov_and_says_how(calibrated, client, word):
    """Row F7."""
    fovs = ["fov01"] if word == "bm3d" else ["fov01", "fov02"]
    done = stemscale.process(calibrated, filter=word, fovs=fovs, client=client)
    assert (done.frames, done.state, done.failed) == (11 * len(fovs), "complete", {})
    for fov in fovs:
        with xr.open_zarr(calibrated, group=f"{fov}/filtered/{word}") as opened:
            parameters = opened.attrs["filter_parameters"]
            assert opened.attrs["filter"] == word
            assert np.isnan(opened["frames"].values[:, -1]).all()  # never seen
            assert float(opened["psnr"].mean()) > float(opened["psnr_rapid"].mean())
        assert parameters["tuned"] == "slow scan"
        kept = ledger_root(calibrated) / fov / "filtered" / word / "filter_parameters.json"
        assert json.loads(kept.read_text()) == parameters
    again = stemscale.process(calibrated, filter=word, fovs=fovs, client=client)
    assert (again.frames, again.frames_skipped) == (0, 11 * len(fovs))


def test_a_run_cut_short_goes_on_with_the_parameters_it_found(calibrated, client):
    stemscale.process(calibrated, filter="gaussian", client=client)
    ledger = AcquisitionStore(calibrated).ledger("fov01/filtered/gaussian")
    before = AcquisitionStore(calibrated).attrs("fov01/filtered/gaussian")["filter_parameters"]
    ledger.forget(0)
    again = stemscale.process(calibrated, filter="gaussian", client=client)
    assert again.frames == BLOCK
    assert (
        AcquisitionStore(calibrated).attrs("fov01/filtered/gaussian")["filter_parameters"] == before
    )


def test_without_a_slow_scan_lag_is_refused_and_gaussian_tuned_by_the_noise(without_slow, client):
    with pytest.raises(FilterError, match=r"a has no slow scan.*--slow"):
        plan_process(without_slow, filter="lag")
    assert AcquisitionStore(without_slow).filters("a") == []
    stemscale.process(without_slow, filter="gaussian", client=client)
    attrs = AcquisitionStore(without_slow).attrs("a/filtered/gaussian")
    assert attrs["filter_parameters"]["tuned"] == "noise"
