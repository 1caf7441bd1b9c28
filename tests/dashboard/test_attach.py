"""Where the page is: the address that is printed has to be the real one."""

import logging
import subprocess
import sys

import pytest
from dashboard.builders import made, start, wait_for
from distributed import Client, LocalCluster

from stemscale.dashboard import TOPIC, attach
from stemscale.dashboard.attach import page_link
from stemscale.dashboard.board import Board
from stemscale.dashboard.plugin import DashboardPlugin


@pytest.mark.parametrize(
    ("link", "host", "port", "expected"),
    [
        ("http://127.0.0.1:8787/status", "127.0.0.1", 8787, "http://127.0.0.1:8787/stemscale"),
        # a scheduler on the network of its nodes, its dashboard on loopback
        ("http://10.0.0.5:8787/status", "127.0.0.1", 8787, "http://127.0.0.1:8787/stemscale"),
        ("http://10.0.0.5:8787/status", "0.0.0.0", 8787, "http://10.0.0.5:8787/stemscale"),
        ("http://10.0.0.5:8787/status", "::", 8787, "http://10.0.0.5:8787/stemscale"),
        ("http://localhost:8787/status", "::1", 8787, "http://[::1]:8787/stemscale"),
        # a tunnel, and a proxy
        ("http://localhost:4000/status", "10.1.1.1", 8787, "http://localhost:4000/stemscale"),
        (
            "https://hub.org/user/me/proxy/8787/status",
            "127.0.0.1",
            8787,
            "https://hub.org/user/me/proxy/8787/stemscale",
        ),
    ],
)
def test_the_link_leads_to_where_the_dashboard_listens(link, host, port, expected):
    assert page_link(link, {"host": host, "port": port}) == expected


@pytest.fixture
def scheduler():
    options = {"n_workers": 0, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.mark.cluster
def test_a_scheduler_of_another_version_goes_on_without_the_page(scheduler, monkeypatch, caplog):
    versions = iter(["0.0.1", "2"])  # of the driver, and of the scheduler
    monkeypatch.setattr("stemscale.dashboard.plugin.version", lambda name: next(versions))
    with caplog.at_level(logging.WARNING, logger="stemscale"):
        assert attach(scheduler) == scheduler.dashboard_link
    assert "the scheduler has stemscale 2, and this is 0.0.1: install the same" in caplog.text


_WITHOUT = """
import sys
sys.modules["stemscale"] = None
from distributed.cli.dask_scheduler import main
main()
"""


@pytest.mark.cluster
def test_a_scheduler_without_stemscale_goes_on_without_the_page(tmp_path, caplog):
    file = tmp_path / "scheduler.json"
    words = ["--scheduler-file", file, "--host", "127.0.0.1", "--port", "0"]
    words += ["--dashboard-address", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-c", _WITHOUT, *map(str, words)], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: file.is_file() and file.read_text())
        with (
            Client(scheduler_file=str(file), set_as_default=False) as client,
            caplog.at_level(logging.WARNING, logger="stemscale"),
        ):
            assert attach(client) == client.dashboard_link
    finally:
        process.terminate()
        process.wait(30)
    assert "the scheduler shows no stemscale page" in caplog.text
    assert "stemscale" in caplog.records[-1].args[0].name


def test_the_log_of_a_scheduler_keeps_one_picture_alone():
    plugin = DashboardPlugin()
    plugin.board = Board()
    plugin.log_event(TOPIC, start())
    events = [made(i, picture={"frame": 8 * i, "before": "", "after": ""}) for i in range(3)]
    for event in events:
        plugin.log_event(TOPIC, event)
    assert [event["picture"] is None for event in events] == [True, True, False]
    assert plugin.board.shown().picture["frame"] == 16


@pytest.mark.cluster
def test_a_second_driver_finds_the_page_of_the_first(scheduler):
    first = attach(scheduler)
    with Client(scheduler.scheduler.address, set_as_default=False) as other:
        assert attach(other) == first == scheduler.dashboard_link.replace("status", "stemscale")
