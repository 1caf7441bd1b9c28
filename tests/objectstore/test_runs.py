"""A store in an object store is used by its URL, by every verb, and outlasts a bad server."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import xarray as xr
from faults.builders import GROUP, make_scene, recorded, wait_for_blocks
from objectstore.server import BadLine, bad_line
from obstore.store import S3Store
from typer.testing import CliRunner
from zarr.storage import ObjectStore

import stemscale
from stemscale.clusters import connect
from stemscale.errors import StoreConflictError
from stemscale.store import (
    AcquisitionStore,
    ObjectPath,
    check_epoch,
    hold_lease,
    lease,
    lease_holder,
    ledger_root,
    object_path,
)
from stemscale_cli.app import app

pytestmark = [pytest.mark.s3, pytest.mark.cluster]


def run(*words):
    """Run a command of the CLI in this process: starting one for each takes minutes."""
    done = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"), frames=161, block=4)


@pytest.fixture
def store(scene, bucket):
    """URL of a store that is ingested as the scene's local one."""
    url = f"{bucket}/run.zarr"
    stemscale.ingest(url, scene.store.parent / "fov01.tif", block=4)
    return url


def frames_of(store, group=GROUP):
    frames = AcquisitionStore(store).frames(group)
    return frames.read(0, frames.shape[0])


def assert_as_local(store, scene):
    assert np.array_equal(frames_of(store), frames_of(scene.whole))
    assert stemscale.verify(store).damage == []


def test_every_verb_makes_of_a_url_what_it_makes_of_a_folder(bucket, server, tmp_path):
    run("simulate", tmp_path / "sim", "--fovs", 1, "--frames", 24, "--size", 64)
    here, there = tmp_path / "run.zarr", f"{bucket}/run.zarr"
    for store in (here, there):
        run("ingest", store, "--manifest", tmp_path / "sim" / "fovs.csv", "--quiet")
        run("calibrate", store, "--quiet")
        run("process", store, "--filter", "gaussian", "--name", "g", "--quiet")
        run("process", store, "--filter", "none", "--drift", "--name", "d", "--quiet")
        run("summarize", store)
        assert "0 things damaged" in run("verify", store, "--quiet")
        name = "there" if store == there else "here"
        run("report", store, "--output", tmp_path / f"{name}.html")
        run("export", store, "--filtered", "g", "--to", tmp_path / f"{name}.tif")
        filters = ("--filter", "d", "--filter", "g")
        run("movie", store, *filters, "--output", tmp_path / f"{name}.gif", "--quiet")
        assert "24" in run("status", store)
    told = [json.loads(run("info", s, "--json")) for s in (here, there)]
    # Shards are packed by other code, so they differ in length; nothing else does.
    said = [json.dumps(t["fovs"]["fov01"]["per_frame"]) for t in told]
    assert said[0] == said[1]
    assert told[1]["store"] == there
    options = {"client_options": {"allow_http": True}, "endpoint": server.endpoint}
    keys = {"access_key_id": server.key, "secret_access_key": server.secret, "region": "us-east-1"}
    plain = S3Store.from_url(there, **options, **keys)
    with (
        xr.open_datatree(str(here), engine="zarr") as expected,
        xr.open_datatree(ObjectStore(plain, read_only=True), engine="zarr") as found,
    ):
        assert [n.path for n in found.subtree] == [n.path for n in expected.subtree]
        for node in expected.subtree:
            for name, variable in node.dataset.variables.items():
                if not name.startswith("block_"):
                    np.testing.assert_array_equal(found[node.path].dataset[name], variable)
    pages = [(tmp_path / f"{n}.html").stat().st_size for n in ("here", "there")]
    assert pages[0] == pytest.approx(pages[1], rel=0.01)
    tiffs = [(tmp_path / f"{n}.tif").read_bytes() for n in ("here", "there")]
    assert (tmp_path / "here.gif").read_bytes() == (tmp_path / "there.gif").read_bytes()
    assert tiffs[0] == tiffs[1].replace(there.encode(), str(here).encode())


def test_a_filter_file_is_found_by_workers_in_the_object_store(scene, store):
    scene.run(store)
    assert_as_local(store, scene)
    assert scene.run(store).stdout.startswith(f"{store}: 0 frames to filtered/x")


def test_a_server_that_is_away_for_half_a_minute_makes_a_run_pause(scene, store, server):
    process = subprocess.Popen(scene.command(store), stderr=subprocess.PIPE, text=True)
    try:
        wait_for_blocks(process, store, 6)
        before = recorded(store)
        server.kill()
        time.sleep(30)
    finally:
        server.start()
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "does not answer" in said
    after = recorded(store)
    assert {i: after[i] for i in before} == before
    assert_as_local(store, scene)


