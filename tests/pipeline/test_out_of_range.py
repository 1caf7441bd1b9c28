"""Frames that a filter was not trained for are flagged one by one, stored and counted."""

import csv
import json

import numpy as np
import pytest
import xarray as xr
from builders import write_image, write_stack
from denoising.builders import grainy_frame, tiny_filter
from typer.testing import CliRunner

import stemscale
from stemscale.denoising import CharacterRanges, SeriesScale, save_filter
from stemscale.denoising.filter_file import Filter
from stemscale.pipeline.filtered import _RANGE_VARIABLES
from stemscale.reports import range_table
from stemscale.store import AcquisitionStore, finish_frames, flagged_frames, ledger_root
from stemscale_cli.app import app

pytestmark = pytest.mark.cluster

SIZE, N_FRAMES, BLOCK = 128, 10, 4
GROUP = "fov01/filtered/known"
DARK, NO_LAG = 3, 8  # frames


def usual(seed):
    return 1000 * grainy_frame(SIZE, scene=1, seed=seed)


def written(folder, name, **seen):
    made = tiny_filter()
    card = {**made.card, "seen": seen}
    save_filter(Filter(made.network, card), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture
def known(tmp_path):
    """A filter whose card knows frames like these, of many scenes."""
    ranges = CharacterRanges()
    for scene in range(1, 9):
        for i in range(4):
            frame = 1000 * grainy_frame(SIZE, scene=scene, seed=100 * scene + i)
            ranges.add(frame, SeriesScale(center=24000, spread=9600), series=scene)
    return written(tmp_path, "known", frames=ranges.to_card())


@pytest.fixture
def store(tmp_path):
    """Ten frames of 128 px in blocks of 4, of which two are unlike the others."""
    frames = np.stack([usual(seed) for seed in range(N_FRAMES)])
    frames[DARK] = 0.4 * frames[DARK]
    frames[NO_LAG] = 1000 * grainy_frame(SIZE, scene=1, seed=NO_LAG, tail_px=0)
    clean = np.mean([usual(seed) for seed in range(20, 28)], axis=0)
    for name, images, write in (("fov01", frames, write_stack), ("slow", clean, write_image)):
        write(tmp_path / f"{name}.tif", images.clip(1, 65535).astype("uint16"), dwell_time_ns=100)
    path = tmp_path / "s.zarr"
    stemscale.ingest(path, tmp_path / "fov01.tif", slow=tmp_path / "slow.tif", block=BLOCK)
    return path


def stored(store, group=GROUP):
    with xr.open_zarr(store, group=group) as opened:
        return opened.load()


def test_frames_outside_are_flagged_in_the_store_by_respect(store, known, client):
    done = stemscale.process(store, filter=known, client=client)
    frames = stored(store)
    score, flag = frames["out_of_range"], frames["out_of_range_flag"]
    assert (score.dtype, flag.dtype) == (np.float32, np.uint8)
    assert np.flatnonzero(flag).tolist() == [DARK, NO_LAG]
    assert ((score >= 1) == (flag > 0)).all()
    bits = dict(zip(flag.attrs["flag_meanings"].split(), flag.attrs["flag_masks"], strict=True))
    assert bits == {"intensity": 1, "noise": 2, "lag": 4, "spectrum": 8}
    assert flag.values[DARK] & bits["intensity"]
    assert flag.values[NO_LAG] & bits["lag"]
    assert (frames["frame_status"] == 1).all()
    assert done.state == "complete"
    assert done.out_of_range["fov01"].frames == [DARK, NO_LAG]
    assert done.out_of_range["fov01"].of == N_FRAMES


def test_a_resumed_run_and_a_copy_without_its_ledger_keep_the_flags(store, known, client):
    stemscale.process(store, filter=known, client=client)
    before = stored(store)
    AcquisitionStore(store).frames(GROUP).shard(2).unlink()  # frames 8 and 9
    done = stemscale.process(store, filter=known, client=client)
    assert (done.frames, done.out_of_range["fov01"].frames) == (2, [DARK, NO_LAG])
    xr.testing.assert_identical(stored(store)["out_of_range"], before["out_of_range"])
    ledger = ledger_root(store)
    ledger.rename(ledger.with_name("elsewhere"))
    AcquisitionStore(store).frames(GROUP).shard(0).unlink()  # frames 0 to 3
    stemscale.process(store, filter=known, client=client)
    for name in ("out_of_range", "out_of_range_flag"):
        xr.testing.assert_identical(stored(store)[name], before[name])


def test_a_frame_that_failed_has_no_score_and_no_flag(store, known, client):
    stemscale.process(store, filter=known, client=client)
    opened = AcquisitionStore(store)
    records = opened.ledger(GROUP).records()
    del records[0]  # frames 0 to 3
    finish_frames(opened, GROUP, records, variables=_RANGE_VARIABLES, failed_blocks=[0])
    frames = stored(store)
    assert np.isnan(frames["out_of_range"].values[:BLOCK]).all()
    assert np.flatnonzero(frames["out_of_range_flag"]).tolist() == [NO_LAG]
    found = flagged_frames(frames)
    assert (found.frames, found.of) == ([NO_LAG], N_FRAMES - BLOCK)


def test_only_a_filter_that_says_what_it_was_trained_on_judges_frames(
    store, known, tmp_path, client
):
    older = written(tmp_path, "older", noise=[0.2, 0.4])
    for chosen in (older, "none"):
        done = stemscale.process(store, filter=chosen, client=client)
        assert (done.judged, done.out_of_range) == (False, {})
    assert "out_of_range" not in stored(store, "fov01/filtered/older")
    assert "out_of_range" not in stored(store, "fov01/filtered/none")


def test_process_summarize_and_report_count_them_in_words(store, known, tmp_path):
    def run(*asked):
        found = CliRunner().invoke(app, [str(a) for a in asked])
        assert found.exit_code == 0, found.output
        return found

    asked = ("process", store, "--filter", known, "--workers", 1)
    said = run(*asked, "--quiet").stderr
    assert f"fov01: 2 of {N_FRAMES} frames lie outside what the filter was trained on" in said
    assert f": frames {DARK}, {NO_LAG}" in said
    assert "--filter dcfi" in said
    counted = json.loads(run(*asked, "--json").stdout)["out_of_range"]["fov01"]
    assert counted["frames"] == [DARK, NO_LAG]
    assert counted["by_respect"]["lag"] >= 1
    older = written(tmp_path, "older")
    assert "is not known" in run("process", store, "--filter", older, "--workers", 1).stderr

    table = run("summarize", store, "--csv", tmp_path / "s.csv", "--quiet").stdout
    (line,) = (row for row in table.splitlines() if "fov01/known" in row)
    assert line.split()[1:3] == [str(N_FRAMES), "2"]
    with (tmp_path / "s.csv").open(encoding="utf-8") as file:
        rows = {row["type"]: row for row in csv.DictReader(file)}
    assert rows["known"]["n_out_of_range"] == "2"
    assert rows["known"]["n_out_of_range_lag"] == str(counted["by_respect"]["lag"])
    assert rows["rapid"]["n_out_of_range"] == ""
    (row,) = json.loads(run("summarize", store, "--json").stdout)["out_of_range"]
    assert (row["fov"], row["filter"], row["n_out_of_range"]) == ("fov01", "known", 2)
    assert range_table(store)[0].words.endswith(f"frames {DARK}, {NO_LAG}")
    summary = stored(store, "summary")
    assert summary["n_out_of_range"].values.tolist() == [[-1, 2, -1]]  # rapid, known, older

    page = stemscale.report(store).read_text(encoding="utf-8")
    assert f"fov01/known: 2 of {N_FRAMES} frames lie outside" in page
    assert "2 out of range" in page
