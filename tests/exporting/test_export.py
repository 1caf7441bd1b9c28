import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
from builders import ramp_frames, write_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from velox_files import write_velox

import stemscale
from stemscale.errors import DamagedDataError, SettingsError, StoreConflictError, StoreError
from stemscale.ingestion.readers import open_series
from stemscale.store import AcquisitionStore

KINDS = ["hspy", "zspy", "tif"]


@pytest.fixture
def store(tmp_path):
    frames = ramp_frames(7)
    rapid = write_velox(tmp_path / "a.emd", {"HAADF": frames})
    slow = write_image(tmp_path / "slow.tif", frames[0], pixel_size_nm=2.1)
    stemscale.ingest(tmp_path / "s.zarr", rapid, slow=slow, block=2)
    return tmp_path / "s.zarr"


def by_rosetta(path):
    from rsciio.hspy import file_reader as read_hspy
    from rsciio.zspy import file_reader as read_zspy

    reader = read_hspy if path.suffix == ".hspy" else read_zspy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = reader(str(path))
    return found


@pytest.mark.parametrize("kind", ["hspy", "zspy"])
def test_hyperspy_finds_pixels_axes_units_and_metadata(store, tmp_path, kind):
    told = []
    done = stemscale.export(store, tmp_path / f"out.{kind}", listener=told.append)
    assert sum(t.frames for t in told) == done.n_frames == 7
    found = by_rosetta(tmp_path / f"out.{kind}")
    np.testing.assert_array_equal(np.asarray(found["data"]), ramp_frames(7))
    axes = [(a["name"], a["scale"], a["units"], a["navigate"]) for a in found["axes"]]
    assert axes == [
        ("frame", pytest.approx(0.040001), "s", True),
        ("y", pytest.approx(2.1), "nm", False),
        ("x", pytest.approx(2.1), "nm", False),
    ]
    tem = found["metadata"]["Acquisition_instrument"]["TEM"]
    assert (tem["beam_energy"], tem["magnification"]) == (300, 80_000)
    assert tem["Detector"]["dwell_time"] == pytest.approx(1e-7)
    ours = found["original_metadata"]["stemscale"]
    np.testing.assert_allclose(ours["per_frame"]["stage_x"], 1000 + np.arange(7))
    assert "2019-12-05T10:03:46.238991" in str(ours["per_frame"]["timestamp"])
    assert "ingest a from a.emd" in ours["history"]
    assert found["original_metadata"]["microscope"]["Stage"]["BetaTilt"] == "0.1"


def test_imagej_finds_scale_and_interval_and_stemscale_the_scan_settings(store, tmp_path):
    done = stemscale.export(store, tmp_path / "out.tif")
    assert done.dialect == "ImageJ"
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(file.asarray(), ramp_frames(7))
        about = file.imagej_metadata
        assert about["unit"] == "nm"
        assert about["finterval"] == pytest.approx(0.040001)
        assert about["images"] == about["frames"] == 7
        numerator, denominator = file.pages.first.tags["XResolution"].value
        assert denominator / numerator == pytest.approx(2.1, rel=1e-6)
    (again,) = open_series([tmp_path / "out.tif"])
    before = AcquisitionStore(store).settings("a/rapid")
    assert again.settings.dwell_time_ns == before.dwell_time_ns
    assert again.settings.detector == before.detector
    assert again.settings.pixel_size_nm == pytest.approx(2.1, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32"]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
            elements=st.integers(0, 100) if dtype != "float32" else st.floats(-9, 9, width=32),
        )
    )
)
def test_any_shape_and_dtype_comes_back_from_the_file(tmp_path_factory, kind, frames):
    folder = tmp_path_factory.mktemp("any")
    np.save(folder / "a.npy", frames)
    stemscale.ingest(folder / "s.zarr", folder / "a.npy")
    stemscale.export(folder / "s.zarr", folder / f"out.{kind}")
    if kind == "tif":
        found = tifffile.imread(folder / "out.tif").reshape(frames.shape)
    else:
        found = np.asarray(by_rosetta(folder / f"out.{kind}")["data"])
    assert found.dtype == frames.dtype
    np.testing.assert_array_equal(found, frames)


