"""What of a Kubernetes cluster the Dask operator needs, on loopback.

An API server that keeps objects, checks those of Dask by the operator's own definitions, tells
watchers, and removes what belonged to what is gone; and a node whose pods are processes. The
operator itself is the real one.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import traceback
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import dask_kubernetes
import jsonpatch
import jsonschema
import yaml
from aiohttp import web

DEFINITIONS = (
    Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
)
SERVICE = "stemscale-scheduler.default"
KINDS = {
    ("", "v1"): {
        "pods": "Pod",
        "services": "Service",
        "events": "Event",
        "namespaces": "Namespace",
    },
    ("apps", "v1"): {"deployments": "Deployment"},
    ("kubernetes.dask.org", "v1"): {
        "daskclusters": "DaskCluster",
        "daskworkergroups": "DaskWorkerGroup",
        "daskautoscalers": "DaskAutoscaler",
        "daskjobs": "DaskJob",
    },
}


def definition(kind):
    """Give the schema that the operator installs for one of its kinds; of others, one of all."""
    file = DEFINITIONS / f"{kind.lower()}.yaml"
    if not file.is_file():
        return {}
    return yaml.safe_load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


class Kubernetes:
    """One cluster; all of it runs in one event loop."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = {}  # (plural, namespace, name): object
        self.events = []  # (version, plural, event)
        self.news = asyncio.Condition()
        self.pods = {}  # name: task that keeps its process
        self.api, *self.ports = free_ports(3)
        names = folder / "names"
        names.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "names.py", names / "sitecustomize.py")
        config = folder / "kubeconfig"
        config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.api}"}}
                    ],
                    "users": [{"name": "me", "user": {"token": "none"}}],
                    "contexts": [
                        {
                            "name": "here",
                            "context": {"cluster": "here", "user": "me", "namespace": "default"},
                        }
                    ],
                    "current-context": "here",
                }
            )
        )
        ports = dict(zip(("8786", "8787"), self.ports, strict=True))
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(config),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",  # as inside of it: names can be resolved
            "PYTHONPATH": os.pathsep.join(filter(None, [str(names), os.environ.get("PYTHONPATH")])),
            "TEST_SERVICES": json.dumps({SERVICE: ports}),
        }

    # ---- the API server

    async def serve(self, request):
        try:
            return await self.answer(request)
        except Exception:
            with (self.folder / "api.log").open("a") as log:
                log.write(f"{request.method} {request.path_qs}\n{traceback.format_exc()}\n")
            raise

    async def answer(self, request):
        parts = request.path.strip("/").split("/")
        if parts == ["version"]:
            return web.json_response({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        if parts == ["api"]:
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if parts == ["apis"]:
            return web.json_response({"kind": "APIGroupList", "groups": _groups()})
        group, version, *rest = parts[1:] if parts[0] == "apis" else ("", *parts[1:])
        if (group, version) not in KINDS:
            return _refusal(404, f"no {request.path}")
        if not rest:
            return web.json_response(_resources(group, version))
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name = rest[0], rest[1] if len(rest) > 1 else None
        if plural not in KINDS[group, version]:
            return _refusal(404, f"no {plural}")
        if request.method == "POST":
            return await self.create(plural, namespace, await request.json(), group, version)
        if name is None:
            chosen = _chooser(namespace, request.query)
            if request.query.get("watch") in ("true", "1", "True"):
                return await self.watch(request, plural, chosen)
            items = [o for (p, *_), o in self.objects.items() if p == plural and chosen(o)]
            return web.json_response(
                {
                    "apiVersion": f"{group}/{version}".strip("/"),
                    "kind": f"{KINDS[group, version][plural]}List",
                    "metadata": {"resourceVersion": str(len(self.events))},
                    "items": items,
                }
            )
        key = (plural, namespace, name)
        if key not in self.objects:
            return _refusal(404, f'{plural} "{name}" not found')
        found = self.objects[key]
        if request.method == "PATCH":
            patch = json.loads(await request.text())
            if isinstance(patch, list):
                try:
                    found = self.objects[key] = jsonpatch.apply_patch(found, patch)
                except jsonpatch.JsonPatchException as error:  # as where it has changed meanwhile
                    return _refusal(422, str(error))
            else:
                _merge(found, patch)
            await self.tell(plural, "MODIFIED", found)
            await self.remove_if_done(key)
        if request.method == "DELETE":
            found["metadata"].setdefault("deletionTimestamp", _now())
            await self.tell(plural, "MODIFIED", found)
            await self.remove_if_done(key)
        return web.json_response(found)

    async def create(self, plural, namespace, made, group, version):
        kind = KINDS[group, version][plural]
        errors = list(jsonschema.Draft7Validator(definition(kind)).iter_errors(made))
        if errors:
            return _refusal(422, f"{errors[0].json_path}: {errors[0].message}"[:300])
        meta = made["metadata"]
        meta.setdefault("name", meta.get("generateName", "") + uuid.uuid4().hex[:6])
        key = (plural, namespace, meta["name"])
        if key in self.objects:
            return _refusal(409, f"{plural} {meta['name']} is there already")
        meta.update(namespace=namespace, uid=str(uuid.uuid4()), creationTimestamp=_now())
        made |= {"kind": kind, "apiVersion": f"{group}/{version}".strip("/")}
        if kind == "Service":
            made["status"] = {"loadBalancer": {}}
        self.objects[key] = made
        await self.tell(plural, "ADDED", made)
        if kind == "Deployment":
            await self.deploy(made)
        return web.json_response(made, status=201)

    async def remove_if_done(self, key):
        meta = self.objects[key]["metadata"]
        if "deletionTimestamp" not in meta or meta.get("finalizers"):
            return
        gone = self.objects.pop(key)
        await self.tell(key[0], "DELETED", gone)
        if key[0] == "pods" and key[2] in self.pods:
            self.pods.pop(key[2]).cancel()
        for other, left in list(self.objects.items()):
            owners = left["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == meta["uid"] for owner in owners) and other in self.objects:
                left["metadata"].setdefault("deletionTimestamp", _now())
                await self.tell(other[0], "MODIFIED", left)
                await self.remove_if_done(other)

    async def tell(self, plural, what, about):
        about["metadata"]["resourceVersion"] = str(len(self.events) + 1)
        event = json.loads(json.dumps({"type": what, "object": about}))
        async with self.news:
            self.events.append((plural, event))
            self.news.notify_all()

    async def watch(self, request, plural, chosen):
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        seen = int(request.query.get("resourceVersion") or 0)
        with suppress(ConnectionError, asyncio.CancelledError):
            while True:
                async with self.news:
                    while len(self.events) <= seen:
                        await self.news.wait()
                about, event = self.events[seen]
                seen += 1
                if about == plural and chosen(event["object"]):
                    await response.write(json.dumps(event).encode() + b"\n")
        return response

    # ---- its one node

    async def deploy(self, deployment):
        template, meta = deployment["spec"]["template"], deployment["metadata"]
        owner = {"uid": meta["uid"], "name": meta["name"], "kind": "Deployment"}
        pod = {
            "metadata": {
                "name": f"{meta['name']}-{uuid.uuid4().hex[:5]}",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{**owner, "apiVersion": "apps/v1"}],
            },
            "spec": json.loads(json.dumps(template["spec"])),
            "status": {"phase": "Pending"},
        }
        await self.create("pods", meta["namespace"], pod, "", "v1")
        self.pods[pod["metadata"]["name"]] = asyncio.create_task(self.keep(pod))

    async def keep(self, pod):
        """Run the process of a pod, again when it ends, until it is cancelled."""
        container = pod["spec"]["containers"][0]
        if container["image"].startswith("missing"):
            await self.say(pod, "Pending", waiting="ImagePullBackOff")
            return
        set_here = {entry["name"]: entry["value"] for entry in container.get("env", [])}
        words = [*container["command"], *container.get("args", [])]
        for name, value in set_here.items():
            words = [word.replace(f"$({name})", value) for word in words]
        if container["name"] == "scheduler":  # it has no network of its own here
            words += ["--port", str(self.ports[0]), "--dashboard-address", f":{self.ports[1]}"]
        words[0] = str(Path(sys.executable).parent / words[0])
        file = self.folder / f"{pod['metadata']['name']}.log"
        while True:
            with file.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *words, env={**self.environment, **set_here}, stdout=log, stderr=log
                )
            try:
                await self.say(pod, "Running", ready=container["name"] != "scheduler")
                if container["name"] == "scheduler":
                    await asyncio.to_thread(self.wait_until_healthy)
                    await self.say(pod, "Running", ready=True)
                await process.wait()
            finally:
                with suppress(ProcessLookupError):
                    process.terminate()
                while process.returncode is None:  # ended twice, it still is waited for
                    with suppress(asyncio.CancelledError):
                        await process.wait()

    def wait_until_healthy(self):
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/health", timeout=1)
                return
            threading.Event().wait(0.1)

    async def say(self, pod, phase, *, ready=False, waiting=None):
        kinds = ("Ready", "ContainersReady")
        pod["status"] = {
            "phase": phase,
            "conditions": [{"type": kind, "status": str(ready)} for kind in kinds],
            "containerStatuses": [{"state": {"waiting": {"reason": waiting}} if waiting else {}}],
        }
        await self.tell("pods", "MODIFIED", pod)

    # ---- for tests

    def names(self, plural):
        return [name for (kind, _, name) in list(self.objects) if kind == plural]


def _groups():
    groups = [(group, version) for group, version in KINDS if group]
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version} for group, version in groups
    ]
    return [
        {"name": group, "versions": [version], "preferredVersion": version}
        for (group, _), version in zip(groups, versions, strict=True)
    ]


