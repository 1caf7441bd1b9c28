"""A scheduler and workers that are started elsewhere: with TLS, and as they should not be."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest
import trustme
from distributed import Client
from elsewhere import elsewhere, machines, why_no_machines

import stemscale
from stemscale.clusters import Tls, connect
from stemscale.errors import ProcessingError, SettingsError

pytestmark = pytest.mark.cluster


@pytest.fixture
def tls(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = ca.issue_cert("127.0.0.1")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    (pem,) = mine.cert_chain_pems
    pem.write_to_path(tmp_path / "cert.pem")
    return Tls(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")


def as_options(tls):
    return ["--tls-ca", tls.ca, "--tls-cert", tls.cert, "--tls-key", tls.key]


def as_dask_options(tls):
    return ["--protocol", "tls", "--tls-ca-file", tls.ca, *as_options(tls)[2:]]


def test_workers_elsewhere_with_tls_make_the_same_and_nobody_without_gets_in(
    calibrated, client, frames_of, tls, tmp_path
):
    stemscale.process(calibrated, filter="gaussian", name="here", client=client)
    with ExitStack() as stack:
        hosts, inside = ["127.0.0.1"], [[]]
        if not why_no_machines():  # each a network namespace, else all on loopback
            hosts, inside = stack.enter_context(machines(3))
        place = elsewhere(tmp_path, *as_dask_options(tls), hosts=hosts, inside=inside)
        address = stack.enter_context(place).address
        assert address.startswith("tls://")
        here = [*inside[0], sys.executable, "-c"]  # on the machine of the scheduler
        words = ["process", calibrated, "--filter", "gaussian", "--name", "there", "--json"]
        words += ["--scheduler", address, *as_options(tls)]
        code = "from stemscale_cli.app import main; main()"
        done = subprocess.run([*here, code, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "complete"
        for naked in (address, address.replace("tls://", "tcp://")):
            code = f"from distributed import Client; Client({naked!r}, timeout='3s')"
            assert subprocess.run([*here, code], capture_output=True).returncode == 1
        with pytest.raises(SettingsError, match="--tls-cert and --tls-key go with"):
            connect(address).__enter__()
    for fov in ("fov01", "fov02"):
        made, expected = (frames_of(calibrated, f"{fov}/filtered/{n}") for n in ("there", "here"))
        np.testing.assert_array_equal(made, expected)


def test_an_idle_timeout_ends_no_run_but_what_a_driver_left(tmp_path):
    with elsewhere(tmp_path, "--idle-timeout", "8s", workers=0) as there:
        with connect(there.address):
            time.sleep(14)
            assert there.scheduler.poll() is None
        assert there.scheduler.wait(60) == 0


def test_workers_of_another_version_are_named(tmp_path, monkeypatch):
    with elsewhere(tmp_path, workers=1) as there:
        address = there.address
        with Client(address, set_as_default=False) as watching:
            watching.wait_for_workers(1, timeout=60)
        monkeypatch.setattr("stemscale.clusters.worker.version", lambda name: "0.0.1")
        with pytest.raises(
            ProcessingError, match=r"has stemscale .*, and this is 0\.0\.1: install"
        ):
            connect(address).__enter__()


def test_a_worker_of_another_version_that_joins_later_is_sent_away(tmp_path):
    other = tmp_path / "other" / "stemscale-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: stemscale\nVersion: 0.0.1\n")
    path = os.pathsep.join(filter(None, (str(other.parent), os.environ.get("PYTHONPATH"))))
    with elsewhere(tmp_path, workers=1) as there:
        with Client(there.address, set_as_default=False) as watching:
            watching.wait_for_workers(1, timeout=60)
        with connect(there.address) as client:
            late = there.add_worker(PYTHONPATH=path)
            assert late.wait(60) is not None
            assert len(client.nthreads()) == 1
            assert "has stemscale 0.0.1, and this is" in there.log()
            there.add_worker()
            client.wait_for_workers(2, timeout=60)


def test_certificates_that_do_not_belong_together_are_named(tls, tmp_path):
    with pytest.raises(SettingsError, match="does not exist"):
        Tls(ca=tmp_path / "none.pem", cert=tls.cert, key=tls.key).security()
    with pytest.raises(SettingsError, match="check which file is which"):
        Tls(ca=tls.ca, cert=tls.key, key=tls.cert).security()


@pytest.mark.parametrize("more", [{"workers": 2}, {"device": "cpu"}])
def test_options_of_local_workers_are_refused_elsewhere(calibrated, more):
    with pytest.raises(SettingsError, match="--workers and --device are for local workers"):
        stemscale.process(calibrated, filter="none", scheduler="tcp://127.0.0.1:9", **more)


@pytest.mark.parametrize(
    "scheduler", ["slurm", "kubernetes", "tls://127.0.0.1:9", "tcp://127.0.0.1:9"]
)
def test_a_place_that_cannot_be_reached_costs_no_output(calibrated, client, frames_of, scheduler):
    stemscale.process(calibrated, filter="none", name="x", client=client)
    before = frames_of(calibrated, "fov01/filtered/x")
    said = r"go together|and it with them|no scheduler answers"
    with pytest.raises((SettingsError, ProcessingError), match=said):
        stemscale.process(
            calibrated, filter="gaussian", name="x", overwrite=True, scheduler=scheduler
        )
    np.testing.assert_array_equal(frames_of(calibrated, "fov01/filtered/x"), before)
