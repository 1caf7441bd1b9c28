"""The image, and the services that run it."""

import json
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import compose
import dask.config
import pytest
import yaml

from stemscale.clusters import place

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
COMPOSE = ROOT / "deploy/compose/compose.yaml"


def test_the_dockerfile_passes_hadolint():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def context():
    """The files that the build is given."""
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    taken = [line[1:] for line in lines if line.startswith("!")]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if any(fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in taken):
            yield name


@pytest.mark.slow
def test_the_image_installs_by_make_from_what_the_build_is_given(tmp_path):
    for name in context():
        to = tmp_path / "src" / name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes((ROOT / name).read_bytes())
    words = DOCKERFILE.read_text().replace("\\\n", "").split("RUN ")[1].splitlines()[0]
    assert "make install" in words
    words = words.replace("/opt/stemscale", str(tmp_path / "venv"))
    environment = {**os.environ, "PIP_NO_DEPS": "1", "TORCH_INDEX": "", "EXTRAS": "kubernetes"}
    done = subprocess.run(
        words, shell=True, cwd=tmp_path / "src", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "-c deploy/constraints.txt .[kubernetes]" in done.stdout
    assert (tmp_path / "venv/bin/stemscale").is_file()
    (package,) = (tmp_path / "venv/lib").glob("*/site-packages/stemscale")
    assert (package / "py.typed").is_file()
    for copied in ("deploy/dask.yaml", "deploy/constraints.txt"):
        assert (tmp_path / "src" / copied).is_file()


def test_the_image_runs_as_nobody_in_particular_and_holds_no_secret():
    text = DOCKERFILE.read_text()
    assert text.rindex("USER 1000") > text.rindex("FROM ")
    assert "AWS_" not in text


def test_dask_is_told_the_same_as_local_workers_are():
    (told,) = dask.config.collect_yaml([str(ROOT / "deploy/dask.yaml")])
    with dask.config.set(place._CONFIG):
        for name in place._CONFIG:
            assert dask.config.get(name, config=told) == dask.config.get(name)


def read_compose(**environment):
    binary = Path(compose.__file__).with_name("docker-compose")
    return subprocess.run(
        [binary, "--file", COMPOSE, "--profile", "*", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", "PWD": "/series", **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def services():
    done = read_compose(AWS_SECRET_ACCESS_KEY="x")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def test_there_is_no_secret_that_everybody_knows():
    done = read_compose()
    assert done.returncode != 0
    assert "AWS_SECRET_ACCESS_KEY" in done.stderr


def test_nothing_is_reached_from_other_machines(services):
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_driver_scheduler_and_workers_are_the_image_that_is_built_here(services):
    for name in ("driver", "scheduler", "worker", "worker-gpu"):
        build = services[name]["build"]
        assert Path(build["context"]) / build["dockerfile"] == DOCKERFILE
        assert services[name]["environment"]["AWS_ENDPOINT_URL"] == "http://store:8333"
        assert services[name]["volumes"][0]["source"] == "/series"
    assert services["driver"].get("entrypoint") is None  # the image's own


def test_services_wait_for_what_they_need(services):
    waits = {
        name: {other: how["condition"] for other, how in service["depends_on"].items()}
        for name, service in services.items()
        if "depends_on" in service
    }
    assert waits["worker"] == waits["worker-gpu"] == {"scheduler": "service_healthy"}
    assert waits["driver"] == {
        "scheduler": "service_healthy",
        "bucket": "service_completed_successfully",
    }
    for others in waits.values():
        for other, how in others.items():
            assert how != "service_healthy" or "healthcheck" in services[other]


def test_files_that_services_read_are_there(services):
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and volume["source"] != "/series":
                assert Path(volume["source"]).is_file(), volume


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").rglob("*.y*ml")), ids=lambda f: f.name)
def test_yaml_says_nothing_twice(file):
    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            assert len(names) == len(set(names)), f"{file}: {names}"
            return super().construct_mapping(node, deep)

    list(yaml.load_all(file.read_text(), Loader=Strict))
