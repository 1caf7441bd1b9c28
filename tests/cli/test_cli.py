import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import DATA, ramp_frames, write_image, write_stack
from velox_files import write_velox

from stemscale import ingest

VERBS = [
    "simulate",
    "ingest",
    "info",
    "calibrate",
    "train",
    "process",
    "summarize",
    "verify",
    "report",
    "export",
    "movie",
    "demo",
    "reproduce",
]


def stemscale(*args, folder=None):
    """Run the command as a user does, in a process of its own."""
    command = [sys.executable, "-m", "stemscale_cli.app", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


@pytest.fixture
def store(tmp_path):
    frames = ramp_frames(5)
    rapid = write_stack(tmp_path / "a_rapid.tif", frames, dwell_time_ns=100)
    slow = write_image(tmp_path / "a_slow.tif", frames[0], dwell_time_ns=5000)
    done = stemscale("ingest", tmp_path / "s.zarr", rapid, "--slow", slow)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a: 5 frames of 12 x 16 uint16, slow scan\n"
    assert done.stderr == ""
    return tmp_path / "s.zarr"


def test_help_lists_every_verb():
    done = stemscale("--help")
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


HEAVY = "torch dask distributed skimage matplotlib bokeh h5py rsciio pint sparse tifffile"
HEAVIER_THAN_HELP = f"{HEAVY} numpy scipy pandas xarray zarr rich"


@pytest.mark.parametrize(
    ("args", "heavy"),
    [("--help", HEAVIER_THAN_HELP), ("--version", HEAVIER_THAN_HELP), ("info STORE", HEAVY)],
)
def test_what_is_to_be_quick_imports_nothing_heavy(store, args, heavy):
    """`tests/benchmarks/bench_startup.py` measures it."""
    words = args.replace("STORE", str(store)).split()
    code = (
        "import sys, stemscale_cli.app as a\n"
        f"try: a.app({words!r})\n"
        "except SystemExit: pass\n"
        f"sys.exit(', '.join(set({heavy.split()!r}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    done = stemscale(verb, "--help")
    assert done.returncode == 0
    assert f"Usage: python -m stemscale_cli.app {verb}" in done.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ingest", "s.zarr", "nowhere.tif"], ["nowhere.tif", "does not exist"]),
        (["info", "nowhere.zarr"], ["nowhere.zarr", "stemscale ingest"]),
        (
            ["process", "s.zarr", "--filter", "magic"],
            ["magic", "standard", "dcfi", "none", ".safetensors"],
        ),
        (["process", "s.zarr", "--filter", "x.safetensors"], ["x.safetensors"]),
        (["process", "s.zarr", "--filter", "none", "--workers", "0"], ["--workers is 0"]),
        (["process", "s.zarr", "--filter", "none", "--window", "3"], ["--window 3"]),
        (["process", "s.zarr", "--filter", "none", "--fov", "zz"], ["no FOV zz", "a"]),
        (["process", "s.zarr", "--filter", "none", "--name", "../x"], ["'../x'", "A-Z"]),
        (["calibrate", "s.zarr", "--method", "magic"], ["magic", "spline"]),
        (["calibrate", "s.zarr", "--workers", "0"], ["--workers is 0"]),
        (["process", "s.zarr", "--filter", "none", "--weighted"], ["--weighted", "dcfi"]),
        (["process", "s.zarr", "--filter", "dcfi", "--drift"], ["--drift", "aligns"]),
        (["train", "s.zarr", "--output", "f.pt"], ["f.pt", ".safetensors"]),
        (["train", "s.zarr", "--output", "f.safetensors"], ["a has no calibration"]),
        (["simulate", "sim", "--without", "magic"], ["magic", "lag"]),
    ],
    ids=lambda value: " ".join(value[:4]) if value[0] in VERBS else "",
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(store, args, words):
    done = stemscale(*args, folder=store.parent)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_wrong_usage_is_exit_code_2(store):
    assert stemscale("process", store, "--filter", "none", "--workers", "many").returncode == 2
    assert stemscale("nonsense").returncode == 2


def test_json_is_one_object_and_nothing_else(store):
    found = json.loads(stemscale("info", store, "--json").stdout)
    assert found["fovs"]["a"]["frames"] == 5
    assert found["fovs"]["a"]["scan_settings"]["dwell_time_ns"] == 100
    assert json.loads(stemscale("verify", store, "--json").stdout)["damage"] == []
    plan = stemscale("process", store, "--filter", "none", "--dry-run", "--json")
    assert json.loads(plan.stdout)["frames"] == 5


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(store):
    before = sorted(store.parent.rglob("*"))
    done = stemscale("process", store, "--filter", "none", "--dry-run")
    assert done.returncode == 0
    assert "a: 5 frames in 1 block, correction none (no calibration)" in done.stdout
    assert sorted(store.parent.rglob("*")) == before


def test_verify_names_the_damaged_frames_and_exits_1(store):
    shard = store / "a" / "rapid" / "frames" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    done = stemscale("verify", store)
    assert done.returncode == 1
    assert "a/rapid frames 0-4: changed since it was written" in done.stdout
    assert "`stemscale ingest` with the same files" in done.stderr


def test_verify_names_blocks_in_a_row_together(store):
    rapid = write_stack(store.parent / "b.tif", ramp_frames(12))
    ingest(store, rapid, fov="b", block=2)
    for index in (1, 2, 5):
        (store / f"b/rapid/frames/c/{index}/0/0").unlink()
    lines = stemscale("verify", store).stdout.splitlines()
    assert lines[:2] == ["b/rapid frames 2-5: missing", "b/rapid frames 10-11: missing"]
    assert "3 things damaged or missing" in lines[2]
    found = json.loads(stemscale("verify", store, "--json").stdout)["damage"]
    assert [d["block"] for d in found] == [1, 2, 5]


def test_verify_names_small_arrays_and_metadata_and_goes_on(store):
    (store / "a" / "rapid" / "time" / "c" / "0").unlink()
    (store / "a" / "slow" / "zarr.json").write_text("")
    done = stemscale("verify", store)
    assert (done.returncode, done.stderr) == (1, "")
    assert "a/rapid time: missing\n" in done.stdout
    assert "a/slow zarr.json: cannot be read" in done.stdout
    assert "1 block of frames" in done.stdout
    found = json.loads(stemscale("verify", store, "--json").stdout)["damage"]
    assert [(d["group"], d["name"]) for d in found] == [
        ("a/rapid", "time"),
        ("a/slow", "zarr.json"),
    ]


def test_file_names_cannot_inject_into_the_terminal(tmp_path):
    done = stemscale("ingest", tmp_path / "s.zarr", "evil\x1b[31m\nError: fake.tif")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_debug_shows_where_an_error_comes_from(tmp_path):
    done = stemscale("--debug", "info", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_ingest_says_once_a_file_which_signals_it_leaves_out(tmp_path):
    titles = ("--detector", "all", DATA / "fei_example_dpc_titles.emd")
    done = stemscale("ingest", tmp_path / "s.zarr", *titles)
    assert done.returncode == 0
    assert done.stderr == f"{titles[-1]}: left out DPC (complex numbers)\n"
    assert "DPC (" not in done.stdout
    again = json.loads(stemscale("ingest", tmp_path / "s.zarr", *titles, "--json").stdout)
    assert again["fovs"][0]["left_out"] == {str(titles[-1]): {"DPC": "complex numbers"}}


def test_files_alike_in_what_is_left_out_are_named_in_one_line(tmp_path):
    files = [shutil.copy(DATA / "multi_signal.dm3", tmp_path / f"f{i}.dm3") for i in range(3)]
    done = stemscale("ingest", tmp_path / "s.zarr", *files)
    assert done.stderr == f"{files[0]} and 2 more: left out Plot (a plot)\n"


def test_ingest_takes_every_detector_and_then_the_frames_that_came_later(tmp_path):
    store = tmp_path / "s.zarr"
    images = {"HAADF": ramp_frames(6), "BF": ramp_frames(6)}
    write_velox(tmp_path / "a.emd", {d: f[:4] for d, f in images.items()})
    refused = stemscale("ingest", store, tmp_path / "a.emd")
    assert refused.returncode == 1
    assert "--detector all" in refused.stderr
    done = stemscale("ingest", store, tmp_path / "a.emd", "--detector", "all", "--workers", 2)
    assert done.stdout == (
        "a_HAADF: 4 frames of 12 x 16 uint16\na_BF: 4 frames of 12 x 16 uint16\n"
    )
    again = stemscale("ingest", store, tmp_path / "a.emd", "--detector", "all")
    assert again.stdout.count("there already: the same files") == 2
    write_velox(tmp_path / "a.emd", images)
    grown = stemscale(
        "ingest", store, tmp_path / "a.emd", "--detector", "all", "--append", "--json"
    )
    fovs = json.loads(grown.stdout)["fovs"]
    assert [(f["n_frames"], f["appended"]) for f in fovs] == [(6, 2), (6, 2)]


def test_frames_that_a_series_gets_are_filtered_by_the_same_command(tmp_path):
    store = tmp_path / "s.zarr"
    write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(4)})
    stemscale("ingest", store, tmp_path / "a.emd")
    assert stemscale("process", store, "--filter", "none").returncode == 0
    write_velox(tmp_path / "a.emd", {"HAADF": ramp_frames(6)})
    assert stemscale("ingest", store, tmp_path / "a.emd", "--append").returncode == 0
    done = stemscale("process", store, "--filter", "none")
    assert done.returncode == 0
    assert "2 frames to filtered/none" in done.stdout
    assert "4 were there already" in done.stdout


@pytest.mark.parametrize("name", ["summary", "Ü 1", "a/b", "../x", "", "x" * 65])
def test_a_fov_name_that_cannot_be_a_group_is_refused_and_leaves_nothing(tmp_path, name):
    np.save(tmp_path / "a.npy", np.ones((2, 8, 8), np.uint16))
    done = stemscale("ingest", tmp_path / "s.zarr", tmp_path / "a.npy", "--fov", name)
    assert done.returncode == 1
    assert "FOV" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.npy"]


def test_a_store_is_made_neither_inside_another_one_nor_in_place_of_a_file(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 8, 8), np.uint16))
    assert stemscale("ingest", tmp_path / "s.zarr", tmp_path / "a.npy").returncode == 0
    for place, words in (("s.zarr/inner.zarr", "inside the store"), ("a.npy", "no store can be")):
        done = stemscale("ingest", tmp_path / place, tmp_path / "a.npy")
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    for place, words in (("s.zarr/a", "a part of the store"), ("nope.zarr", "does not exist")):
        done = stemscale("info", tmp_path / place)
        assert done.returncode == 1
        assert words in done.stderr
