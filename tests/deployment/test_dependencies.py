"""What pyproject.toml asks for, and what was tested."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEVER_AT_THEIR_LOWEST = {"all", "bm3d", "dev", "docs", "gpu"}


def lowest_admitted():
    """Name and lower bound of every direct dependency that a user may get."""
    asked = [*PROJECT["dependencies"]]
    asked += [r for extra in EXTRAS.keys() - NEVER_AT_THEIR_LOWEST for r in EXTRAS[extra]]
    bounds = {}
    for requirement in map(Requirement, asked):
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        bounds[requirement.name] = bound
    return bounds


def test_the_lowest_versions_that_are_admitted_are_those_that_were_tested():
    lines = (ROOT / "deploy" / "lowest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert tested == lowest_admitted()
    assert list(tested) == sorted(tested)


def test_the_extra_all_is_every_extra_without_a_hardware_or_a_licence_of_its_own():
    (requirement,) = map(Requirement, EXTRAS["all"])
    assert requirement.name == PROJECT["name"]
    assert requirement.extras == EXTRAS.keys() - {"all", "bm3d", "dev", "gpu"}


def test_every_extra_that_an_error_names_is_there():
    sources = [*(ROOT / "stemscale").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]
    named = {
        extra
        for file in sources
        for extra in re.findall(r"['\"]stemscale\[(\w+)\]['\"]", file.read_text())
    }
    assert {"bm3d", "movie", "onnx"} <= named <= EXTRAS.keys()
