"""What becomes of blocks that fail, one way or the other, on real worker processes."""

import pytest
from pipeline.blocks import Work, make

from stemscale.clusters import connect
from stemscale.errors import ProcessingError
from stemscale.pipeline import BlockDone, BlockFailed, Waiting
from stemscale.pipeline.engine import run_blocks

pytestmark = pytest.mark.cluster


def tries(folder):
    found = {}
    for note in folder.glob("*.try"):
        block, when, _ = note.name.split(".")
        found.setdefault(int(block), []).append(int(when) / 1e9)
    return {block: sorted(times) for block, times in found.items()}


@pytest.fixture
def run(tmp_path, client):
    def run(what, *, of=12, on=client, listener=lambda event: None):
        events = []

        def listen(event):
            events.append(event)
            listener(event)

        works = [Work(i, str(tmp_path), what.get(i, "good")) for i in range(of)]
        came = {task.block: record for task, record in run_blocks(on, make, works, listen)}
        assert sorted(came) == list(range(of))
        failed = {i: record for i, record in came.items() if isinstance(record, str)}
        assert sum(isinstance(e, BlockDone) for e in events) == of - len(failed)
        return failed, tries(tmp_path), events

    return run


def test_a_block_that_fails_is_tried_four_times_with_pauses_and_then_given_up(run):
    failed, tried, events = run({5: "raise"})
    assert failed == {5: "no such luck"}
    assert {len(times) for block, times in tried.items() if block != 5} == {1}
    assert len(tried[5]) == 4
    assert tried[5][1] - tried[5][0] > 0.2  # half a second, with jitter
    of_5 = [e for e in events if isinstance(e, BlockFailed)]
    assert [e.given_up for e in of_5] == [False, False, False, True]


def test_data_that_are_damaged_are_not_tried_again(run):
    failed, tried, _ = run({5: "damaged"})
    assert failed == {5: "raw block 3 is missing"}
    assert len(tried[5]) == 1


def test_a_block_that_kills_its_worker_harms_no_other(run):
    with connect("local", workers=2) as mine:
        failed, tried, events = run({0: "die", 7: "die"}, on=mine)
    assert failed.keys() == {0, 7}
    assert "its worker died" in failed[0]
    for block in (0, 7):
        of_it = [e for e in events if isinstance(e, BlockFailed) and e.block == block]
        assert [e.given_up for e in of_it] == [False, False, False, True]
        # The last try is alone; an earlier one counts also if the other block's end came first.
        assert 1 <= len(tried[block]) <= 4


def test_while_the_store_is_full_all_wait_and_none_fails(run, tmp_path):
    def make_room(event):
        if isinstance(event, Waiting):
            (tmp_path / "room").touch()

    failed, _, events = run(dict.fromkeys(range(4, 12), "full"), listener=make_room)
    assert failed == {}
    waits = [e for e in events if isinstance(e, Waiting)]
    assert [w.reason for w in waits] == ["no space left"]
    assert not [e for e in events if isinstance(e, BlockFailed)]


def test_a_store_that_stays_full_ends_the_run(run, monkeypatch):
    monkeypatch.setattr("stemscale.pipeline.engine._PAUSES_S", (0.1, 0.1))
    monkeypatch.setattr("stemscale.pipeline.engine._FULL_S", 3.0)
    with pytest.raises(ProcessingError, match=r"no space left: what was recorded is safe.*again"):
        run(dict.fromkeys(range(4, 12), "full"))


def test_a_scheduler_that_is_gone_ends_the_run(run):
    def end(event):
        if isinstance(event, BlockDone):
            mine.cluster.close(timeout=5)

    with connect("local", workers=1) as mine, pytest.raises(ProcessingError, match="scheduler"):
        run({}, of=200, on=mine, listener=end)