def _resources(group, version):
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return {
        "kind": "APIResourceList",
        "groupVersion": f"{group}/{version}".strip("/"),
        "resources": [
            {
                "name": plural,
                "singularName": kind.lower(),
                "kind": kind,
                "namespaced": kind != "Namespace",
                "verbs": verbs,
            }
            for plural, kind in KINDS[group, version].items()
        ],
    }


def _chooser(namespace, query):
    """Tell objects of a namespace, labels and fields."""
    labels = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
    fields = [part.split("=") for part in query.get("fieldSelector", "").split(",") if part]

    def chosen(found):
        meta = found["metadata"]
        if namespace not in (None, meta.get("namespace")):
            return False
        if any((meta.get("labels") or {}).get(name) != value for name, value in labels):
            return False
        return all(_field(found, name.split(".")) == value for name, value in fields)

    return chosen


def _field(found, path):
    for name in path:
        found = (found or {}).get(name)
    return found


def _merge(into, patch):
    for name, value in patch.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refusal(code, why):
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": why, "code": code}
    return web.json_response(said, status=code)


@contextmanager
def kubernetes(folder, *, operator=True) -> Iterator[Kubernetes]:
    """Start a cluster, with the operator or without."""
    ready, over = threading.Event(), None
    loop = asyncio.new_event_loop()
    cluster = None

    async def serve():
        nonlocal cluster, over
        cluster, over = Kubernetes(folder), asyncio.Event()
        runner = web.ServerRunner(web.Server(cluster.serve), shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", cluster.api).start()
        ready.set()
        await over.wait()
        for task in cluster.pods.values():
            task.cancel()
        await asyncio.gather(*cluster.pods.values(), return_exceptions=True)
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # watches
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(30)
    process = None
    try:
        if operator:
            words = [sys.executable, "-m", "kopf", "run", "--all-namespaces", "--standalone"]
            words += ["-m", "dask_kubernetes.operator.controller.controller"]
            with (folder / "operator.log").open("wb") as log:
                process = subprocess.Popen(
                    words, env=cluster.environment, stdout=log, stderr=log, cwd=folder
                )
        yield cluster
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()
