"""A page about real series: which files are taken, what is done with them, and what is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from builders import DATA, ramp_frames
from PIL import Image
from reports.builders import new_store, put

from stemscale.acquisition import ScanSettings
from stemscale.errors import InputFileError, SettingsError, StoreConflictError
from stemscale.ingestion.readers import open_one
from stemscale.workflows import reproduce_series
from stemscale.workflows.real.plan import RealStudy
from stemscale.workflows.real.scores import SeriesScores
from stemscale.workflows.real.survey import RealSeries, microscope_files, survey
from stemscale.workflows.real.words import about_filter, about_series


def series(fov="fov01", *, moved_px=0.1, levels=None, pixel_size_nm=2.0, detector=None):
    return RealSeries(
        fov=fov,
        file=Path(f"{fov}.tif"),
        detector=detector,
        n_frames=10,
        settings=ScanSettings(n_x=64, n_y=64, pixel_size_nm=pixel_size_nm),
        moved_px=moved_px,
        repeats=0,
        levels=levels,
    )


@pytest.fixture
def files(tmp_path):
    """A preview of gold, some frames of one that moves, and three that are no series."""
    folder = tmp_path / "files"
    (folder / "below").mkdir(parents=True)
    for name in ("03_Scanning Preview.emi", "03_Scanning Preview_1.ser", "JEOL HAADF Image.dm4"):
        shutil.copy(DATA / name, folder)
    moving = tifffile.imread(DATA / "Ti_dislocation_line_17f_crop.tif")[::3, 64:192, 64:192]
    tifffile.imwrite(folder / "below" / "line.tif", moving)
    np.save(folder / "small.npy", ramp_frames(5, 8, 16))
    (folder / "broken.dm4").write_bytes(b"no micrograph")
    (folder / "notes.txt").write_text("a file without a reader")
    return folder


def test_files_below_are_found_and_those_that_others_list_are_not(files):
    names = [f.name for f in microscope_files(files)]
    assert sorted(names) == [
        "03_Scanning Preview.emi",
        "JEOL HAADF Image.dm4",
        "broken.dm4",
        "line.tif",
        "small.npy",
    ]


def test_each_file_is_a_series_or_left_out_with_a_reason(files):
    found = survey(files)
    taken = {one.fov: one for one in found.series}
    assert set(taken) == {"03_Scanning_Preview", "line"}
    assert taken["03_Scanning_Preview"].settings.dwell_time_ns == 12000
    assert not taken["03_Scanning_Preview"].drifts
    assert taken["line"].drifts
    why = {one.file.name: one.why for one in found.left_out}
    assert why["JEOL HAADF Image.dm4"] == "a single image of 112 × 112 px"
    assert why["small.npy"] == "5 frames of 8 × 16 px: smaller than 16 px"
    assert "broken.dm4" in why["broken.dm4"]
    assert len(why) == 3


def test_a_file_with_several_signals_gives_a_series_of_each(tmp_path):
    for name in ("16x16x5_STEM_BF_DF_preview.emi", "velox_v11_si_images.emd"):
        shutil.copy(DATA / name, tmp_path)
    for ser in DATA.glob("16x16x5*.ser"):
        shutil.copy(ser, tmp_path)
    found = survey(tmp_path)
    assert [(one.fov[-6:], one.detector) for one in found.series] == [
        ("iew_BF", "BF"),
        ("ew_DF4", "DF4"),
        ("_HAADF", "HAADF"),
    ]
    assert {one.signal for one in found.left_out} == {"C", "O", "Ca", "Cu"}


def test_frames_that_repeat_the_one_before_are_counted(tmp_path):
    frames = np.random.default_rng(0).normal(1000, 50, (4, 32, 32)).astype(np.float32)
    np.save(tmp_path / "video.npy", frames[[0, 0, 1, 2, 2, 2]])
    (one,) = survey(tmp_path).series
    assert one.repeats == 3
    assert "3 of its 6 frames are the frame before once more" in " ".join(about_series(one))


def test_few_whole_counts_are_told(tmp_path):
    np.save(tmp_path / "few.npy", np.arange(3 * 32 * 32).reshape(3, 32, 32).astype("uint16") % 9)
    (one,) = survey(tmp_path).series
    assert one.levels == 8
    assert "with 8 between the darkest and the brightest" in " ".join(about_series(one))
    assert about_series(series(levels=4000)) == []


def test_what_was_done_about_drift_is_told():
    (said,) = about_series(series(moved_px=40.0))
    assert said.startswith("The scene moves by 40 px: all frames were brought onto one grid")
    (said,) = about_series(series(moved_px=None))
    assert "whether the scene moves" in said


def test_series_with_pixels_that_are_no_numbers_are_left_out(tmp_path):
    frames = np.ones((3, 32, 32), dtype=np.float32)
    frames[1, 4, 5] = np.nan
    np.save(tmp_path / "gap.npy", frames)
    found = survey(tmp_path)
    assert found.series == ()
    assert "frame 1 has 1 pixels that are NaN" in found.left_out[0].why


def test_every_step_comes_after_those_it_needs_and_only_what_moves_is_moved_back(tmp_path):
    study = RealStudy(tmp_path, [series("a"), series("b", moved_px=40.0, detector="BF")])
    commands, before = {}, set()
    for step in study.steps():
        assert set(step.needs) <= before, step.name
        assert step.name not in before
        before.add(step.name)
        commands[step.name] = " ".join(step.command[2:])
    assert commands["ingest-b"].endswith("b.tif --fov b --detector BF")
    assert commands["process-live"].endswith("--filter live --distortion none --fov a")
    assert commands["process-live-drift"].endswith(
        "--filter live --distortion none --drift --fov b"
    )
    assert commands["process-none-drift"].endswith("--drift --fov b")
    assert commands["process-dcfi"].endswith("--filter dcfi --distortion none --fov a --fov b")
    assert "process-none" not in commands


def summarized(tmp_path, units="1/um", *, made=1.0, **scores):
    """Scores of one series, (rapid, live) for each name, as the store and the command have them."""
    labels = {"fov_names": ["fov01"], "filter_names": ["rapid", "live"]}
    store = new_store(tmp_path / "s.zarr")
    variables = {
        f"{name}_mean": (
            ("fov", "filter"),
            np.array([values]),
            {"units": units if "cutoff" in name else "1"},
        )
        for name, values in scores.items()
    }
    put(store, "summary", variables, attrs=labels)
    frames = np.arange(40.0).reshape(2, 4, 5)
    for group, values in (("rapid", frames), ("filtered/live", made * frames)):
        put(store, f"fov01/{group}", {"frames": (("frame", "y", "x"), values, {})})
    words = "4 of 10 frames lie outside what the filter was trained on (lag 4): frames 0-3"
    printed = {"out_of_range": [{"fov": "fov01", "filter": "live", "words": words}]}
    (tmp_path / "scores.json").write_text(json.dumps(printed))
    return SeriesScores(store, tmp_path / "scores.json", sizes_nm={"fov01": 2.0})


def test_sentences_follow_from_the_numbers(tmp_path):
    scores = summarized(
        tmp_path,
        noise_left=[np.nan, 0.25],
        residual_lost=[np.nan, 0.08],
        residual_clear=[np.nan, 0.02],
        frc_cutoff=[100.0, 250.0],
        frc_rapid_cutoff=[np.nan, 125.0],
    )
    assert about_filter(series(), "live", scores) == [
        "25 % of the noise is left.",
        "What it took away holds structure: 8 % of the contrast of the scene was lost or "
        "invented, clearly so at 2 % of the pixels.",
        "Other rapid frames confirm its detail to 0.25 /px (period 4 px, 8 nm); rapid frames "
        "confirm each other to 0.20.",
        "4 of 10 frames lie outside what the filter was trained on (lag 4): frames 0-3.",
    ]


def test_a_filter_that_lost_detail_is_told_so_and_one_that_took_only_noise_as_well(tmp_path):
    scores = summarized(
        tmp_path,
        units="1/px",
        residual_lost=[np.nan, 0.01],
        residual_clear=[np.nan, 0.0001],
        frc_cutoff=[0.4, 0.5],
        frc_rapid_cutoff=[np.nan, 0.2],
    )
    residual, detail, _ = about_filter(series(pixel_size_nm=None), "live", scores)
    assert (
        residual == "What it took away shows no clear structure (1 % of the contrast of the scene)."
    )
    assert detail.startswith("Other rapid frames confirm its detail to 0.20 /px (period 5 px)")
    assert detail.endswith("so it lost detail, or a pattern that all frames have.")


def test_a_filter_whose_frames_are_empty_is_said_to_have_failed(tmp_path):
    scores = summarized(tmp_path, made=0.0)
    assert about_filter(series(), "live", scores)[0] == "It failed: its frames are empty."


@pytest.mark.cluster
@pytest.mark.slow
def test_real_files_become_a_page_that_is_not_made_twice(files, tmp_path):
    (files / "below" / "line.tif").unlink()
    pair = open_one(DATA / "rapid_scan_pair_512.mrc").read(0, 2)
    tifffile.imwrite(files / "below" / "pair.tif", pair[:, 192:320, 192:320])
    said = []
    page = reproduce_series(tmp_path / "out", files, say=said.append)
    text = (tmp_path / "out" / "results" / "index.md").read_text(encoding="utf-8")
    assert text.startswith("# Real series, measured without truth")
    for fov in ("03_Scanning_Preview", "pair"):
        assert text.count(f"| {fov} | rapid |") == 1
        for name in ("standard", "live"):
            row = next(r for r in text.splitlines() if r.startswith(f"| {fov} | {name} |"))
            assert 0 < float(row.split("|")[3]) < 0.6  # of the noise
        with Image.open(tmp_path / "out" / "results" / f"{fov}.jpg") as picture:
            assert picture.size[0] <= 1200
    before, after = text.split("## pair")
    assert "Of 2 frames, each half has but 1." in after
    assert "each half" not in before
    assert "| JEOL HAADF Image.dm4 |  | a single image of 112 × 112 px |" in text
    assert "% of the noise is left" in text
    assert page.read_text(encoding="utf-8").count("data:image/jpeg;base64,") == 2
    assert str(files) not in text.split("## Commands")[0]

    said.clear()
    reproduce_series(tmp_path / "out", files, say=said.append)
    assert not [line for line in said if line.startswith("\n$")]
    assert len([line for line in said if line.startswith("# done")]) == 8

    (files / "small.npy").unlink()
    with pytest.raises(StoreConflictError, match="have changed since"):
        reproduce_series(tmp_path / "out", files)


def test_a_folder_without_a_series_is_refused_and_so_is_one_that_holds_the_results(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    shutil.copy(DATA / "JEOL HAADF Image.dm4", files)
    with pytest.raises(InputFileError, match="holds no series"):
        reproduce_series(tmp_path / "out", files, say=lambda _: None)
    with pytest.raises(SettingsError, match="lies in"):
        reproduce_series(files / "out", files)
    with pytest.raises(SettingsError, match="is no folder"):
        reproduce_series(tmp_path / "out", files / "JEOL HAADF Image.dm4")
