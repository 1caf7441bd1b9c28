"""Pods of a Kubernetes cluster that are workers, through the Dask operator."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from distributed import Client
from distributed.utils import LoopRunner, sync

from stemscale.clusters.address import set_up
from stemscale.clusters.awake import drivers
from stemscale.errors import ProcessingError, SettingsError, one_line

logger = logging.getLogger(__name__)

_API = "kubernetes.dask.org/"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?")  # with "-scheduler", at most 63
_PORTS = {"tcp-comm", "http-dashboard"}  # of the scheduler's service, as the operator looks for
_IDLE_S = 120  # after which the operator deletes what a dead driver left
_START_S = 600  # a node may have to be booked, and an image to be pulled
_LOOK_EVERY_S = 2.0
_CLOSE_S = 30
_HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DaskCluster:
    """A manifest of the Dask operator, as a YAML file says it.

    Attributes
    ----------
    file : Path
    manifest : dict
        Of kind ``DaskCluster``.
    """

    file: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """Its namespace; None for that of the user."""
        namespace: str | None = self.manifest["metadata"].get("namespace")
        return namespace

    @property
    def threads(self) -> int | None:
        """Threads of torch in a worker, the cores of its pod; None where it names none."""
        resources = _mapping(_container(self.manifest["spec"], "worker").get("resources"))
        for kind in ("limits", "requests"):
            cores = str(_mapping(resources.get(kind)).get("cpu", ""))
            try:
                return max(1, int(float(cores[:-1]) / 1000 if cores[-1:] == "m" else float(cores)))
            except ValueError:
                continue
        return None


def read_manifest(file: Path) -> DaskCluster:
    """Read a manifest, and check what would be told late or not at all.

    Parameters
    ----------
    file : Path
        YAML with one DaskCluster. The rest of it is checked by Kubernetes.

    Returns
    -------
    DaskCluster

    Raises
    ------
    SettingsError
        If it is something else, or lacks what the operator needs.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            f"{file} cannot be read ({error}): it has to be YAML, of one DaskCluster; begin with "
            "deploy/kubernetes/cluster.yaml"
        ) from error
    kind = found.get("kind") if isinstance(found, dict) else type(found).__name__
    if kind != "DaskCluster" or not str(found.get("apiVersion", "")).startswith(_API):
        raise SettingsError(
            f"{file} holds a {kind}, needed is a DaskCluster ({_API}v1): begin with "
            "deploy/kubernetes/cluster.yaml"
        )
    name = _mapping(found.get("metadata")).get("name")
    if not _NAME.fullmatch(str(name)):
        raise SettingsError(
            f"{file}: metadata.name is {name!r}, needed are at most 53 of a-z, 0-9 and -"
        )
    spec = found.get("spec") or {}
    for part in ("scheduler", "worker"):
        if not _container(spec, part).get("image"):
            raise SettingsError(f"{file}: spec.{part}.spec.containers[0].image is missing")
    replicas = spec["worker"].get("replicas")
    if not isinstance(replicas, int) or replicas < 1:
        raise SettingsError(
            f"{file}: spec.worker.replicas is {replicas!r}, needed is a number from 1"
        )
    ports = _mapping(spec["scheduler"].get("service")).get("ports")
    named = {str(_mapping(p).get("name")) for p in (ports if isinstance(ports, list) else [])}
    if missing := sorted(_PORTS - named):
        raise SettingsError(
            f"{file}: spec.scheduler.service.ports lacks {', '.join(missing)}: the operator looks "
            "for these names"
        )
    spec.setdefault("idleTimeout", _IDLE_S)
    return DaskCluster(file=file, manifest=found)


def _container(spec: Any, part: str) -> dict[str, Any]:
    """Give the first container of the scheduler or a worker; empty where there is none."""
    try:
        found = spec[part]["spec"]["containers"][0]
    except (KeyError, IndexError, TypeError):
        return {}
    return _mapping(found)


def _mapping(value: Any) -> dict[str, Any]:
    """Give what should be a mapping; empty where the file has something else there."""
    return value if isinstance(value, dict) else {}


