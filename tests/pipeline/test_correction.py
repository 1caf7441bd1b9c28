"""What is undone in rapid frames, wherever its map lies; and that all who ask find the same."""

import shutil

import numpy as np
import pytest
import xarray as xr
from builders import write_stack
from pipeline.builders import known_map, scene

import stemscale
from stemscale.corrections import (
    find_correction,
    fingerprint,
    load_calibration,
    map_of,
    save_calibration,
)
from stemscale.distortion import Warp
from stemscale.errors import CorrectionLostError, DamagedDataError
from stemscale.movies.panels import open_panels
from stemscale.reports.shots import read_shots
from stemscale.store import AcquisitionStore, ledger_root
from stemscale.viewer.library import Library
from stemscale.viewer.reading import NotShownError
from stemscale.views.store_view import read_store

GROUP = "insitu/filtered/gaussian"


@pytest.fixture
def carried(calibrated, client, tmp_path):
    """A series without a slow scan, filtered with the map of another store beside it."""
    rapid, _ = scene(seed=3)
    settings = {"dwell_time_ns": 100, "flyback_time_us": 25}
    write_stack(tmp_path / "in.tif", rapid, **settings)
    path = tmp_path / "insitu.zarr"
    stemscale.ingest(path, tmp_path / "in.tif", fov="insitu")
    stemscale.process(path, filter="gaussian", distortion=calibrated, client=client)
    return path


def recalibrate(path, fov):
    store = AcquisitionStore(path)
    other = known_map().shifted(0, 1)
    found = load_calibration(store, fov)
    about = {n: getattr(found, n) for n in ("rapid", "pixel_ratio", "method", "source")}
    calibration = type(found)(distortion=other, **about)
    save_calibration(store, fov, calibration, dcfi=None, shifts=None, attrs={})


def lose_nothing(path):
    pass


def lose_ledgers(path):
    shutil.rmtree(ledger_root(path))


def lose_neighbour(path):
    shutil.rmtree(path.parent / "s.zarr")


def lose_both(path):
    lose_ledgers(path)
    lose_neighbour(path)


def calibrate_neighbour_anew(path):
    lose_ledgers(path)
    recalibrate(path.parent / "s.zarr", "fov02")


def raw(path):
    return scene(seed=3)[0]


@pytest.mark.cluster
@pytest.mark.parametrize("lose", [lose_nothing, lose_ledgers, lose_neighbour])
def test_all_correct_by_a_map_that_is_still_to_be_found(carried, lose):
    lose(carried)
    store, frame = AcquisitionStore(carried), 4
    wanted = Warp(known_map())(raw(carried))

    shown = open_panels(store, "insitu", ["gaussian"], raw="corrected")[0][0]
    assert (shown.title, shown.same_place) == ("rapid, distortion corrected", True)
    np.testing.assert_array_equal(shown.convert(raw(carried), 0), wanted)

    opened = Library(carried).opened("insitu")
    assert opened.series.corrected_grid == wanted.shape[1:]
    seen = opened.reader.image(opened.series, "corrected", frame)
    np.testing.assert_array_equal(seen, wanted[frame])

    view = read_store(carried)
    shot = read_shots(view, view.fovs[0], frame=frame).shots[0]
    assert (shot.note, view.problems) == ("distortion corrected", [])
    np.testing.assert_array_equal(shot.image, wanted[frame])

    summary = stemscale.summarize(carried)
    assert summary.attrs["problems"] == []
    with xr.open_zarr(carried, group="summary/insitu/gaussian") as scores:
        assert np.isfinite(scores["upsnr"]).all()  # which is held against corrected frames


