"""The page of a study, from what its commands leave: scores, figures, the settings simulated."""

import csv
import json
from types import SimpleNamespace

import pytest
import xarray as xr
from PIL import Image

from stemscale.errors import StoreError
from stemscale.store import AcquisitionStore
from stemscale.workflows.study.distortions import Departure
from stemscale.workflows.study.page import write_page
from stemscale.workflows.study.plan import IDEAL, MULTI, Study
from stemscale.workflows.study.scales import Scale
from stemscale.workflows.study.steps import StepRecords

SCALE = Scale(size=64, fovs=4, frames=2, heated=((30.0, 90.0), (90.0, 150.0)), heated_frames=3)
PSNR = {"rapid": 14.0, "dcfi": 20.0, "dlf-dcfi": 21.0, "dlf-slow": 22.5}


def statistics(mean):
    return [{"score": "psnr", "band": "", "mean": mean, "std": 0.5, "units": "dB"}]


def scores(last=()):
    rows = [
        {"type": name, "fov_group": "held-out", "statistics": statistics(mean)}
        for name, mean in PSNR.items()
    ]
    return {"scores": rows, "last_frames": list(last)}


def scored(store):
    """A store of one FOV that has been scored, a frame a type of image."""
    AcquisitionStore.create(store)
    whole = {"zarr_format": 3, "consolidated": False, "mode": "a"}
    xr.Dataset().to_zarr(store, group="fov01/rapid", **whole)
    for name, mean in PSNR.items():
        found = {score: ("frame", [mean]) for score in ("psnr", "psnr_matched", "psnr_truth")}
        dataset = xr.Dataset(found, coords={"frame": [2]})
        dataset.to_zarr(store, group=f"summary/fov01/{name}", **whole)


def draw(study, name, *stems):
    folder = study.figures(name)
    folder.mkdir(parents=True)
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "field_of_view", "title", "caption"])
        for stem in stems:
            Image.new("L", (3000, 20), 128).save(folder / f"fov04_{stem}.png")
            table.writerow([f"fov04_{stem}", "fov04", f"Title of {stem}", "Words."])


@pytest.fixture
def study(tmp_path, monkeypatch):
    """What a study of four FOVs and two heating series leaves, but for frames and filters."""
    made = Study(tmp_path / "study", "small", SCALE)
    for name in (MULTI, *made.heating):
        made.scores(name).parent.mkdir(parents=True, exist_ok=True)
        row = {
            "fov": "fov01",
            "filter": "dlf-slow",
            "frame": 2,
            "rapid_db": 10.0,
            "filtered_db": 12.0,
        }
        made.scores(name).write_text(json.dumps(scores([] if name == MULTI else [row])))
        scored(made.store(name))
    card = {
        "training": {"fovs": ["fov01"], "frames": 2, "steps": 640, "epochs": 2.0},
        "recipe": {"rate": 1e-3},
        "target": "slow",
    }
    monkeypatch.setattr(
        "stemscale.workflows.study.page.read_card", lambda _: SimpleNamespace(card=card)
    )
    for figures in made.shown(MULTI):
        draw(made, figures, "images", "fourier", "spectrum", "distortion", "contours", "psnr")
    for name in made.heating:
        draw(made, name, "frames", "series")
    draw(made, IDEAL, "distortion")
    truth = xr.Dataset(attrs={"seed": 7, "settings": {"dose_electrons": 24.0}})
    truth.to_zarr(made.raw(MULTI) / "truth.zarr", zarr_format=3, consolidated=False)
    found = Departure(what="a map", n_fovs=4, before_px=8.0, after_px=0.25, worst_px=0.5)
    departures = dict.fromkeys(("joint", "strips", "transferred"), found)
    monkeypatch.setattr("stemscale.workflows.study.page.departures", lambda _: departures)
    return made


def page_of(study):
    records = StepRecords(folder=study.folder / "steps", root=study.folder)
    for step in study.steps():
        records.write(step.name, {"command": " ".join(step.command), "seconds": 6.0})
    page = write_page(study, records)
    return page.read_text(), (study.folder / "results" / "index.md").read_text()


def test_it_holds_each_claim_against_its_figure(study):
    page, markdown = page_of(study)
    assert "| Q2 | DLF-Slow has the highest PSNR" in markdown
    assert "DLF-Slow above rapid 8.5 ± inf, dcfi 2.5 ± inf, dlf-dcfi 1.5 ± inf dB" in markdown
    assert "after the best gain and offset +61 % on average" in markdown  # of the last frames
    assert "| dlf-slow | slow | 1 | 2 | 640 | 2 | 0.001 |" in markdown
    assert "+61 %" in markdown  # 22.5 over 14 dB
    assert "8.0 px before, 0.25 px after" in markdown
    assert "| dlf-slow | 12.0, +20 % | 12.0, +20 % |" in markdown  # over 10 dB, of two series
    assert "| settings.dose_electrons | 24.0 |" in markdown
    for words in ("Claim by claim", "+61 %", "Figure 7: the distortion", "dose_electrons"):
        assert words in page


def test_a_figure_stands_with_what_the_paper_says_of_it_and_what_was_found_here(study):
    _, markdown = page_of(study)
    part = markdown.split("### Figure 7: the distortion")[1].split("![")[0]
    assert "In the paper: Found strip by strip" in part
    assert "- C4, corrected strip by strip" in part
    assert "**holds** (8.0 px before, 0.25 px after" in part


def test_it_says_what_it_is_about_and_what_it_took(study):
    _, markdown = page_of(study)
    assert "4 fields of view of 2 frames of 64 × 64 pixels, 1 of them held out" in markdown
    steps = len(list(study.steps()))
    assert f"in {steps * 6 / 60:.0f} minutes" in markdown
    assert markdown.count("      6 s  stemscale ") == steps
    assert str(study.folder) not in markdown
    assert "| fovs | 66 | 4 |" in markdown  # where it is not the paper's


def test_pictures_lie_beside_it_made_small_and_none_that_no_report_drew(study):
    _, markdown = page_of(study)
    folder = study.folder / "results"
    shown = {line.split("](")[1].split(")")[0] for line in markdown.splitlines() if "![" in line}
    assert shown == {p.name for p in folder.glob("*.webp")}
    assert f"{MULTI}_fov04_images.webp" in shown
    assert not any("psnr_bands" in name for name in shown)
    with Image.open(folder / f"{MULTI}_fov04_images.webp") as picture:
        assert picture.width == 1400


def test_scores_that_are_none_are_named_with_the_way_out(study):
    study.scores(MULTI).write_text("{}")
    with pytest.raises(StoreError, match=r"multi\.json is not what .* delete it"):
        page_of(study)
