"""The local cluster: who listens, who survives, how torch is set."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from stemscale.clusters import connect, worker_device
from stemscale.errors import ProcessingError, SettingsError

pytestmark = pytest.mark.cluster


def test_nothing_listens_but_on_loopback(client):
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    found = [c for p in family for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(found) >= 5  # scheduler, dashboard, and each worker and its nanny
    assert {c.laddr.ip for c in found} <= {"127.0.0.1", "::1"}


def test_the_workers_share_the_cores_of_the_machine(client):
    threads = client.run(torch.get_num_threads)
    assert sum(threads.values()) <= max(2, len(os.sched_getaffinity(0)))
    assert set(client.run(worker_device).values()) == {"cpu"}


def test_a_worker_that_dies_is_replaced_and_set_up_alike():
    with connect("local", workers=1, devices=("meta",)) as one:  # any device that torch knows
        (first,) = one.run(os.getpid).values()
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 60
        while (pids := _run_or_none(one, os.getpid)) in ({}, None) or first in pids.values():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert set(one.run(worker_device).values()) == {"meta"}


def _run_or_none(client, function):
    try:
        return client.run(function)
    except (OSError, ValueError):  # it is just going
        return None


def test_an_address_where_no_scheduler_is_is_named():
    refused = pytest.raises(ProcessingError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9 ")
    with refused, connect("tcp://127.0.0.1:9"):
        pass


def test_several_gpus_without_dask_cuda_name_the_remedy(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("stemscale.clusters.local.import_module", missing)
    refused = pytest.raises(SettingsError, match=r"pip install \"stemscale\[gpu\]\"")
    with refused, connect("local", devices=("cuda:0", "cuda:1")):
        pass


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "analyse.py"
    script.write_text(
        'from stemscale.clusters import connect\nwith connect("local", workers=1):\n    pass\n'
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
