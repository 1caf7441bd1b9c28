"""What a scheduler is told of real runs, and what Prometheus gets to know of them."""

import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import dask
import numpy as np
import pytest
from dashboard.builders import scrape, wait_for
from dashboard.test_picture import opened

import stemscale
from stemscale.clusters import connect
from stemscale.dashboard import TOPIC
from stemscale.pipeline import BlockDone, RunStarted
from stemscale.pipeline.engine import run_blocks
from stemscale.store import AcquisitionStore, FramesArray

pytestmark = pytest.mark.cluster

X, Y = "fov01/filtered/x", "fov02/filtered/x"


@pytest.fixture(scope="module")
def client():
    # the scheduler's own log of events is too short for any run
    short = dask.config.set({"distributed.admin.low-level-log-length": 3})
    with short, connect("local", workers=2) as ready:
        yield ready


@pytest.fixture
def told(client):
    events = []
    client.subscribe_topic(TOPIC, lambda event: events.append((time.monotonic(), event[1])))
    yield events
    client.unsubscribe_topic(TOPIC)


def of_kind(told, kind):
    wait_for(lambda: any(event["kind"] == "end" for _, event in told))
    found = [event for _, event in told if event["kind"] == kind]
    told.clear()
    return found


def blocks(events):
    return Counter((e["series"], e["block"], e["status"]) for e in events)


def test_each_block_made_is_told_once_and_none_that_was_there(store, client, told):
    stemscale.process(store, filter="gaussian", name="x", client=client)
    events = of_kind(told, "block")
    assert blocks(events) == dict.fromkeys(
        ((group, block, "done") for group in (X, Y) for block in range(3)), 1
    )
    last = next(e for e in events if (e["series"], e["block"]) == (X, 2))
    assert (last["start"], last["stop"], last["frames"]) == (8, 11, 3)
    assert {"read", "correct", "filter", "write"} <= last["seconds"].keys()
    with AcquisitionStore(store).dataset(X) as made:
        np.testing.assert_allclose(last["psnr"], made.psnr.values[8:], rtol=1e-6)
        np.testing.assert_allclose(last["psnr_rapid"], made.psnr_rapid.values[8:], rtol=1e-6)
    AcquisitionStore(store).ledger(X).forget(1)
    stemscale.process(store, filter="gaussian", name="x", client=client)
    assert blocks(of_kind(told, "block")) == {(X, 1, "done"): 1}
    stemscale.process(store, filter="gaussian", name="x", client=client)
    assert blocks(of_kind(told, "block")) == {}


def test_one_scrape_of_the_scheduler_has_the_totals(store, client):
    done = stemscale.process(store, filter="gaussian", name="x", client=client)
    found = scrape(client.dashboard_link)
    assert done.frames == 22
    for group in (X, Y):
        assert found["stemscale_frames_done_total", group] == 11
        assert found["stemscale_frames_failed_total", group] == 0
        assert found["stemscale_frames_left", group] == 0
        assert found["stemscale_eta_seconds", group] == 0
        assert found["stemscale_frames_per_second", group] == 0  # it is over
        with AcquisitionStore(store).dataset(group) as made:
            psnr = float(made.psnr.mean())
        assert found["stemscale_psnr_db", group] == pytest.approx(psnr, rel=1e-5)
    store = AcquisitionStore(store)
    for step in ("read", "filter"):
        spent = sum(r.seconds[step] for r in store.ledger(X).records().values())
        assert found["stemscale_step_seconds_total", X, step] == pytest.approx(spent)
    assert found["stemscale_step_seconds_total", X, "write"] > 0