@pytest.mark.cluster
@pytest.mark.parametrize("lose", [lose_both, calibrate_neighbour_anew])
def test_all_say_what_to_do_where_the_map_is_lost(carried, lose):
    lose(carried)
    store = AcquisitionStore(carried)
    remedy = (
        f"the distortion of {GROUP} is that of s.zarr, which does not lie beside insitu.zarr as "
        f"it was then: put it there, or process with --overwrite"
    )
    with pytest.raises(CorrectionLostError) as lost:
        map_of(store, "insitu")
    assert str(lost.value) == remedy

    shown = open_panels(store, "insitu", ["gaussian"], raw="corrected")[0][0]
    assert (shown.title, shown.same_place) == ("rapid, as recorded", False)
    np.testing.assert_array_equal(shown.convert(raw(carried), 0), raw(carried))

    opened = Library(carried).opened("insitu")
    with pytest.raises(NotShownError) as not_shown:
        opened.reader.image(opened.series, "corrected", 4)
    assert str(not_shown.value) == remedy
    opened.reader.image(opened.series, "recorded", 4)

    view = read_store(carried)
    shot = read_shots(view, view.fovs[0], frame=4).shots[0]
    assert shot.note == "as recorded"
    assert view.problems == [f"insitu: {remedy}"]

    summary = stemscale.summarize(carried)
    assert summary.attrs["problems"] == [f"insitu: {remedy}"]


@pytest.mark.cluster
def test_a_run_whose_map_is_lost_hides_no_other(carried, calibrated, client, tmp_path):
    shutil.copytree(calibrated, tmp_path / "other.zarr")
    lose_both(carried)
    stemscale.process(
        carried,
        filter="gaussian",
        name="z-later",
        distortion=tmp_path / "other.zarr",
        client=client,
    )
    found = find_correction(AcquisitionStore(carried), "insitu")
    assert found.group == "insitu/filtered/z-later"
    assert map_of(AcquisitionStore(carried), "insitu") is not None


def test_a_run_of_a_fov_calibrated_anew_keeps_its_own_map(calibrated, client):
    stemscale.process(calibrated, filter="gaussian", fovs=["fov01"], client=client)
    recalibrate(calibrated, "fov01")
    store, group = AcquisitionStore(calibrated), "fov01/filtered/gaussian"
    of_run = find_correction(store, "fov01", group)
    assert fingerprint(of_run.read_map()) == fingerprint(known_map())
    own = find_correction(store, "fov01")
    assert own.group is None
    assert fingerprint(own.read_map()) == fingerprint(known_map().shifted(0, 1))
    lose_ledgers(calibrated)
    with pytest.raises(CorrectionLostError, match=r"fov01 was calibrated anew .*copy s\.zarr\."):
        of_run.read_map()


def test_what_is_undone_is_told_without_reading_a_map(calibrated):
    recalibrate(calibrated, "fov01")
    for array in (calibrated / "fov01/calibration").glob("source_?/c/*"):
        array.unlink()
    found = find_correction(AcquisitionStore(calibrated), "fov01")
    assert (found.words, found.shape, found.pixel_ratio) == ("distortion corrected", (24, 32), 1.0)


def test_without_calibration_and_runs_nothing_is_known(store):
    assert find_correction(AcquisitionStore(store), "fov01") is None


def test_a_calibration_without_a_map_is_damaged(calibrated):
    shutil.rmtree(calibrated / "fov01/calibration/source_x")
    with pytest.raises(DamagedDataError, match="calibrate"):
        map_of(AcquisitionStore(calibrated), "fov01")


@pytest.mark.cluster
@pytest.mark.parametrize(
    "transfer",
    [
        {"store": "../" * 3 + "etc", "fovs": ["fov01"], "fingerprint": "x"},
        {"store": "<script>" + "n" * 10_000, "fovs": ["fov01"], "fingerprint": "x"},
        {"store": "s.zarr", "fovs": "fov01", "fingerprint": 3},
        {"store": "s.zarr", "fovs": None, "fingerprint": ["x"]},
        {"store": "s.zarr\0", "fovs": [], "fingerprint": "x"},
    ],
    ids=["elsewhere", "long", "words", "nothing", "NUL"],
)
def test_a_store_that_says_nonsense_of_its_map_does_no_harm(carried, transfer):
    lose_ledgers(carried)
    store = AcquisitionStore(carried)
    store.set_attrs(GROUP, {"distortion_transfer": transfer, "run": {"distortion": "x"}})
    with pytest.raises(CorrectionLostError) as lost:
        map_of(store, "insitu")
    assert len(str(lost.value)) < 300
