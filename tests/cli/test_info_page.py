import io
import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from stemscale.acquisition import FrameColumn, ScanSettings, frame_coordinates, known_column
from stemscale.pipeline import info
from stemscale.store import AcquisitionStore, commit_block, filtered_group, finish_frames
from stemscale_cli.app import app
from stemscale_cli.info_page import show

SETTINGS = ScanSettings(
    n_x=16, n_y=8, pixel_size_nm=2.1, dwell_time_ns=100, flyback_time_us=25, high_tension_kv=200
)
N, BLOCK = 5, 4
SECOND = 10**9
COLUMNS = {
    "timestamp": known_column("timestamp", [1_767_323_045 * SECOND + i * SECOND for i in range(N)]),
    "temperature": known_column("temperature", [20, 21, 22, 23, np.nan]),
    "beam_current": known_column("beam_current", [0.5] * N),
    "mode": FrameColumn(values=np.arange(N) // 3, words=("idle", "mov\x1b[31ming")),
}


def add_frames(store, fov, group, blocks=2, **attrs):
    array = store.create_frames(
        fov,
        group,
        xr.Dataset(coords=frame_coordinates(SETTINGS, COLUMNS, N), attrs=attrs),
        SETTINGS,
        n_frames=N,
        dtype=np.dtype("uint16"),
        with_fill=True,
        long_name="frames",
        block=BLOCK,
    )
    ledger = store.ledger(group)
    ledger.start({})
    for index in range(blocks):
        start, stop = array.bounds(index)
        commit_block(array, ledger, index, np.ones((stop - start, 8, 16), "uint16"))
    return ledger


def make_store(path, fovs):
    store = AcquisitionStore.create(path)
    for fov in fovs:
        about = {"state": "partial", "source_files": ["evil\x1b[31m\nname.emd"]}
        about["original_metadata"] = {"Core": {"Vendor": "µ\x1b\u202e"}}
        records = add_frames(store, fov, f"{fov}/rapid", **about).records()
        finish_frames(store, f"{fov}/rapid", records, with_status=False)
    group = filtered_group(fovs[0], "net")
    about = {"state": "partial", "filter": "net.safetensors", "filter_sha256": "abc123" * 10}
    ledger = add_frames(store, fovs[0], group, blocks=1, **about)
    finish_frames(store, group, ledger.records(), failed_blocks=[1])
    store.add_history("ingest everything")
    return path


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "s.zarr", ["fov01"])


def page(*args, columns=100, **env):
    env = {"COLUMNS": str(columns), **env}
    done = CliRunner().invoke(app, ["info", *map(str, args)], env=env)
    assert done.exit_code == 0, done.output
    return done.stdout


def row(text, *start):
    """Words of the first line that starts so."""
    lines = (line.split() for line in text.splitlines())
    return " ".join(next(words for words in lines if words[: len(start)] == list(start)))


def test_the_page_says_what_is_there_with_units_in_words(store):
    text = page(store)
    assert row(text, "frames") == "frames 5 of 8 x 16 uint16"
    assert row(text, "blocks") == "blocks 2, of 4 frames each"
    assert row(text, "dwell") == "dwell time 100 ns/px"
    assert row(text, "flyback") == "flyback time 25 µs/line"
    assert row(text, "pixel") == "pixel size 2.1 nm"
    assert row(text, "high") == "high tension 200 kV"
    assert row(text, "frame") == "frame time not in the file (212.8 µs by dwell and flyback)"
    assert row(text, "magnification") == "magnification not in the file"
    assert row(text, "start") == "start time not in the file"
    assert row(text, "calibration") == "calibration none yet"
    assert "ingest everything" in text
    wide = page(store, columns=160)
    assert "partial: 1 of 2 blocks, 1 failed frame" in wide
    assert "net.safetensors (sha256 abc123abc123)" in wide


def test_the_page_has_a_row_for_each_quantity(store):
    text = page(store, columns=160)
    assert row(text, "temperature") == "temperature (1 missing) degC 20 23 20 missing"
    assert row(text, "mode") == "mode 2 words idle mov [31ming"
    assert row(text, "beam_current") == "beam_current 0.5 nA"
    dates = "2026-01-02 03:04:05.000000 2026-01-02 03:04:09.000000"
    assert row(text, "timestamp") == f"timestamp UTC {dates}"


@pytest.mark.parametrize("columns", [80, 100])
def test_a_piped_page_is_plain_text_that_fits(store, columns):
    text = page(store, columns=columns, FORCE_COLOR="1")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert max(map(len, text.splitlines())) <= columns
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert "evil [31m name.emd" in text


def test_of_many_fovs_there_is_a_table_and_details_on_request(tmp_path):
    store = make_store(tmp_path / "s.zarr", [f"fov{i:02d}" for i in range(1, 6)])
    text = page(store)
    assert row(text, "fov05").startswith("fov05 5 8 x 16 uint16")
    assert "--fov NAME" in text
    narrow = page(store, columns=40)
    assert row(narrow, "fov01") == "fov01 5 complete net"
    assert "dwell time" not in text
    text = page(store, "--fov", "fov02", "--fov", "fov05")
    assert text.count("\n dwell time  ") == 2
    assert row(text, "time").startswith("time (by dwell time) s 0 ")
    assert row(text, "fields") == "fields of view 5, 2 of them below"
    assert list(json.loads(page(store, "--fov", "fov02", "--json"))["fovs"]) == ["fov02"]


def test_the_metadata_of_the_files_are_shown_on_request_only(store):
    assert "Vendor" not in page(store)
    assert "Vendor" not in page(store, "--json")
    text = page(store, "--metadata")
    assert '"Vendor": "µ' in text
    assert all(c.isprintable() or c == "\n" for c in text)
    found = json.loads(page(store, "--metadata", "--json"))["fovs"]["fov01"]
    assert found["original_metadata"] == {"Core": {"Vendor": "µ\x1b\u202e"}}


def test_a_store_that_knows_next_to_nothing_has_a_page(capsys):
    fov = {
        **{"frames": 0, "shape": [1, 1], "dtype": "uint8", "frames_per_block": 1, "blocks": 0},
        **{"blocks_done": None, "state": None, "frames_bytes_on_disk": 0, "bytes_on_disk": 0},
        **{"frames_bytes_uncompressed": 0, "compression_ratio": None, "use": None},
        **{"scanned_together": [], "start_time": None, "scan_settings": {}, "files": []},
        **{"frame_interval_s": None, "per_frame": {}, "slow": None, "filtered": {}},
        "calibration": dict.fromkeys(
            ("method", "estimated_on", "carried_over", "zncc_before", "zncc_after")
        ),
    }
    about = {"store": "s", "format": "1", "bytes_on_disk": 0, "summarized": False}
    show({**about, "fovs_in_store": 1, "fovs": {"a": fov}, "history": ["short"]})
    text = capsys.readouterr().out
    assert row(text, "state") == "state not known"
    assert row(text, "files") == "files not known"
    assert row(text, "short") == "short"


def test_on_a_terminal_headings_are_bold(store, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    show(info(store))
    text = terminal.getvalue()
    assert "\x1b[1mHistory" in text
    assert "\x1b[31m" not in text
