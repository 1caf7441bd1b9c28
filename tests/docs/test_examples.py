"""Examples in docstrings, and Python in the documentation, do what they say."""

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys

import matplotlib as mpl
import pytest
from docs.test_commands import PAGES, ROOT

PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
STORE_PAGE = "docs/reference/python.md"  # whose Python makes the store that examples are about
STORE = '"run.zarr"'

MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): text
    for file in sorted((ROOT / "stemscale").rglob("*.py"))
    if ">>> " in (text := file.read_text())
}
BLOCKS = {
    f"{page.relative_to(ROOT).as_posix()}:{number}": block
    for page in PAGES
    for number, block in enumerate(PYTHON.findall(page.read_text()), start=1)
}
OF_STORE = [
    pytest.param(name, marks=pytest.mark.cluster) for name in MODULES if STORE in MODULES[name]
]
OTHERS = [name for name in MODULES if STORE not in MODULES[name]]

# Import all that can be imported, and say what that has left behind.
IMPORT_ALL = """
import importlib, multiprocessing, pkgutil, threading, stemscale, stemscale_cli
for package in (stemscale, stemscale_cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert multiprocessing.active_children() == [], multiprocessing.active_children()
"""


def run(text, where):
    """Run Python of a page as a reader would who pastes it."""
    exec(compile(text, where, "exec"), {"__name__": "__main__"})


def failures(name):
    """Run the examples of a module, each docstring by itself; give what failed, in words."""
    said = []
    for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
        test.globs = {"__name__": "__main__"}  # an example can be pasted: it imports what it needs
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    return "".join(said)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(BLOCKS[f"{STORE_PAGE}:1"], STORE_PAGE)
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def with_store(template, empty):
    shutil.copytree(template, empty, dirs_exist_ok=True)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.usefixtures("empty")
def test_examples_of_a_module_hold(name):
    assert not (said := failures(name)), said


@pytest.mark.parametrize("name", OF_STORE)
@pytest.mark.usefixtures("with_store")
def test_examples_that_are_about_a_store_hold(name):
    assert not (said := failures(name)), said


@pytest.mark.cluster
@pytest.mark.parametrize("where", [w for w in BLOCKS if not w.startswith(STORE_PAGE)])
@pytest.mark.usefixtures("with_store")
def test_python_in_a_page_runs(where):
    with mpl.rc_context({"backend": "agg"}):
        run(BLOCKS[where], where)


def test_all_examples_are_looked_at():
    found = [
        test.name
        for name in MODULES
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name)
        if test.examples
    ]
    written = sum(len(re.findall(r"^ +Examples$", text, re.M)) for text in MODULES.values())
    assert len(found) == written > 80
    assert {where.partition(":")[0] for where in BLOCKS} == {
        "README.md",
        "docs/howto/live.md",
        "docs/reference/python.md",
        "docs/reference/store-format.md",
        "docs/tutorial.md",
    }


def test_a_wrong_example_would_be_found(empty, monkeypatch):
    (empty / "wrong_example.py").write_text('"""\n>>> 1 + 1\n3\n"""\n')
    monkeypatch.syspath_prepend(empty)
    assert "File" in (said := failures("wrong_example"))
    assert "in wrong_example" in said


def test_imports_of_all_modules_have_no_side_effects(empty):
    said = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])},
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert list(empty.iterdir()) == []
