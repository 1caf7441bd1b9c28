"""What is applied to Kubernetes, by the operator's definitions and Kubernetes' own schemas."""

from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from operator_cluster.server import definition

from stemscale.clusters.kubernetes import read_manifest

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
CLUSTERS = ("cluster.yaml", "cluster-gpu.yaml")


def strict(schema):
    """The same, but with no name that it does not know: Kubernetes drops those in silence."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(part) for name, part in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get(
        "x-kubernetes-preserve-unknown-fields"
    ):
        made.setdefault("additionalProperties", False)
    return made


def read(name):
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_are_what_the_operator_defines(name):
    found = read(name)
    schema = strict(definition("DaskCluster"))
    # The definition leaves these to Kubernetes
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    jsonschema.validate(found, schema)
    found["spec"]["worker"]["replica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(found, schema)


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_pods_of_clusters_are_what_kubernetes_takes(name, part):
    spec = read(name)["spec"][part]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", CLUSTERS)
def test_services_of_clusters_are_what_kubernetes_takes_and_find_their_pods(name):
    made = read(name)
    spec = made["spec"]["scheduler"]["service"]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(service, kubernetes_validate.latest_version(), strict=True)
    assert spec["selector"]["dask.org/cluster-name"] == made["metadata"]["name"]


@pytest.mark.parametrize("name", ["driver.yaml", "network.yaml"])
def test_the_rest_is_what_kubernetes_takes(name):
    kubernetes_validate.validate(read(name), kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_is_shipped_is_what_the_command_takes(name):
    cluster = read_manifest(FOLDER / name)
    service = f"tcp://{cluster.name}-scheduler:8786"
    assert f"--scheduler={service}" in str(read("driver.yaml"))
    policy = read("network.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"dask.org/cluster-name": cluster.name}


def test_one_worker_has_one_gpu_and_the_image_for_it():
    (container,) = read("cluster-gpu.yaml")["spec"]["worker"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith(":cuda")
