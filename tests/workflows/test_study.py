import csv

import pytest

from stemscale import simulate
from stemscale.errors import StoreConflictError
from stemscale.workflows.study.folder import take_folder
from stemscale.workflows.study.plan import MULTI, Study
from stemscale.workflows.study.scales import SCALES, Scale


@pytest.mark.parametrize("scale", SCALES)
def test_every_step_comes_after_those_it_needs_and_is_typed_as_a_user_can(scale, tmp_path):
    from stemscale_cli.app import app

    known = {c.callback.__name__ for c in app.registered_commands}
    before = set()
    for step in Study(tmp_path, scale, SCALES[scale]).steps():
        assert step.command[1] in known
        assert set(step.needs) <= before, step.name
        assert step.name not in before
        before.add(step.name)


def test_the_large_study_is_that_of_the_paper(tmp_path):
    """Rows D4, D5, D6, F3, F4."""
    study = Study(tmp_path, "paper", SCALES["paper"])
    commands = {step.name: " ".join(step.command) for step in study.steps()}
    assert "--fovs 66 --frames 50 --size 512" in commands["simulate-multi"]
    assert "--fovs 1 --frames 2500 --size 512" in commands["simulate-single"]
    assert len(study.heating) == 6
    assert "--heat 90:150 --ramp 1 --frames 2000" in commands["simulate-heating2"]
    assert commands["train-dlf-slow"].endswith("--preset paper")
    assert commands["train-dlf-2500"].endswith("--preset dlf-2500 --frames 2500")


def test_uncorrected_training_filters_frames_as_recorded(tmp_path):
    """Row F5."""
    commands = {s.name: s.command for s in Study(tmp_path, "small", SCALES["small"]).steps()}
    assert "--no-correction" in commands["train-dlf-uncorrected"]
    assert "--distortion none" in " ".join(commands[f"process-{MULTI}-dlf-uncorrected"])
    assert "--distortion" not in commands[f"process-{MULTI}-dlf-slow"]
    assert commands["process-heating1-dlf-slow"][-1] == str(tmp_path / "multi.zarr")


def test_held_out_are_the_fields_of_view_that_the_simulation_says_are_for_tests(tmp_path):
    simulate(tmp_path / "raw", fovs=6, frames=1, size=64)
    with (tmp_path / "raw" / "fovs.csv").open() as file:
        of_tests = [row["fov"] for row in csv.DictReader(file) if row["use"] == "test"]
    study = Study(tmp_path, "small", Scale(fovs=6))
    assert list(study.held_out) == of_tests
    commands = {step.name: " ".join(step.command) for step in study.steps()}
    for verb in ("process-multi-dcfi", "report-multi"):
        assert [f for f in of_tests if f"--fov {f}" in commands[verb]] == of_tests
        assert "--fov fov01" not in commands[verb]


def test_a_folder_keeps_the_study_that_it_was_begun_for(tmp_path):
    folder = tmp_path / "study"
    assert take_folder(folder, {"scale": "small", "n": 1}, told_by="scale")["n"] == 1
    assert take_folder(folder, {"scale": "small", "n": 2}, told_by="scale")["n"] == 1
    with pytest.raises(StoreConflictError, match="holds the study of --scale small"):
        take_folder(folder, {"scale": "paper"}, told_by="scale")
    with pytest.raises(StoreConflictError, match="holds another study"):
        take_folder(folder, {"series": "files"}, told_by="series")
    with pytest.raises(StoreConflictError, match="not of an earlier study"):
        take_folder(tmp_path, {"scale": "small"}, told_by="scale")
