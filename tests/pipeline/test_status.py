import json
import os
import shutil

import pytest
from pipeline.builders import N_FRAMES
from typer.testing import CliRunner

import stemscale
from stemscale.store import AcquisitionStore, hold_lease, ledger_root
from stemscale_cli.app import app

pytestmark = pytest.mark.cluster

GROUP = "fov01/filtered/none"


def state_of(store, name="none", fov="fov01"):
    return next(s for s in stemscale.status(store) if (s.fov, s.name) == (fov, name))


def test_a_store_that_was_only_ingested_is_complete(store):
    assert {(s.name, s.state, s.done, s.left) for s in stemscale.status(store)} == {
        ("rapid", "complete", N_FRAMES, 0)
    }


def test_a_run_tells_how_far_it_is_while_it_runs(calibrated, client):
    seen = []

    def look(event):
        if type(event).__name__ == "BlockDone" and event.fov == "fov01":
            seen.append(state_of(calibrated))

    stemscale.process(calibrated, filter="none", client=client, listener=look)
    assert {s.state for s in seen} == {"running"}
    assert seen[-1].done >= seen[0].done > 0
    assert seen[0].driver["pid"] == os.getpid()
    after = state_of(calibrated)
    assert (after.state, after.done, after.driver) == ("complete", N_FRAMES, None)


def test_a_run_that_died_is_told_from_one_that_ended_early(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    store = AcquisitionStore(calibrated)
    store.set_attrs(GROUP, {"state": "partial"})
    store.ledger(GROUP).forget(1)
    short = state_of(calibrated)
    assert (short.state, short.done, short.left) == ("partial", 7, 4)
    assert short.psnr > 10
    lease = store.ledger(GROUP).lease_file
    with hold_lease(lease, what="x"):
        dead = json.loads(lease.read_text()) | {"pid": 2**22 + 1}
    lease.write_text(json.dumps(dead))
    assert state_of(calibrated).state == "interrupted"


def test_a_copy_without_its_ledger_tells_the_same(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    shutil.rmtree(ledger_root(calibrated))
    assert state_of(calibrated).done == N_FRAMES


def test_the_command_prints_a_table_or_json(calibrated, client):
    stemscale.process(calibrated, filter="none", client=client)
    table = CliRunner().invoke(app, ["status", str(calibrated)])
    assert table.exit_code == 0
    assert table.stdout.splitlines()[2].split() == ["fov01", "none", "complete", "11", "0"]
    as_json = CliRunner().invoke(app, ["status", str(calibrated), "--json"])
    assert [s["state"] for s in json.loads(as_json.stdout)["series"]] == ["complete"] * 4
