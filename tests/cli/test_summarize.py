"""``stemscale summarize`` as its user calls it."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from builders import write_image, write_stack
from pipeline.builders import scene

import stemscale
from stemscale.store import AcquisitionStore

pytestmark = pytest.mark.cluster


def summarize(*words, columns=100):
    return subprocess.run(
        [sys.executable, "-m", "stemscale_cli.app", "summarize", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": str(columns)},
        timeout=120,
    )


@pytest.fixture(scope="module")
def heated(tmp_path_factory):
    """Twelve frames of a heating series, its slow scan after it, and a Gaussian of them."""
    folder = tmp_path_factory.mktemp("heated")
    rapid, slow = scene(seed=1, n=12)
    stack = write_stack(folder / "a.tif", rapid, dwell_time_ns=100, flyback_time_us=25)
    slow_file = write_image(folder / "slow.tif", slow, dwell_time_ns=5000)
    table = folder / "frames.csv"
    rows = [f"{i},{0.5 * i},{90 + 2 * i}" for i in range(12)]
    table.write_text("\n".join(["frame,time_s,temperature_degC", *rows]))
    store = folder / "s.zarr"
    stemscale.ingest(store, stack, slow=slow_file, slow_is="after", frame_metadata=table, block=4)
    stemscale.process(store, filter="gaussian", workers=1)
    return store


def test_tables_have_units_and_fit_a_terminal_of_80_columns(heated):
    said = summarize(heated, columns=80)
    assert said.returncode == 0, said.stderr
    assert max(map(len, said.stdout.splitlines())) <= 80
    for words in ("PSNR [dB]", "matched [dB]", "uPSNR [dB]", "[1/µm]", "gaussian", "over rapid"):
        assert words in said.stdout
    assert "102 - 104" in said.stdout  # °C: two frames of six stretches


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_each_row_says_whose_it_is_however_narrow_the_terminal(heated, columns):
    lines = summarize(heated, columns=columns).stdout.splitlines()
    assert "…" not in "".join(lines)
    assert "".join(lines).count("noise left") == 1
    named = {"rapid", "gaussian", "a/gaussian"}
    rules = [i for i, line in enumerate(lines) if line.startswith(" ─")]
    scores = [i for i in rules if lines[i + 1].split()[0] in named]
    assert len(scores) >= 3
    for i in rules:
        end = next((j for j in range(i, len(lines)) if not lines[j].strip()), len(lines))
        assert all(line[0] == " " and line[1] != " " for line in lines[i + 1 : end])


def test_json_is_one_object_with_all_scores(heated):
    said = json.loads(summarize(heated, "--json").stdout)
    assert set(said) >= {"store", "scores", "series", "last_frames", "out_of_range", "problems"}
    gaussian = next(row for row in said["scores"] if row["type"] == "gaussian")
    found = {s["score"]: s for s in gaussian["statistics"]}
    assert found["psnr"]["mean"] > 10
    assert found["psnr"]["units"] == "dB"
    (last,) = said["last_frames"]
    assert (last["fov"], last["filter"], last["frame"]) == ("a", "gaussian", 11)
    assert len(said["series"]) == 6


def test_every_frame_has_a_row_of_its_own_in_the_csv(heated, tmp_path):
    file, table = tmp_path / "frames.csv", tmp_path / "scores.csv"
    assert summarize(heated, "--frames-csv", file, "--csv", table).returncode == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["type"], r["frame"]) for r in rows[:12]] == [("rapid", str(i)) for i in range(12)]
    assert len(rows) == 24
    assert float(rows[-1]["temperature"]) == 112
    with xr.open_zarr(heated, group="summary/a/gaussian") as scores:
        stored = scores["psnr"].values
    assert [float(r["psnr"]) for r in rows[12:]] == pytest.approx(stored)
    with table.open(newline="") as stream:
        means = {r["type"]: r for r in csv.DictReader(stream)}
    assert float(means["gaussian"]["psnr_mean"]) == pytest.approx(np.mean(stored))
    assert means["rapid"]["upsnr_mean"] == ""


def test_frames_without_a_slow_scan_have_scores_all_the_same(heated, tmp_path):
    store = tmp_path / "s.zarr"
    stemscale.ingest(store, heated.parent / "a.tif", block=4)
    stemscale.process(store, filter="gaussian", workers=1)
    said = summarize(store)
    assert said.returncode == 0, said.stderr
    assert "uPSNR [dB]" in said.stdout
    assert "nothing to score" not in said.stderr


def test_what_cannot_be_read_is_said_with_exit_code_3(heated, tmp_path):
    copy = tmp_path / "s.zarr"
    shutil.copytree(heated, copy)
    shard = AcquisitionStore(copy).frames("a/filtered/gaussian").shard(1)
    shard.write_bytes(shard.read_bytes()[:-9])
    said = summarize(copy)
    assert said.returncode == 3
    assert "not scored: a: " in said.stderr
    assert "a/filtered/gaussian" in said.stderr


def test_a_file_that_cannot_be_written_is_refused_before_the_work(heated, tmp_path):
    said = summarize(heated, "--csv", tmp_path / "none" / "scores.csv")
    assert said.returncode == 2
    assert "there is no folder" in said.stderr
