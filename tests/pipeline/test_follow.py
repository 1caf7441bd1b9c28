"""A series is filtered while it grows: nothing is lost, the newest comes first, and it goes on."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr
from denoising.builders import tiny_filter
from growing import BLOCK, Grower, paced

import stemscale
from stemscale.denoising import save_filter
from stemscale.errors import ProcessingError, SettingsError, StoreError
from stemscale.pipeline import BlockDone, Following, Ready, plan_process
from stemscale.pipeline.block import BlockTask, process_block
from stemscale.pipeline.followed import Followed, FollowedSeries
from stemscale.store import FRAME_STATUS, AcquisitionStore, lengthen, make_growable, rapid_group

pytestmark = pytest.mark.cluster

GROUP = "fov01/filtered/x"


def series(n, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :32]
    clean = 2000 - 600 * np.exp(-(((x - 10 - 0.3 * y) / 2.5) ** 2))
    return rng.poisson(clean, (n, 24, 32)).astype("uint16")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live.zarr"


@pytest.fixture
def filter_file(tmp_path):
    file = tmp_path / "f.safetensors"
    save_filter(tiny_filter(), file)
    return file


@pytest.fixture
def follow(path, client):
    """Follow while a writer is at work, from when workers are ready; give summary and events."""

    def run(write, **asked):
        failures, events, ready = [], [], threading.Event()

        def listen(event):
            events.append(event)
            if isinstance(event, Ready):
                ready.set()

        def work():
            try:
                assert ready.wait(60)
                with Grower(path) as grower:
                    write(grower)
            except BaseException as error:
                failures.append(error)

        writer = threading.Thread(target=work)
        writer.start()
        asked = {"filter": "none", "name": "x", "follow": True, **asked}
        try:
            done = stemscale.process(path, **asked, client=client, listener=listen)
        finally:
            writer.join()
        assert failures == []
        return done, events

    return run


def assert_as_in_one_go(path, client, frames_of, **asked):
    """What was followed is what `process` makes of the whole series, and verifies."""
    again = stemscale.process(path, **asked, name="x", client=client)
    assert (again.frames, again.state) == (0, "complete")
    stemscale.process(path, **asked, name="whole", client=client)
    assert not stemscale.verify(path).damage
    np.testing.assert_array_equal(frames_of(path, GROUP), frames_of(path, "fov01/filtered/whole"))
    with (
        xr.open_zarr(path, group=GROUP) as one,
        xr.open_zarr(path, group="fov01/filtered/whole") as other,
    ):
        xr.testing.assert_equal(one.load(), other.load())


# a rolling average sees neighbours, which have to come first
@pytest.mark.parametrize("asked", [{"filter": "none"}, {"filter": "dcfi", "window": 3}])
def test_what_is_followed_is_what_one_run_makes_of_the_whole(
    follow, path, client, frames_of, asked
):
    def write(grower):
        paced(grower, series(98), per_s=40)
        grower.finish()

    done, events = follow(write, **asked)
    assert (done.frames, done.state, done.failed) == (98, "complete", {})
    assert done.latency.frames > 0
    assert any(isinstance(e, Following) for e in events)
    assert_as_in_one_go(path, client, frames_of, **asked)


@pytest.mark.parametrize("asked", [{"filter": "none"}, {"filter": "dcfi", "window": 3}])
def test_a_short_block_is_made_at_once_and_again_when_it_has_grown(
    follow, path, client, frames_of, asked
):
    made = []

    def write(grower):
        frames = series(25)
        grower.add(frames[:18])
        time.sleep(2.5)  # the microscope pauses
        made.append(AcquisitionStore(path).ledger(GROUP).record(4))
        grower.add(frames[18:19])
        time.sleep(0.3)
        grower.add(frames[19:])
        grower.finish()

    done, events = follow(write, **asked)
    assert done.frames == 25
    assert made[0].stop == 18
    assert sum(isinstance(e, BlockDone) and e.block == 4 for e in events) >= 2
    assert_as_in_one_go(path, client, frames_of, **asked)


def test_the_scale_is_that_of_the_first_frames_and_a_later_run_takes_it(
    follow, path, client, filter_file
):
    frames = series(40)
    frames[16:] //= 2

    def write(grower):
        paced(grower, frames, per_s=80)
        grower.finish()

    done, _ = follow(write, filter=filter_file)
    assert done.frames == 40
    whole = plan_process(path, filter=filter_file, name="whole").series[0].run["scale"]
    mine = AcquisitionStore(path).ledger(GROUP).run()["scale"]
    assert mine["center"] > 1.1 * whole["center"]
    plan = plan_process(path, filter=filter_file, name="x")
    assert (plan.tasks, plan.series[0].run["scale"]) == (0, mine)
    assert plan_process(path, filter=filter_file, name="x", overwrite=True).tasks == 10


def test_the_group_can_be_opened_at_any_time_and_shows_what_came(follow, path):
    seen, failed = [], []
    over = threading.Event()

    def watch():
        while not over.is_set():
            time.sleep(0.02)
            if f"{GROUP}/frame_status" not in (path / "zarr.json").read_text():
                continue
            try:
                with xr.open_zarr(path, group=GROUP) as opened:
                    seen.append((opened.sizes["frame"], opened.frame_status.values.sum()))
                    opened.time.load()
            except (ValueError, KeyError) as error:
                failed.append(error)

    viewer = threading.Thread(target=watch)

    def write(grower):
        viewer.start()
        paced(grower, series(300), per_s=60)
        over.set()
        grower.finish()

    follow(write)
    viewer.join()
    assert len({length for length, _ in seen}) >= 2  # every second, or where that is too often
    assert [s for s, _ in seen] == sorted(s for s, _ in seen)
    assert seen[-1][1] > 16
    assert len(failed) <= 1 + len(seen) // 50, failed


def test_it_ends_when_nothing_has_come_for_long_enough(follow, path):
    def write(grower):
        grower.add(series(18))

    began = time.monotonic()
    done, _ = follow(write, until_idle_s=1.5)
    assert 1.5 < time.monotonic() - began < 15
    assert (done.frames, done.state) == (18, "partial")  # for the series is not complete


def test_without_a_frame_it_says_so(path, client):
    with pytest.raises(ProcessingError, match="no frame of any field of view came"):
        stemscale.process(path, filter="none", follow=True, until_idle_s=0.3, client=client)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"filter": "dcfi"}, "averages the whole series: give --window"),
        ({"filter": "gaussian"}, "is tuned on the series"),
        ({"filter": "none", "drift": True}, "with --drift needs the whole series"),
    ],
)
def test_what_needs_the_whole_series_does_not_follow(path, client, asked, said):
    with pytest.raises(SettingsError, match=said):
        stemscale.process(path, **asked, follow=True, client=client)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"distortion": "typo.zarr"}, "typo.zarr"),
        ({"force": True}, "--force is for a distortion"),
        ({"interpolation": "best"}, "interpolation 'best' is unknown"),
        ({"name": "a/b"}, "a/b"),
    ],
)
def test_what_cannot_be_is_refused_before_a_frame_comes(path, client, asked, said):
    asked = {"filter": "none", **asked}
    with pytest.raises((SettingsError, StoreError), match=said):
        stemscale.process(path, **asked, follow=True, until_idle_s=0.3, client=client)


def test_a_group_that_can_not_be_made_longer_just_now_is_made_so_later(follow, path, monkeypatch):
    tries = []

    def full_at_first(*given, **named):
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return lengthen(*given, **named)

    def write(grower):
        paced(grower, series(40), per_s=10)
        grower.finish()

    monkeypatch.setattr("stemscale.pipeline.follow.lengthen", full_at_first)
    done, _ = follow(write)
    assert (done.frames, done.state) == (40, "complete")
    assert len(tries) >= 2


def test_a_series_that_grows_is_refused_without_follow(path):
    with Grower(path) as grower:
        grower.add(series(8))
    with pytest.raises(StoreError, match="filter it as it grows, with --follow"):
        plan_process(path, filter="none")


@pytest.fixture
def source(path):
    """What is to be made of 40 frames that are there, before anything is."""
    with Grower(path) as grower:
        grower.add(series(40))
        plan = plan_process(path, filter="none", name="x", follow=True).series[0]
        store = AcquisitionStore(path)
        one = FollowedSeries(store, plan, since_ns=0)
        over = []
        yield (
            grower,
            Followed(
                str(path),
                [one],
                {GROUP: 1},
                "",
                is_over=lambda idle, complete: bool(over),
                publish=[],
                listener=lambda event: None,
            ),
            over,
        )


def test_the_newest_blocks_come_first_and_the_rest_as_there_is_time(source):
    grower, source, over = source
    grower.add(series(4))
    assert [t.block for t in source.take(3)] == [10, 9, 8]
    grower.add(series(6))
    assert [t.block for t in source.take(2)] == [12, 11]
    assert [t.frames for t in source.take(0)] == []
    rest = source.take(99)
    assert [t.block for t in rest] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert source.take(1) == []
    assert source.may_come()
    over.append(True)
    assert source.take(1) == []
    assert not source.may_come()


def test_a_block_on_its_way_is_not_given_twice(source):
    grower, source, _ = source
    grower.add(series(2))
    short = source.take(1)[0]
    assert (short.block, short.frames, short.of) == (10, 2, 42)
    grower.add(series(2))
    assert source.take(1)[0].block == 9
    source.made(short, "failed, or not")
    again = source.take(1)[0]
    assert (again.block, again.frames, again.of) == (10, 4, 44)


def task_of(path, block, of):
    plan = plan_process(path, filter="none", name="x", follow=True).series[0]
    from stemscale.pipeline.filtered import lay_out
    from stemscale.pipeline.filters import choose_filter

    store = AcquisitionStore(path)
    lay_out(store, plan, choose_filter("none"))
    return BlockTask(
        store=str(path),
        fov="fov01",
        group=GROUP,
        block=block,
        frames=4,
        fingerprint=plan.run["fingerprint"],
        epoch=0,
        of=of,
    )


def test_a_raw_block_that_is_being_written_anew_is_waited_for(path):
    with Grower(path) as grower:
        grower.add(series(6))
        task = task_of(path, 1, 6)
        ledger = AcquisitionStore(path).ledger(rapid_group("fov01"))
        ledger.forget(1)
        AcquisitionStore(path).frames(rapid_group("fov01")).shard(1).unlink()
        later = threading.Timer(0.5, grower.add, [series(2)])
        later.start()
        record = process_block(task)
        later.join()
    assert (record.start, record.stop, record.status) == (4, 6, [1, 1])
    assert record.input_crc32 == [ledger.record(1).crc32]  # of the block with all four frames


def test_raw_frames_that_are_damaged_are_marked(path, monkeypatch):
    monkeypatch.setattr("stemscale.pipeline.block._REWRITTEN_S", 0.2)
    with Grower(path) as grower:
        grower.add(series(8))
        task = task_of(path, 1, 8)
        shard = AcquisitionStore(path).frames(rapid_group("fov01")).shard(1)
        content = bytearray(shard.read_bytes())
        content[99] ^= 1
        shard.write_bytes(content)
        assert process_block(task).status == [3, 3, 3, 3]


def command(path, filter_file, *more):
    words = ["process", path, "--filter", filter_file, "--name", "x", "--follow", *more]
    code = "from stemscale_cli.app import main; main()"
    return [sys.executable, "-c", code, *map(str, words), "--workers", "1"]


def wait_for(condition, process):
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def blocks_made(path):
    return AcquisitionStore(path).ledger(GROUP).count() if (path / "zarr.json").is_file() else 0


def test_killed_it_goes_on_where_it_was_and_ctrl_c_ends_it_in_order(path, filter_file, tmp_path):
    stop = threading.Event()
    with Grower(path) as grower:
        writer = threading.Thread(
            target=paced, args=(grower, series(4000)), kwargs={"per_s": 40, "stop": stop}
        )
        writer.start()
        try:
            first = subprocess.Popen(command(path, filter_file), stderr=subprocess.PIPE, text=True)
            wait_for(lambda: blocks_made(path) >= 10, first)
            os.kill(first.pid, signal.SIGKILL)
            first.communicate()
            time.sleep(2)  # its worker lives on for a moment, and may still record
            ledger = AcquisitionStore(path).ledger(GROUP)
            before = {i: r.mtime_ns for i, r in ledger.records().items() if r.stop - r.start == 4}
            second = subprocess.Popen(
                command(path, filter_file, "--json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            wait_for(lambda: blocks_made(path) >= len(before) + 15, second)
            os.killpg(second.pid, signal.SIGINT)  # as a terminal does: to workers as well
            said, errors = second.communicate(timeout=60)
        finally:
            stop.set()
            writer.join()
    assert second.returncode == 0, errors
    assert '"median_s"' in said
    assert len(before) >= 9
    after = ledger.records()
    assert {i: after[i].mtime_ns for i in before} == before
    n_frames = AcquisitionStore(path).frames(GROUP).shape[0]
    assert sorted(after) == list(range(-(-n_frames // BLOCK)))  # what had come is all made
    with xr.open_zarr(path, group=GROUP) as opened:
        assert opened.sizes["frame"] == n_frames
        assert (opened.frame_status == 1).all()


def test_tasks_bear_the_verb_of_their_filter(follow, client):
    def begun(dask_scheduler):
        prefix = dask_scheduler.task_prefixes.get("correct fov01")
        return 0 if prefix is None else sum(prefix.state_counts.values())

    def write(grower):
        grower.add(series(5))
        grower.finish()

    before = client.run_on_scheduler(begun)
    follow(write, filter="none")
    assert client.run_on_scheduler(begun) > before


def test_a_series_of_few_frames_is_filtered_as_it_is(follow):
    done, _ = follow(lambda grower: grower.add(series(5)), until_idle_s=1.0)
    assert done.frames == 5


def test_a_shipped_filter_follows_by_its_name(follow, path):
    done, _ = follow(lambda grower: grower.add(series(18)), until_idle_s=1.0, filter="standard")
    assert (done.frames, done.learned, done.judged) == (18, True, True)
    assert AcquisitionStore(path).attrs(GROUP)["filter"] == "standard"


def test_results_that_would_not_grow_are_taken_away_from_a_group_that_does(store, client):
    stemscale.process(store, filter="none", name="x", client=client)
    opened = AcquisitionStore(store)
    with opened.dataset(GROUP) as dataset:
        assert "psnr" in dataset
        n = dataset.sizes["frame"]
    columns = {
        "frame": ("frame", np.arange(n), {}),
        "frame_status": ("frame", np.ones(n, np.uint8), {}),
    }
    make_growable(opened, GROUP, columns)
    lengthen(opened, GROUP, n + 1, {k: np.append(c[1], 0) for k, c in columns.items()}, since=n)
    opened.consolidate()
    with xr.open_zarr(store, group=GROUP) as grown:
        assert (grown.sizes["frame"], "psnr" in grown) == (n + 1, False)


def test_a_series_may_become_many_times_as_long_at_once(path):
    with Grower(path, (8, 8), block=2500) as grower:
        grower.add(np.ones((4, 8, 8)))
        plan = plan_process(path, filter="none", name="x", follow=True).series[0]
        followed = FollowedSeries(grower.store, plan, since_ns=0)
        grower.add(np.ones((2496, 8, 8)))
        followed.look(last=True)
        assert followed.n_frames == 2500
        assert followed.statuses(2500).tolist() == [FRAME_STATUS["pending"]] * 2500


def test_a_block_whose_raw_frames_are_being_written_anew_is_not_ready(path, client):
    with Grower(path) as grower:
        grower.add(series(18))  # the last block has two frames
        asked = {"filter": "none", "name": "x", "follow": True, "until_idle_s": 0.5}
        stemscale.process(path, **asked, client=client)
        plan = plan_process(path, filter="none", name="x", follow=True).series[0]
        grower.store.ledger(grower.group).forget(4)
        followed = FollowedSeries(grower.store, plan, since_ns=0)
        followed.look(last=False)
        assert followed.raw.n_frames == 16
        assert not followed._is_ready(4, idle=True)