@contextmanager
def on_kubernetes(wanted: DaskCluster) -> Iterator[Client]:
    """Keep pods running that are workers, and give a client of them, see `connect`.

    A cluster of that name is used if it is there, as one that a killed driver left. It is deleted
    in the end, unless another driver is connected to it.
    """
    try:
        make = import_module("dask_kubernetes.operator").KubeCluster
    except ImportError as error:
        raise SettingsError(
            "--scheduler kubernetes needs the package dask-kubernetes, which is not installed: pip "
            'install "stemscale[kubernetes]"'
        ) from error
    with ExitStack() as stack:
        runner = LoopRunner()
        runner.start()
        stack.callback(runner.stop)
        cluster = make(
            custom_cluster_spec=wanted.manifest,
            namespace=wanted.namespace,
            # from outside, its names mean nothing: Dask would look for them for 20 s
            port_forward_cluster_ip="KUBERNETES_SERVICE_HOST" not in os.environ,
            asynchronous=True,  # so that the start can be watched, and given up
            loop=runner.loop,
            quiet=True,
        )
        stack.callback(sync, runner.loop, _delete, cluster)
        sync(runner.loop, _start, cluster, wanted)
        with Client(cluster, asynchronous=False, set_as_default=False) as client:
            set_up(client, f"the pods of {wanted.name}", threads=wanted.threads)
            try:
                yield client
            finally:
                cluster.shutdown_on_close = not _others(client)


async def _start(cluster: Any, wanted: DaskCluster) -> None:
    """Wait until the scheduler is there, for as long as there is hope.

    Raises
    ------
    ProcessingError
        If there is none, with what Kubernetes says.
    """
    logger.info("starting DaskCluster %s", wanted.name)
    starting = asyncio.ensure_future(cluster._start())
    until = time.monotonic() + _START_S
    try:
        while not (await asyncio.wait({starting}, timeout=_LOOK_EVERY_S))[0]:
            pods = await _scheduler_pods(cluster)
            reason = ", ".join(filter(None, (_waits_for(pod) for pod in pods)))
            if time.monotonic() > until or any(word in reason for word in _HOPELESS):
                raise ProcessingError(
                    f"the scheduler of DaskCluster {wanted.name} does not start "
                    f"({reason or 'no pod of it'}): see `kubectl describe pods -l "
                    f"dask.org/cluster-name={wanted.name}`, and mend {wanted.file}"
                )
        starting.result()
    except Exception as error:
        raise _told(error, wanted) from error
    finally:
        starting.cancel()


def _others(client: Client) -> bool:
    """Tell whether another driver is connected; no, where that cannot be known."""
    try:
        return bool(client.status == "running" and client.run_on_scheduler(drivers) > 1)
    except (ImportError, OSError, TimeoutError):
        return False


async def _scheduler_pods(cluster: Any) -> list[dict[str, Any]]:
    pods = import_module("kr8s").asyncio.get(
        "pods",
        namespace=cluster.namespace,
        label_selector={
            "dask.org/cluster-name": cluster.name,
            "dask.org/component": "scheduler",
        },
    )
    return [pod.raw async for pod in pods] if cluster.namespace else []


def _waits_for(pod: dict[str, Any]) -> str:
    """Say why a pod does not run, in the words of Kubernetes."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            return f"{waiting.get('reason')} {waiting.get('message', '')}".strip()
    for condition in status.get("conditions") or []:
        if condition.get("status") == "False" and condition.get("message"):
            return f"{condition.get('reason')} {condition['message']}"
    return str(status.get("phase", ""))


def _told(error: Exception, wanted: DaskCluster) -> ProcessingError:
    """Say what to do where a cluster could not be made."""
    if isinstance(error, ProcessingError):
        return error
    why = one_line(error)
    code = getattr(getattr(error, "response", None), "status_code", None)
    if code == 404 or (isinstance(error, TimeoutError) and "not actioned" in why):
        remedy = "install the Dask operator in it, see deploy/README.md"
    elif code is not None:
        remedy = f"`kubectl apply --dry-run=server -f {wanted.file}` tells more"
    elif type(error).__name__ == "SchedulerStartupError":
        remedy = f"mend {wanted.file}"
    else:
        remedy = "`kubectl get nodes` has to work here: see KUBECONFIG"
    return ProcessingError(f"Kubernetes does not start DaskCluster {wanted.name} ({why}): {remedy}")


async def _delete(cluster: Any) -> None:
    """Delete it, without waiting for the end of its pods; if that fails, the idle timeout does."""
    try:
        await cluster._close(timeout=_CLOSE_S)
    except Exception as error:
        logger.warning(
            "DaskCluster %s may not be deleted yet (%s): see kubectl get daskclusters",
            cluster.name,
            error,
        )
