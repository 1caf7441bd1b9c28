"""The raw frames beside the filtered ones: what is undone in them, and what is said of it."""

import importlib
import shutil

import numpy as np
import pytest
from movies.builders import add_filtered, new_series, panels_of, read_movie, scene

from stemscale.corrections import (
    Calibration,
    fingerprint,
    save_calibration,
    shift_variables,
)
from stemscale.distortion import DistortionMap, Warp
from stemscale.movies import movie
from stemscale.store import AcquisitionStore, ledger_root

SHAPE = (96, 128)
N = 6


def bent():
    """Column c shows 0.7 c + 20 of the rapid frame; rows lie 4 px lower."""
    return DistortionMap(
        source_x=(0.7 * np.arange(SHAPE[1]) + 20.0)[None],
        source_y=(np.arange(SHAPE[0]) + 4.0)[:, None],
        rapid_shape=SHAPE,
    )


def run_of(distortion, **more):
    return {"distortion": fingerprint(distortion), "interpolation": "linear", **more}


@pytest.fixture
def series(tmp_path):
    return new_series(tmp_path, scene(N, SHAPE), pixel_size_nm=2.0, frame_time_s=0.04)


def calibrate(path, *, pixel_ratio=1.0):
    store = AcquisitionStore(path)
    calibration = Calibration(
        distortion=bent(),
        rapid=store.settings("fov01/rapid"),
        pixel_ratio=pixel_ratio,
        method="by hand",
        source="fov01",
    )
    save_calibration(store, "fov01", calibration, dcfi=None, shifts=None, attrs={})


def raw_panels(path, tmp_path, *, panels=1, **asked):
    done = movie(path, tmp_path / "out.gif", overwrite=True, **asked)
    _, pictures = read_movie(done.path)
    return done, [panels_of(p, done, panels, SHAPE[1])[0] for p in pictures]


def shows(panels, expected):
    """Whether each panel shows its frame (y, x) and no other, above the scale bar."""
    found = [p[1 : 3 * 65 : 3, 1::3].astype(float) for p in panels]
    wanted = np.nan_to_num(np.asarray(expected, dtype=float)[:, :65], nan=0)
    seen = np.isfinite(np.asarray(expected, dtype=float)[:, :65])
    alike = [np.corrcoef(f[s], w[s])[0, 1] for f, w, s in zip(found, wanted, seen, strict=True)]
    return min(alike) > 0.99


def test_without_filters_the_calibration_of_the_fov_is_undone(series, tmp_path):
    calibrate(series)
    done, panels = raw_panels(series, tmp_path)
    assert done.panels == ("rapid, distortion corrected",)
    corrected = Warp(bent())(scene(N, SHAPE))
    assert shows(panels, corrected)
    assert not shows(panels, scene(N, SHAPE))


def test_beside_a_filter_what_its_run_undid_is_undone(series, tmp_path):
    """As after `process --distortion OTHER_STORE`: the store itself has no calibration."""
    corrected = Warp(bent())(scene(N, SHAPE)).round()
    filtered = np.nan_to_num(corrected).astype("uint16")
    add_filtered(series, filtered, run=run_of(bent()), distortion=bent())
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, distortion corrected"
    assert shows(panels, corrected)


def test_an_uncorrected_filter_has_uncorrected_frames_beside_it(series, tmp_path):
    calibrate(series)
    add_filtered(series, scene(N, SHAPE))
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, as recorded"
    assert shows(panels, scene(N, SHAPE))


def test_drift_is_undone_where_the_filter_undid_it(series, tmp_path):
    shifts = np.stack([np.zeros(N), 5.0 * np.arange(N)], axis=1)
    run = run_of(bent(), drift={"of": "frames"})
    add_filtered(series, scene(N, SHAPE), run=run, distortion=bent(), drift=shifts)
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, distortion and drift corrected"
    expected = [
        Warp(bent().shifted(*shift))(frame[None])[0]
        for shift, frame in zip(shifts, scene(N, SHAPE), strict=True)
    ]
    assert shows(panels, expected)


def test_a_copy_without_its_ledgers_takes_the_calibration_if_it_is_the_same(series, tmp_path):
    calibrate(series)
    corrected = Warp(bent())(scene(N, SHAPE)).round()
    filtered = np.nan_to_num(corrected).astype("uint16")
    add_filtered(series, filtered, run=run_of(bent()), distortion=bent())
    shutil.rmtree(ledger_root(series))
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, distortion corrected"
    assert shows(panels, corrected)


