"""Prometheus and Grafana: what they ask for is there."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from stemscale.dashboard.board import Board
from stemscale.dashboard.metrics import FiguresCollector

FOLDER = Path(__file__).parents[2] / "deploy/monitoring"
OURS = {
    f"{metric.name}_total" if metric.type == "counter" else metric.name
    for metric in FiguresCollector(Board()).collect()
}


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((FOLDER / "grafana/dashboard.json").read_text())


def queries(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """What a real scheduler tells."""
    folder = tmp_path_factory.mktemp("scheduler")
    file = folder / "scheduler.json"
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file)]
    words += ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while not file.is_file() or not file.read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        port = json.loads(file.read_text())["services"]["dashboard"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()
    finally:
        process.terminate()
        process.wait(30)


def test_every_panel_asks_for_metrics_that_there_are(dashboard, scraped):
    there = OURS | set(re.findall(r"^(dask_\w+)", scraped, re.MULTILINE))
    for query in [*queries(dashboard), str(dashboard["templating"])]:
        named = re.findall(r"\b(?:stemscale|dask)_\w+", query)
        assert named
        assert set(named) <= there
    assert set(re.findall(r"stemscale_\w+", str(queries(dashboard)))) == OURS


@pytest.mark.prometheus
def test_every_query_is_promql(dashboard, tmp_path):
    rules = [
        {"record": f"r{i}", "expr": q.replace("$__rate_interval", "1m").replace("$series", ".*")}
        for i, q in enumerate(queries(dashboard))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.prometheus
def test_prometheus_takes_its_configuration():
    words = ["promtool", "check", "config", "--lint-fatal", FOLDER / "prometheus.yml"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_panels_have_a_place_of_their_own_and_the_source_that_is_provided(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    (source,) = yaml.safe_load((FOLDER / "grafana/datasource.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