def test_frames_that_fail_and_damaged_ones_are_counted(store, client, told):
    shard = AcquisitionStore(store).frames("fov02/rapid").shard(1)
    shard.write_bytes(shard.read_bytes()[:-7])
    client.run(_break_block, 2)
    try:
        done = stemscale.process(store, filter="none", name="x", client=client)
    finally:
        client.run(_mend)
    assert done.failed == {"fov01": [8, 9, 10], "fov02": [8, 9, 10]}
    assert done.damaged == {"fov02": [4, 5, 6, 7]}
    found = scrape(client.dashboard_link)
    assert found["stemscale_frames_failed_total", X] == 3
    assert found["stemscale_frames_failed_total", Y] == 7
    assert found["stemscale_frames_done_total", Y] == 4
    assert found["stemscale_frames_left", Y] == 0
    said = blocks(of_kind(told, "block"))
    assert said[X, 2, "failed"] == said[Y, 2, "failed"] == said[Y, 1, "damaged"] == 1
    stemscale.process(store, filter="none", name="x", client=client)  # failed ones stay so
    assert scrape(client.dashboard_link)["stemscale_frames_failed_total", Y] == 7


def _break_block(block):
    FramesArray.whole = FramesArray.write

    def write(array, index, frames):
        if index == block:
            raise ValueError("no such luck")
        return array.whole(index, frames)

    FramesArray.write = write


def _mend():
    FramesArray.write = FramesArray.whole


def test_a_picture_travels_at_most_once_a_second(long_store, client, told):
    began = time.monotonic()
    stemscale.process(long_store, filter="none", name="pictures", client=client, overwrite=True)
    took = time.monotonic() - began
    wait_for(lambda: told[-1][1]["kind"] == "end")
    shown = [(t, e["picture"]) for t, e in told if e.get("picture")]
    assert len(told) == 402
    assert 1 <= len(shown) <= took + 1
    assert all(b - a > 0.95 for (a, _), (b, _) in pairwise(shown))
    picture = shown[-1][1]
    assert opened(picture["before"]).mode == opened(picture["after"]).mode == "L"
    assert max(opened(picture["before"]).size) <= 192


_DRIVER = """
import sys
from stemscale_cli.app import main
main()
"""


def test_a_driver_that_was_killed_and_started_again_shows_right_numbers(long_store, client):
    group = "fov01/filtered/k"
    address = client.scheduler.address
    words = ["process", long_store, "--filter", "gaussian", "--name", "k", "--scheduler", address]
    process = subprocess.Popen([sys.executable, "-c", _DRIVER, *map(str, words)])
    key = ("stemscale_frames_done_total", group)
    wait_for(lambda: scrape(client.dashboard_link).get(key, 0) >= 40 or process.poll())
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: scrape(client.dashboard_link)["stemscale_frames_per_second", group] == 0)
    before = scrape(client.dashboard_link)[key]
    assert before < 1600
    events = []
    stemscale.process(
        long_store, filter="gaussian", name="k", client=client, listener=events.append
    )
    found = scrape(client.dashboard_link)
    assert found[key] == 1600
    assert found["stemscale_frames_left", group] == 0
    made = client.run_on_scheduler(_frames_made)
    assert made == sum(e.frames for e in events if isinstance(e, BlockDone))
    assert made == next(e.frames for e in events if isinstance(e, RunStarted)) < 1600


def _frames_made(dask_scheduler):
    return dask_scheduler.plugins["stemscale-dashboard"].board.shown().frames_made


def test_dask_groups_the_tasks_by_what_is_done_to_which_series(store, client):
    stemscale.process(store, filter="gaussian", name="y", client=client)
    stemscale.process(store, filter="none", name="z", client=client)
    seen = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
    names = {f"{verb} {fov}" for verb in ("denoise", "correct") for fov in ("fov01", "fov02")}
    assert names <= seen


def test_two_drivers_with_blocks_of_one_name_do_not_get_each_others(client, tmp_path):
    """Of two stores, say, on one scheduler: each block is made for the one that asked for it."""
    from pipeline.blocks import Work, make

    with connect(client.scheduler.address) as other:
        runs = []
        for of, folder in ((client, "a"), (other, "b")):
            (tmp_path / folder).mkdir()
            works = [Work(i, str(tmp_path / folder), fov="a-1") for i in range(6)]
            runs.append(run_blocks(of, make, works, lambda event: None))
        for _ in range(6):
            for run in runs:
                next(run)
        for run in runs:
            run.close()
    assert all(len(list((tmp_path / folder).glob("*.try"))) == 6 for folder in "ab")
    seen = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
    assert "make a\N{NON-BREAKING HYPHEN}1" in seen
