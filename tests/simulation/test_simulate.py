"""The files, as a microscope leaves them (rows D1, D2, D4, D6)."""

import csv
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr
from rsciio.tiff import file_reader

from stemscale.errors import SettingsError, StoreConflictError
from stemscale.simulation import (
    FieldOfView,
    FrameSimulated,
    HeatingSettings,
    SimulationSettings,
    simulate,
)

HOT = SimulationSettings(
    heating=HeatingSettings(ramp_degc_per_s=1000.0, motion_s=(0.002, 0.02), glide_nm=(20.0, 60.0))
)


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("at_rest"), fovs=4, frames=3, size=64)


@pytest.fixture(scope="module")
def heated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heated")
    return simulate(folder, frames=12, size=128, in_situ=True, settings=HOT)


def test_manifest_lists_every_fov_and_holds_the_last_quarter_out(at_rest):
    found = rows(at_rest)
    assert at_rest.name == "fovs.csv"
    assert [r["fov"] for r in found] == ["fov01", "fov02", "fov03", "fov04"]
    assert [r["use"] for r in found] == ["train", "train", "train", "test"]
    assert {r["slow_is"] for r in found} == {"same"}
    assert {r["frame_metadata"] for r in found} == {""}
    for r in found:
        assert (at_rest.parent / r["rapid"]).is_file()
        assert (at_rest.parent / r["slow"]).is_file()


@pytest.mark.parametrize(
    ("fovs", "held_out", "tests"), [(1, 0.25, 0), (2, 0.25, 1), (8, 0.25, 2), (3, 0.0, 0)]
)
def test_share_of_held_out_fovs(tmp_path, fovs, held_out, tests):
    manifest = simulate(tmp_path, fovs=fovs, frames=1, size=32, held_out=held_out)
    assert [r["use"] for r in rows(manifest)].count("test") == tests


@pytest.mark.parametrize(("name", "shape"), [("rapid", (3, 64, 64)), ("slow", (64, 64))])
def test_tiffs_are_sixteen_bit_pages_with_pixel_size_and_times(at_rest, name, shape):
    path = at_rest.parent / f"fov01_{name}.tif"
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej
        assert len(tif.pages) == (3 if name == "rapid" else 1)
        assert tif.series[0].shape == shape
        assert tif.series[0].dtype == np.uint16
        info = tif.imagej_metadata
        top, bottom = tif.pages[0].tags["XResolution"].value
        assert bottom / top == pytest.approx(2.1, abs=1e-6)
    dwell_ns = 100 if name == "rapid" else 5000
    assert info["unit"] == "nm"
    assert f"dwell_time_ns={dwell_ns}" in info["Info"].splitlines()
    assert {"flyback_time_us=25", "detector=BF"} <= set(info["Info"].splitlines())
    # 64 lines of 64 pixels and 25 µs flyback
    assert info["finterval"] == pytest.approx(64 * (64 * dwell_ns * 1e-9 + 25e-6))


@pytest.mark.parametrize("name", ["rapid", "slow"])
def test_rosettasciio_reads_pixels_of_2_1_nm(at_rest, name):
    path = at_rest.parent / f"fov01_{name}.tif"
    (signal,) = file_reader(str(path))
    np.testing.assert_array_equal(signal["data"], tifffile.imread(path))
    for axis in signal["axes"][-2:]:
        assert axis["scale"] == pytest.approx(2.1)
        assert axis["units"] == "nm"


def test_truth_opens_in_plain_xarray(at_rest):
    with xr.open_datatree(at_rest.parent / "truth.zarr", engine="zarr") as tree:
        assert list(tree) == ["fov01", "fov02", "fov03", "fov04"]
        assert tree.attrs["seed"] == 0
        assert tree.attrs["scan_seed"] == 0
        assert tree.attrs["settings"]["dose_electrons"] == 24
        fov = tree["fov01"].to_dataset()
        assert dict(fov.sizes) == {"y": 64, "x": 64, "frame": 3}
        assert {"image", "source_x", "source_y", "shift_x", "shift_y"} == set(fov.data_vars)
        assert "frames" not in fov
        for variable in fov.variables.values():
            assert {"units", "long_name"} <= set(variable.attrs)
        assert fov.x.values[1] == pytest.approx(2.1)
        truth = fov.image.values
    slow = tifffile.imread(at_rest.parent / "fov01_slow.tif")
    assert np.corrcoef(truth.ravel(), slow.ravel())[0, 1] > 0.9


