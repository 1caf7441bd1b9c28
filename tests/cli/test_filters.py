"""``stemscale filters`` as typed, and what `process` says of a filter that does not fit."""

import json
import subprocess
import sys

import pytest
from builders import write_stack
from denoising.builders import scan_of, tiny_filter
from typer.testing import CliRunner

import stemscale
from stemscale.denoising import Filter, UNetSettings, save_filter
from stemscale.errors import FilterError, SettingsError
from stemscale.store import AcquisitionStore
from stemscale_cli.app import app

FULL = {
    "target": "slow",
    "preset": "standard",
    "recipe": {"patch_px": 64, "rate": 4e-3, "dose_jitter": 0.0},
    "fovs": [
        {"store": "run.zarr", "fov": f"fov0{i}", "content_hash": f"{i}" * 64} for i in (1, 2, 3)
    ],
    "scan_settings": {"n_x": 512, "n_y": 512, "pixel_size_nm": 2.0, "dwell_time_ns": 100},
    "seen": {
        "fovs": 2,
        "intensity_counts": [1200.0, 64000.0],
        "noise": [0.2, 0.4],
        "spectrum": {
            "wave_number_per_px": [(i + 0.5) / 32 for i in range(16)],
            "ln_power_min": [5.0] * 16,
            "ln_power_max": [7.0] * 16,
        },
    },
    "training": {
        "epochs": 30.5,
        "patches": 123456,
        "seconds": 5400.0,
        "device": "cpu",
        "threads": 2,
        "seed": 7,
        "frames": 40,
        "fovs": ["fov01", "fov02"],
        "validation_fovs": ["fov03"],
        "held_out": "FOVs",
    },
    "scores": {
        "measure": "PSNR [dB]",
        "validation_psnr_db": 31.456,
        "validation_psnr_rapid_db": 25.0,
        "training_loss": 0.01234,
    },
    "stemscale_version": "0.1.0",
    "licence": "CC-BY-4.0",
    "date": "2026-01-02T03:04:05+00:00",
}


def written(path, *, network=None, **card):
    made = tiny_filter(network=network) if network else tiny_filter()
    save_filter(Filter(made.network, {**made.card, **FULL, **card}), path)
    return path


@pytest.fixture
def one(tmp_path):
    return written(tmp_path / "one.safetensors")


@pytest.fixture
def two(tmp_path):
    network = UNetSettings(width=4, depth=1)
    return written(tmp_path / "two.safetensors", network=network, target="dcfi")


def filters(*args, code=0, columns=100):
    done = CliRunner().invoke(app, ["filters", *map(str, args)], env={"COLUMNS": str(columns)})
    assert done.exit_code == code, done.output
    return done.stdout


def row(page, label):
    """What the page says beside a label."""
    line = next(words for words in page.splitlines() if words.strip(" *").startswith(label))
    return " ".join(line.strip(" *").removeprefix(label).split())


def test_help_lists_what_can_be_done_with_filters():
    assert "  filters " in CliRunner().invoke(app, ["--help"]).stdout
    page = filters("--help")
    assert all(f"  {verb} " in page for verb in ("show", "compare", "export"))


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("content", "as it was written (its hash fits)"),
        ("made by", "stemscale 0.1.0"),
        ("date", "2026-01-02T03:04:05+00:00"),
        ("licence", "CC-BY-4.0"),
        ("architecture", "unet, depth 2, frames in 1, residual, stem 2, width 8"),
        ("parameters", "29,564"),
        ("frames are scaled", "by centre and spread of the series"),
        ("a frame becomes", "the slow scan"),
        ("stores", "run.zarr"),
        ("FOVs", "fov01, fov02"),
        ("held out", "fov03"),
        ("fov02", "run.zarr 2222222222222222222 trained on"),
        ("fov03", "run.zarr 3333333333333333333 held out"),
        ("pixels", "512 x 512"),
        ("pixel size", "2 nm"),
        ("dwell time", "100 ns"),
        ("intensity, 1 % to 99 %", "1,200 to 64,000 counts"),
        ("noise of a frame / spread", "0.2 to 0.4"),
        ("epochs", "30.5"),
        ("patches", "123,456"),
        ("time", "1.5 h"),
        ("device", "cpu"),
        ("seed", "7"),
        ("filtered, held out", "31.46 dB"),
        ("rapid frames, held out", "25.00 dB"),
    ],
)
def test_the_page_says_all_that_the_card_does(one, label, says):
    assert row(filters("show", one), label) == says


def test_the_page_shows_the_hash_of_the_file(one):
    found = json.loads(filters("show", one, "--json"))
    assert row(filters("show", one), "sha256") == found["sha256"]
    assert len(found["sha256"]) == 64
    assert (found["parameters"], found["bytes"]) == (29564, one.stat().st_size)
    assert found["content_checked"] is True
    assert found["card"]["seen"] == FULL["seen"]


def test_the_card_of_an_older_version_is_shown_without_what_it_lacks(tmp_path):
    path = tmp_path / "old.safetensors"
    save_filter(tiny_filter(), path)
    page = filters("show", path)
    assert row(page, "parameters") == "29,564"
    assert row(page, "licence") == "not on the card"
    assert "Seen in training" not in page
    assert "Scores" not in page