def test_a_copy_without_its_ledgers_takes_the_drift_from_the_store(series, tmp_path):
    calibrate(series)
    shifts = np.stack([np.zeros(N), 5.0 * np.arange(N)], axis=1)
    shifts[2] = np.nan  # a frame without contrast
    run = run_of(bent(), drift={"of": "frames"})
    add_filtered(series, scene(N, SHAPE), run=run, distortion=bent(), drift=shifts)
    AcquisitionStore(series).write_dataset("fov01/filtered/dlf", shift_variables(shifts))
    _, kept = raw_panels(series, tmp_path, panels=2)
    shutil.rmtree(ledger_root(series))
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, distortion and drift corrected"
    np.testing.assert_array_equal(panels, kept)


def test_without_filters_to_show_a_map_carried_over_is_undone(series, tmp_path):
    corrected = Warp(bent())(scene(N, SHAPE)).round()
    frames = np.nan_to_num(corrected).astype("uint16")
    about = {"filter": "none", "filter_card": None}
    add_filtered(series, frames, "plain", run=run_of(bent()), distortion=bent(), **about)
    done, panels = raw_panels(series, tmp_path)
    assert done.panels == ("rapid, distortion corrected",)
    assert shows(panels, corrected)


def test_what_is_not_known_is_not_undone_and_the_title_says_so(series, tmp_path):
    calibrate(series)
    other = bent().shifted(0, 3)
    add_filtered(series, scene(N, SHAPE), run=run_of(other), distortion=other)
    shutil.rmtree(ledger_root(series))
    done, panels = raw_panels(series, tmp_path, panels=2)
    assert done.panels[0] == "rapid, as recorded"
    assert shows(panels, scene(N, SHAPE))


def test_raw_frames_are_shown_as_recorded_if_asked(series, tmp_path):
    calibrate(series)
    done, panels = raw_panels(series, tmp_path, raw="recorded")
    assert done.panels == ("rapid, as recorded",)
    assert shows(panels, scene(N, SHAPE))


def test_frames_as_recorded_keep_their_contrast_beside_corrected_ones(series, tmp_path):
    """Fitted pixel by pixel to another place, they would be shown with far too much."""
    corrected = np.nan_to_num(Warp(bent())(scene(N, SHAPE)).round()).astype("uint16")
    add_filtered(series, corrected, run=run_of(bent()), distortion=bent())
    done = movie(series, tmp_path / "out.gif", raw="recorded")
    _, pictures = read_movie(done.path)
    slopes = []
    for panel, frames in enumerate((scene(N, SHAPE), corrected)):
        grey = panels_of(pictures[2], done, 2, SHAPE[1])[panel][1 : 3 * 65 : 3, 1::3]
        inside = (grey > 45) & (grey < 250) & (frames[2, :65] > 0)  # neither clipped nor hatched
        slopes.append(np.polyfit(frames[2, :65][inside], grey[inside].astype(float), 1)[0])
    assert slopes[0] == pytest.approx(slopes[1], rel=0.05)


def test_the_scale_bar_is_that_of_the_corrected_grid(series, tmp_path):
    def bar_px():
        movie(series, tmp_path / "out.gif", overwrite=True)
        _, pictures = read_movie(tmp_path / "out.gif")
        return int((pictures[0, 225:-25] > 240).sum(axis=1).max())

    plain = bar_px()  # 50 nm of 256 nm
    calibrate(series, pixel_ratio=0.8)  # 50 nm of 204.8 nm
    assert bar_px() == pytest.approx(plain / 0.8, abs=1)


def test_any_cutting_into_pieces_gives_the_same_movie(series, tmp_path, monkeypatch):
    add_filtered(series, scene(N, SHAPE), block=2)
    told = []
    movie(series, tmp_path / "a.gif", listener=told.append)
    assert [t.frames for t in told] == [4, 2]
    module = importlib.import_module("stemscale.movies.movie")
    monkeypatch.setattr(module, "_PIECE_BYTES", 4 * SHAPE[0] * SHAPE[1])  # one frame
    told.clear()
    movie(series, tmp_path / "b.gif", listener=told.append)
    assert [t.frames for t in told] == [1] * N
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