def test_truth_tells_map_and_shifts_of_the_fov_it_names(at_rest):
    fov = FieldOfView(2, size=64, n_frames=3, settings=SimulationSettings())
    with xr.open_zarr(at_rest.parent / "truth.zarr", group="fov02") as truth:
        np.testing.assert_array_equal(truth.source_x, fov.scan.source_x)
        np.testing.assert_array_equal(truth.source_y, fov.scan.source_y(64))
        shifts = np.stack([truth.shift_y, truth.shift_x], axis=1)
    np.testing.assert_array_equal(shifts, [fov.frame(i).shift_px for i in range(3)])


def test_the_same_seeds_give_the_same_files(at_rest, tmp_path):
    again = simulate(tmp_path, fovs=2, frames=5, size=64)
    for name in ("fov01", "fov02"):
        ours, theirs = (tifffile.imread(m.parent / f"{name}_rapid.tif") for m in (again, at_rest))
        np.testing.assert_array_equal(ours[:3], theirs)


def test_in_situ_frames_have_times_and_temperatures(heated):
    """Row D6: every frame has a time and a temperature; one slow scan after the series."""
    (row,) = rows(heated)
    assert (row["slow_is"], row["use"]) == ("after", "test")
    table = rows(heated.parent / row["frame_metadata"])
    assert list(table[0]) == ["frame", "time_s", "temperature_C"]
    assert [int(r["frame"]) for r in table] == list(range(12))
    frame_s = 128 * (128 * 100e-9 + 25e-6)
    times = [float(r["time_s"]) for r in table]
    np.testing.assert_allclose(times, np.arange(12) * frame_s, atol=1e-6)
    temperatures = [float(r["temperature_C"]) for r in table]
    np.testing.assert_allclose(
        temperatures, np.minimum(90 + 1000 * np.array(times), 150), atol=2e-3
    )


def test_in_situ_scene_moves_towards_the_slow_scan(heated):
    with xr.open_zarr(heated.parent / "truth.zarr", group="fov01") as truth:
        assert truth.frames.dtype == np.uint16
        assert truth.frames.encoding["chunks"] == (1, 128, 128)
        frames, end = truth.frames.values.astype(float), truth.image.values
        shift = truth.shift_x.values
    distance = np.abs(frames - end).mean(axis=(1, 2)) / np.ptp(end)
    assert distance[0] > 3 * distance[-1]
    assert distance[0] > 0.003
    assert abs(shift[-1]) < abs(shift[0]) + 0.2
    moved = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2)) / np.ptp(end)
    assert np.all(moved[:4] > 0.02)


def test_listeners_hear_of_every_frame(tmp_path):
    heard: list[FrameSimulated] = []
    simulate(tmp_path, fovs=2, frames=3, size=32, listeners=[heard.append])
    assert [(e.fov, e.frame) for e in heard] == [
        (fov, i) for fov in ("fov01", "fov02") for i in range(3)
    ]
    assert [e.done for e in heard] == [1, 2, 3, 4, 5, 6]
    assert {e.total for e in heard} == {6}


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    def peak(n_frames: int) -> int:
        tracemalloc.start()
        simulate(tmp_path / str(n_frames), fovs=1, frames=n_frames, size=128)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is loaded once
    # 60 frames of 128² are 2 MB
    assert peak(64) - peak(4) < 500_000


def test_a_folder_in_use_is_refused_and_overwriting_spares_strangers(tmp_path):
    simulate(tmp_path, fovs=3, frames=1, size=32)
    with pytest.raises(StoreConflictError, match="is not empty"):
        simulate(tmp_path, fovs=1, frames=1, size=32)
    assert len(rows(tmp_path / "fovs.csv")) == 3
    (tmp_path / "notes.txt").write_text("mine")
    simulate(tmp_path, fovs=1, frames=1, size=32, overwrite=True)
    assert not (tmp_path / "fov02_rapid.tif").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreConflictError, match=r"notes.txt is a file"):
        simulate(tmp_path / "notes.txt", overwrite=True)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"fovs": 0}, "fovs is 0"),
        ({"frames": -3}, "frames is -3"),
        ({"size": 8}, "size is 8"),
        ({"seed": -1}, "seed is -1"),
        ({"held_out": 2.0}, "held_out is 2"),
        ({"preset": "titan"}, "preset 'titan'"),
    ],
)
def test_bad_numbers_are_refused_before_anything_is_written(tmp_path, bad, said):
    with pytest.raises(SettingsError, match=said):
        simulate(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()


def test_another_pixel_size_is_written_as_given(tmp_path):
    odd = replace(SimulationSettings(), pixel_size_nm=1.7)
    manifest = simulate(tmp_path, fovs=1, frames=1, size=32, settings=odd)
    (signal,) = file_reader(str(manifest.parent / "fov01_rapid.tif"))
    assert signal["axes"][-1]["scale"] == pytest.approx(1.7)
