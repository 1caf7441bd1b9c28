"""``stemscale report`` as a user types it."""

import json
import subprocess
import sys

import pytest
from reports.builders import add_filtered, add_fov, new_store


def run(*args):
    command = [sys.executable, "-m", "stemscale_cli.app", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def store(tmp_path):
    path = new_store(tmp_path / "a.zarr")
    for fov in ("fov01", "fov02"):
        add_fov(path, fov)
        add_filtered(path, fov)
    return path


def test_json_lists_every_file_that_was_written(store, tmp_path):
    figures, picture = tmp_path / "figures", tmp_path / "p.png"
    done = run(
        "report", store, "--figures", figures, "--picture", picture, "--fov", "fov02", "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["page"] == str(tmp_path / "a.html")
    there = [tmp_path / "a.html", picture, *figures.iterdir()]
    assert sorted(result["files"]) == sorted(map(str, there))
    assert "fov02" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not list(figures.glob("fov01*"))
    assert done.stderr == ""


def test_it_says_where_the_page_and_the_figures_are(store, tmp_path):
    done = run("report", store, "--figures", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "a.html"), str(tmp_path / "figures")]


def test_figures_in_the_store_are_refused_in_one_line(store):
    done = run("report", store, "--figures", store / "figures")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: figures ")
    assert done.stderr.count("\n") == 1


def test_a_picture_that_cannot_be_written_is_refused_before_the_page(store, tmp_path):
    done = run("report", store, "--picture", tmp_path / "p.jpg")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: output ")
    assert not (tmp_path / "a.html").exists()


def test_the_picture_shows_the_filter_and_the_field_of_view_that_are_named(store, tmp_path):
    add_filtered(store, "fov02", "other", psnr=42.0)
    words = ("--filter", "other", "--fov", "fov02", "--quiet")
    done = run("report", store, "--picture", tmp_path / "p.svg", *words)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert "<!-- PSNR 42.1 dB -->" in text
    assert "<!-- dlf -->" not in text


def test_the_page_shows_only_the_filter_that_is_named(store, tmp_path):
    add_filtered(store, "fov02", "other", psnr=42.0)
    page = tmp_path / "a.html"
    done = run("report", store, "--output", page, "--filter", "other", "--quiet")
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "other" in text
    assert ">dlf<" not in text
    refused = run("report", store, "--output", page, "--filter", "none-such")
    assert refused.returncode == 1
    assert "has no filtered frames none-such: it has dlf" in refused.stderr
