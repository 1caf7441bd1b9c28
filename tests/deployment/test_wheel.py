"""The wheel, as it is installed elsewhere."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"stemscale": ROOT / "stemscale", "stemscale_cli": ROOT / "cli" / "stemscale_cli"}
OF_A_CHECKOUT = "scenes"  # pictures that only the making of the shipped filters needs
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def pip(*words):
    subprocess.run([*PIP, words[0], "--no-deps", "--no-index", *map(str, words[1:])], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # of a copy, as setuptools leaves a folder beside the sources, and takes up what lies in it
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("stemscale", "cli"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", out, source)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*")
        if file.is_file() and not {"__pycache__", OF_A_CHECKOUT} & {*file.parts}
    }
    assert {n for n in names if ".dist-info/" not in n} == ours


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", folder, wheel)
    return folder


def run(installed, folder, *words):
    """Run Python in an empty folder, with what is installed and not with the sources."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )


def test_the_wheel_works_without_the_sources(installed, tmp_path):
    code = (
        "import stemscale, stemscale_cli.app as a\n"
        "for name in stemscale.__all__: getattr(stemscale, name)\n"
        "print(stemscale.__file__)\n"
        "a.app(['filters', 'show', 'standard'])"
    )
    done = run(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert "content" in done.stdout


def test_what_needs_a_checkout_says_so(installed, tmp_path):
    done = run(installed, tmp_path, "-m", "stemscale.workflows.shipping", "made")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("run this from a checkout")