def test_no_line_is_wider_than_the_page(one, two):
    for page in (filters("show", one, columns=72), filters("compare", one, two, columns=72)):
        assert max(map(len, page.splitlines())) <= 72


def test_words_on_a_card_cannot_inject_into_the_terminal(tmp_path):
    path = written(tmp_path / "evil.safetensors", licence="\x1b[31m\nError: fake")
    assert row(filters("show", path), "licence") == "[31m Error: fake"


def test_what_differs_is_marked(one, two):
    page = filters("compare", one, two)
    lines = {line[4:23].strip(): line for line in page.splitlines()}
    for label in ("architecture", "parameters", "a frame becomes", "sha256"):
        assert lines[label].startswith(" * "), label
    for label in ("licence", "seed", "FOVs", "frames are scaled"):
        assert lines[label].startswith("   "), label
    assert "the slow scan" in lines["a frame becomes"]
    assert "DCFI" in lines["a frame becomes"] + lines[""]
    assert "5 of the rows differ" in page


def test_filters_that_differ_by_name_only_have_no_marks(one, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(one.read_bytes())
    page = filters("compare", one, copy)
    assert "none of the rows differ" in page
    assert json.loads(filters("compare", one, copy, "--json"))["differ"] == []


def test_a_comparison_as_json_names_what_differs(one, two):
    found = json.loads(filters("compare", one, two, one, "--json"))
    assert [f["file"] for f in found["filters"]] == [str(one), str(two), str(one)]
    assert found["differ"] == [
        "size",
        "sha256",
        "Network: architecture",
        "Network: parameters",
        "Network: a frame becomes",
    ]


def test_one_file_cannot_be_compared(one):
    filters("compare", one, code=2)


def test_a_changed_file_is_one_line_on_stderr_and_exit_code_1(one):
    content = bytearray(one.read_bytes())
    content[-1] ^= 1
    one.write_bytes(content)
    command = [sys.executable, "-m", "stemscale_cli.app", "filters", "show", str(one)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {one}: weights or card were changed")
    assert done.stderr.count("\n") == 1


def test_a_card_is_read_without_torch(one):
    code = (
        "import sys, stemscale_cli.app as a\n"
        f"try: a.app(['filters', 'show', {str(one)!r}])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'dask', 'distributed', 'matplotlib', 'xarray', 'zarr', 'scipy'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "content" in done.stdout


@pytest.mark.slow
def test_a_filter_is_exported_once(one, tmp_path):
    pytest.importorskip("onnxscript")
    onnx = tmp_path / "one.onnx"
    found = json.loads(filters("export", one, "--to", onnx, "--json"))
    assert found == {"filter": str(one), "onnx": str(onnx), "bytes": onnx.stat().st_size}
    before = onnx.read_bytes()
    done = CliRunner().invoke(app, ["filters", "export", str(one), "--to", str(onnx)])
    assert isinstance(done.exception, SettingsError)
    assert "--overwrite" in str(done.exception)
    assert onnx.read_bytes() == before


def test_what_is_no_filter_is_not_exported(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(b"nothing")
    done = CliRunner().invoke(app, ["filters", "export", str(path), "--to", "x.onnx"])
    assert isinstance(done.exception, FilterError)


@pytest.fixture
def slower(tmp_path):
    """A store whose frames were scanned five times as slowly as those of the filter."""
    for fov in ("a", "b"):
        frames = scan_of(48, frames=2).rapid.clip(0, 65535).astype("uint16")
        write_stack(tmp_path / f"{fov}.tif", frames, dwell_time_ns=500)
        stemscale.ingest(tmp_path / "s.zarr", tmp_path / f"{fov}.tif")
    return tmp_path / "s.zarr"


def test_a_dry_run_says_what_does_not_fit_the_filter(slower, one):
    asked = ["process", str(slower), "--filter", str(one), "--dry-run"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warnings[0].startswith(
        "Warning: a, b: dwell time is 500 ns, but the filter was trained at 100 ns"
    )
    assert len(warnings) == len(set(warnings))
    plan = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert "dwell time is 500 ns" in plan["fovs"][1]["filter_misfit"][0]


@pytest.mark.cluster
def test_what_does_not_fit_is_logged_and_stays_with_the_frames(slower, one, caplog):
    caplog.set_level("WARNING")  # a cluster that was lost leaves all handlers silenced
    done = stemscale.process(slower, filter=one, workers=1)
    (first, *_) = done.misfits["a"]
    assert first.startswith("dwell time is 500 ns")
    assert f"one.safetensors: a: {first}" in caplog.messages
    assert AcquisitionStore(slower).attrs("a/filtered/one")["filter_misfit"][0] == first
    fits = written(one.with_name("fits.safetensors"), scan_settings={}, seen={})
    again = stemscale.process(slower, filter=fits, fovs=["a"], workers=1)
    assert again.misfits == {}
    assert "filter_misfit" not in AcquisitionStore(slower).attrs("a/filtered/fits")