def test_refused_slow_and_lost_answers_change_nothing(scene, bucket, server, monkeypatch):
    line = BadLine(seed=3)
    with bad_line(server, line) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        object_path._client.cache_clear()
        store = f"{bucket}/run.zarr"
        stemscale.ingest(store, scene.store.parent / "fov01.tif", block=16)
        scene.run(store)
        assert np.array_equal(frames_of(store), frames_of(scene.whole))
        run("verify", store, "--quiet")
        object_path._client.cache_clear()
    assert min(line.happened[k] for k in ("passed", "refused", "cut", "slow")) > 0


def test_a_driver_that_was_killed_is_gone_on_with(scene, store):
    process = subprocess.Popen(scene.command(store), stderr=subprocess.PIPE, text=True)
    wait_for_blocks(process, store, 5)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(5)  # its workers live on for a moment, and may still record
    before = recorded(store)
    scene.run(store)
    after = recorded(store)
    assert {i: after[i] for i in before} == before
    assert_as_local(store, scene)


def test_of_two_drivers_one_writes_and_the_other_is_told(scene, store):
    held = AcquisitionStore(store).ledger(GROUP).lease_file
    with hold_lease(held, what="the frames"):
        assert "is being written by process" in scene.run(store, expect=1).stderr
    scene.run(store)
    assert_as_local(store, scene)


def test_a_renewal_whose_answer_was_lost_still_counts(bucket, monkeypatch):
    file = ObjectPath(bucket) / "lease.json"
    put = ObjectPath.put_if

    def unheard(path, content, e_tag):
        put(path, content, e_tag)
        return put(path, content, e_tag)  # as obstore does after a 503

    with hold_lease(file, what="the frames") as epoch:
        mine = json.loads(file.read_bytes())
        monkeypatch.setattr(ObjectPath, "put_if", unheard)
        assert lease._renew(file, {**mine, "heartbeat": time.time()})
        monkeypatch.setattr(ObjectPath, "put_if", put)
        assert lease.current_epoch(file) == epoch


def test_the_lease_is_given_up_by_whoever_lost_it(bucket):
    file = ObjectPath(bucket) / "lease.json"
    with hold_lease(file, what="the frames") as epoch:
        check_epoch(file, epoch, what="the frames")
        lapsed = {**json.loads(file.read_bytes()), "pid": 1, "host": "elsewhere", "heartbeat": 0}
        file.write_bytes(json.dumps(lapsed).encode())
        with hold_lease(file, what="the frames") as next_epoch:
            assert next_epoch == epoch + 1
            with pytest.raises(StoreConflictError, match="late write was turned away"):
                check_epoch(file, epoch, what="the frames")
    assert json.loads(file.read_bytes())["epoch"] == epoch + 1
    assert lease_holder(file) is None


def test_objects_changed_or_lost_are_found_and_made_again(scene, store):
    scene.run(store)
    frames = AcquisitionStore(store).frames(GROUP)
    content = bytearray(frames.shard(2).read_bytes())
    content[len(content) // 2] ^= 4
    frames.shard(2).write_bytes(bytes(content))
    frames.shard(7).unlink()
    raw = AcquisitionStore(store).frames("fov01/rapid")
    raw.shard(3).unlink()
    found = {(d.group, d.block) for d in stemscale.verify(store).damage}
    assert found == {(GROUP, 2), (GROUP, 7), ("fov01/rapid", 3)}
    stemscale.ingest(store, scene.store.parent / "fov01.tif", block=4)
    assert "8 frames to filtered/x" in scene.run(store).stdout
    assert_as_local(store, scene)


def everything_below(path):
    return {str(p): p.read_bytes() for p, _ in path.walk()}


def test_no_secret_is_in_store_ledger_log_or_task(scene, store, server, monkeypatch, caplog):
    planted = "planted-" + server.secret
    monkeypatch.setenv("STEMSCALE_PLANTED", planted)
    verb, *rest = scene.command(store)[3:]
    debug = [*scene.command(store)[:3], "--debug", verb, *rest]
    done = subprocess.run(debug, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sent = []
    import distributed.protocol.pickle as pickles

    dumps = pickles.dumps

    def recording(x, **more):
        made = dumps(x, **more)
        sent.append(made)
        return made

    monkeypatch.setattr(pickles, "dumps", recording)
    with connect("local", workers=1) as client:
        made = stemscale.process(store, filter="gaussian", client=client)
        held = repr(client.get_events())
    assert made.frames == 161
    assert any(b"BlockTask" in content for content in sent)
    at = ObjectPath(store)
    files = everything_below(at) | everything_below(ledger_root(at))
    assert len(files) > 100
    everything = [
        done.stdout.encode(),
        done.stderr.encode(),
        caplog.text.encode(),
        held.encode(),
        *sent,
        *files.values(),
    ]
    for secret in (server.secret, server.key, planted):
        assert [c[:200] for c in everything if secret.encode() in c] == []
