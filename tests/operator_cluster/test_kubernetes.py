"""Pods that the real Dask operator starts are the workers of a run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from distributed import Client
from faults.builders import assert_as_undisturbed, make_scene, recorded
from operator_cluster.server import kubernetes

from stemscale.clusters import check_place, connect
from stemscale.clusters.kubernetes import read_manifest
from stemscale.errors import ProcessingError, SettingsError

CLUSTER = Path(__file__).parents[2] / "deploy/kubernetes/cluster.yaml"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"), frames=77, block=4)


def manifest(folder, **spec):
    """The one that is shipped, but with two workers, and as a test changes it."""
    made = yaml.safe_load(CLUSTER.read_text())
    made["spec"]["worker"]["replicas"] = 2
    made["spec"] |= spec
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


def start(scene, cluster, store, file):
    *command, _, _ = scene.command(store)  # without --workers 2
    command += ["--scheduler", "kubernetes", "--cluster", str(file)]
    return subprocess.Popen(command, env=cluster.environment, stderr=subprocess.PIPE, text=True)


def wait_for(what, *, process=None, seconds=120):
    until = time.monotonic() + seconds
    while not what():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.cluster
def test_a_run_makes_the_same_on_pods_and_leaves_none(scene, running, tmp_path):
    store = scene.copy(tmp_path)
    process = start(scene, running, store, manifest(tmp_path))
    wait_for(lambda: recorded(store), process=process)
    assert len(running.names("pods")) == 3
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert_as_undisturbed(store, scene.whole)
    assert running.names("daskclusters") == running.names("pods") == []


@pytest.mark.cluster
def test_what_a_killed_driver_left_is_deleted_when_it_was_idle(scene, running, tmp_path):
    store = scene.copy(tmp_path)
    process = start(scene, running, store, manifest(tmp_path, idleTimeout=8))
    wait_for(lambda: recorded(store), process=process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert running.names("daskclusters") == ["stemscale"]
    wait_for(lambda: not running.names("daskclusters") and not running.names("pods"))
    scene.run(store)
    assert_as_undisturbed(store, scene.whole)


@pytest.mark.cluster
def test_workers_that_another_driver_uses_are_left_to_it(scene, running, tmp_path):
    store, file = scene.copy(tmp_path), manifest(tmp_path)
    process = start(scene, running, store, file)
    wait_for(lambda: recorded(store), process=process)
    with Client(f"tcp://127.0.0.1:{running.ports[0]}", set_as_default=False) as other:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
        assert sum(other.nthreads().values()) == 4
    pods = running.names("pods")
    again = scene.copy(tmp_path / "again")
    process = start(scene, running, again, file)
    wait_for(lambda: recorded(again), process=process)
    assert running.names("pods") == pods
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert running.names("daskclusters") == []


@pytest.mark.cluster
def test_a_scheduler_that_cannot_start_is_told_and_deleted(scene, running, tmp_path):
    file = manifest(tmp_path)
    file.write_text(file.read_text().replace("image: stemscale:latest", "image: missing:latest"))
    process = start(scene, running, scene.copy(tmp_path), file)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the scheduler of DaskCluster stemscale does not start (ImagePullBackOff)" in said
    wait_for(lambda: not running.names("daskclusters"))


@pytest.mark.cluster
def test_what_kubernetes_refuses_is_told_in_its_words(scene, running, tmp_path):
    process = start(scene, running, scene.copy(tmp_path), manifest(tmp_path, idleTimeout="soon"))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "$.spec.idleTimeout" in said
    assert "kubectl apply --dry-run=server" in said


@pytest.mark.cluster
def test_a_cluster_without_the_operator_is_told(scene, tmp_path):
    with kubernetes(tmp_path / "kubernetes", operator=False) as cluster:
        cluster.environment["DASK_KUBERNETES__RESOURCE_TIMEOUT"] = "2"
        process = start(scene, cluster, scene.copy(tmp_path), manifest(tmp_path))
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "install the Dask operator" in said
        assert cluster.names("daskclusters") == []


def read(file):
    with connect("kubernetes", jobs=check_place("kubernetes", cluster_file=file)):
        pass


def test_where_there_is_no_cluster_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ProcessingError, match="`kubectl get nodes` has to work here"):
        read(CLUSTER)


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with pytest.raises(SettingsError, match=r"pip install \"stemscale\[kubernetes\]\""):
        read(CLUSTER)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: DaskCluster", "kind: Deployment", "holds a Deployment, needed is a DaskCluster"),
        ("kubernetes.dask.org/v1", "v1", "needed is a DaskCluster"),
        ("replicas: 4", "replicas: 0", "spec.worker.replicas is 0"),
        ("replicas: 4", "size: 4", "spec.worker.replicas is None"),
        ("image: stemscale:latest # yours", "picture: no # yours", "spec.worker.*image is missing"),
        ("name: http-dashboard, protocol", "name: web, protocol", "ports lacks http-dashboard"),
        ("  name: stemscale #", "  name: Stem_Scale #", "metadata.name is 'Stem_Scale'"),
        ("kind: DaskCluster", "- kind", "cannot be read"),
        ("spec:\n  idle", "spec: none\nx:\n  idle", "image is missing"),
        ("metadata:\n", "metadata: x\nno:\n", "metadata.name is None"),
        ("\n      ports:\n", "\n      ports: [8786]\n      no:\n", "lacks http-dash.*, tcp"),
        ("\n      ports:\n", "\n      ports: some\n      no:\n", "lacks http-dash.*, tcp"),
        ("service:\n", "service: one\n    no:\n", "ports lacks http-dashboard, tcp-comm"),
        ("kind: DaskCluster", "kind: [", "it has to be YAML, of one DaskCluster; begin with"),
    ],
)
def test_a_manifest_that_cannot_be_is_told(tmp_path, old, new, message):
    text = CLUSTER.read_text()
    assert old in text
    file = tmp_path / "cluster.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(SettingsError, match=message):
        read_manifest(file)


@pytest.mark.parametrize(
    ("cores", "threads"), [("2", 2), (8, 8), ("7500m", 7), ("500m", 1), (None, None)]
)
def test_torch_takes_the_cores_of_the_pod(tmp_path, cores, threads):
    made = yaml.safe_load(CLUSTER.read_text())
    made["spec"]["worker"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": cores}}
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(made))
    assert read_manifest(file).threads == threads