def test_pixels_that_imagej_does_not_have_go_into_an_ome_tiff_unchanged(tmp_path):
    frames = ramp_frames(4, dtype="int32") * -70_000
    np.save(tmp_path / "a.npy", frames)
    stemscale.ingest(tmp_path / "s.zarr", tmp_path / "a.npy", rapid_settings={"pixel_size_nm": 2.0})
    assert stemscale.export(tmp_path / "s.zarr", tmp_path / "out.tif").dialect == "OME"
    (again,) = open_series([tmp_path / "out.tif"])
    np.testing.assert_array_equal(again.read(0, 4), frames)
    assert again.settings.pixel_size_nm == 2.0


def test_the_slow_scan_and_filtered_frames_go_out_too(store, tmp_path):
    stemscale.export(store, tmp_path / "slow.hspy", slow=True)
    np.testing.assert_array_equal(by_rosetta(tmp_path / "slow.hspy")["data"], ramp_frames(7)[0])
    with pytest.raises(StoreError, match=r"a was not filtered as mine: it has none"):
        stemscale.export(store, tmp_path / "out.tif", filtered="mine")


@pytest.mark.cluster
def test_filtered_frames_are_those_of_the_store(store, tmp_path):
    stemscale.process(store, filter="none")
    stemscale.export(store, tmp_path / "out.tif", filtered="none")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), ramp_frames(7))


def test_what_cannot_be_meant_is_refused(store, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in one of \.hspy \.zspy \.tif"):
        stemscale.export(store, tmp_path / "out.mp4")
    (tmp_path / "out.tif").write_text("mine")
    with pytest.raises(StoreConflictError, match=r"out\.tif exists.*--overwrite"):
        stemscale.export(store, tmp_path / "out.tif")
    stemscale.export(store, tmp_path / "out.tif", overwrite=True)
    assert tifffile.imread(tmp_path / "out.tif").shape == (7, 12, 16)
    stemscale.ingest(store, tmp_path / "out.tif", fov="b")
    with pytest.raises(SettingsError, match="several FOVs: choose with --fov a, b"):
        stemscale.export(store, tmp_path / "two.tif")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_block_leaves_no_file_behind(store, tmp_path, kind):
    shard = AcquisitionStore(store).frames("a/rapid").shard(2)
    content = bytearray(shard.read_bytes())
    content[40] ^= 4
    shard.write_bytes(content)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(DamagedDataError, match="frames 4 to 5"):
        stemscale.export(store, tmp_path / f"out.{kind}")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


DIES = """
import os, signal, sys
from stemscale.exporting import export
export(sys.argv[1], sys.argv[2], listener=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_export_left_goes_with_the_next(store, tmp_path, kind):
    target = tmp_path / f"out.{kind}"
    before = sorted(tmp_path.iterdir())
    assert subprocess.run([sys.executable, "-c", DIES, str(store), str(target)]).returncode == -9
    [left] = set(tmp_path.iterdir()) - set(before)
    assert left.name.startswith(".out")
    stemscale.export(store, target)
    assert sorted(tmp_path.iterdir()) == sorted([*before, target])


PEAK = """
import sys
import stemscale
from stemscale.exporting import export
export(sys.argv[1], sys.argv[2])
# getrusage would count what the test's own process held when it started this one
status = open("/proc/self/status").read()
print(float(status.split("VmHWM:")[1].split()[0]) / 1e3)
"""


def peak_mb(store, to):
    command = [sys.executable, "-c", PEAK, str(store), str(to)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_series_takes_no_more_memory(tmp_path, kind):
    """21 MB against 210 MB of frames."""
    peaks = []
    for n in (40, 400):
        np.save(tmp_path / f"{n}.npy", np.zeros((n, 512, 512), dtype=np.uint16))
        stemscale.ingest(tmp_path / f"{n}.zarr", tmp_path / f"{n}.npy")
        peaks.append(peak_mb(tmp_path / f"{n}.zarr", tmp_path / f"{n}.{kind}"))
    assert peaks[1] - peaks[0] < 100
