"""Events in, figures out; of bounded size, whatever comes and in whatever order."""

import math
import pickle

import numpy as np
import pytest
from dashboard.builders import SERIES, Clock, lost, made, start
from hypothesis import given
from hypothesis import strategies as st

from stemscale.dashboard import recent_rate, run_ended, waiting
from stemscale.dashboard.board import Board
from stemscale.dashboard.curves import Curve, StepHistory
from stemscale.dashboard.words import clock as clock_text

OTHER = "fov02/filtered/x"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return Board(clock)


def only(board):
    run = board.shown()
    return run, run.series[SERIES]


# which block, and what is said of it; the last one of 40 frames is short
SAID = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["done", "damaged", "failed"])))


@given(SAID)
def test_every_frame_counts_once_whatever_is_said_of_its_block_and_how_often(said):
    board = Board(Clock())
    board.take(start(frames=37))
    known = {}
    for block, status in said:
        is_lost = status == "failed"
        board.take(lost(block, of=37) if is_lost else made(block, of=37, status=status))
        if known.get(block) != "done":  # what is on disk stays there
            known[block] = status
    run, series = only(board)
    frames = {block: min(37, block * 8 + 8) - block * 8 for block in range(5)}
    for status, found in (
        ("done", series.done),
        ("failed", series.failed),
        ("damaged", series.damaged),
    ):
        assert found == sum(frames[b] for b, s in known.items() if s == status)
    assert run.done + run.failed + run.left == run.frames == 37


@given(
    st.lists(st.floats(0, 1e4), min_size=2, max_size=60),
    st.floats(0, 200),
)
def test_the_rate_is_that_of_the_last_minute_or_of_ten_blocks(pauses, later):
    times = list(np.cumsum(pauses))
    now = times[-1] + later
    lately = [t for t in times if now - t < 60]
    if len(lately) < 10:
        lately = times[-10:]
    expected = (len(lately) - 1) * 32 / max(now - lately[0], 1e-3)
    assert recent_rate([(t, 32) for t in times], now) == pytest.approx(expected)


def test_of_one_block_there_is_no_rate():
    assert recent_rate([], 5.0) is None
    assert recent_rate([(1.0, 32)], 5.0) is None


def test_the_page_has_the_rate_that_status_has(board, clock):
    board.take(start(frames=4000, done=800))
    commits = []
    for block in range(100, 400):
        clock.now += 1.0 + 0.5 * math.sin(block)
        board.take(made(block, of=4000))
        commits.append((clock.now, 8))
    run, _ = only(board)
    assert run.rate(clock.now) == pytest.approx(recent_rate(commits, clock.now), rel=1e-9)
    assert run.eta_s(clock.now) == pytest.approx((4000 - 800 - 2400) / run.rate(clock.now))


def test_frames_of_earlier_runs_are_done_but_not_in_the_rate(board, clock):
    board.take(start(frames=400, done=80, failed=16))
    run, _ = only(board)
    assert (run.done, run.failed, run.left) == (80, 16, 304)
    assert run.rate(clock.now) is None
    for block in (12, 13, 14):
        clock.now += 2
        board.take(made(block, of=400))
    assert run.rate(clock.now) == pytest.approx(16 / 4)
    assert run.mean_rate() == pytest.approx(24 / 6)


def test_series_share_the_rate_and_follow_one_another(board, clock):
    board.take(start(frames=80, names=(SERIES, OTHER)))
    for block in range(10):
        clock.now += 1
        board.take(made(block, of=80))
    for block in range(2):
        clock.now += 1
        board.take(made(block, of=80, series=OTHER))
    run, _ = only(board)
    rates = run.rates(clock.now)
    assert sum(rates.values()) == pytest.approx(run.rate(clock.now))
    assert rates[OTHER] == pytest.approx(2 * 8 / 11)
    assert run.etas_s(clock.now) == {SERIES: 0.0, OTHER: pytest.approx(64 / 8)}


def test_a_driver_that_was_cut_off_and_is_there_again_goes_on(board, clock):
    board.take(start())
    board.client_left("client of a")
    assert only(board)[0].ended == clock.now
    board.take(made(0))
    assert only(board)[0].ended is None
    board.take(run_ended(run="a"))
    board.take(made(1))
    assert only(board)[0].ended == clock.now


def test_a_driver_that_is_gone_ends_its_run_and_a_new_one_takes_its_place(clock):
    there = {"client of a"}
    board = Board(clock, there.__contains__)
    board.take(start("a"))
    board.take(made(0))
    board.client_left("client of a")
    ended = clock.now
    clock.now += 1
    there.clear()
    board.take(made(1))  # it was being made then
    run, series = only(board)
    assert (run.ended, run.rate(clock.now), series.done) == (ended, None, 16)
    board.take(start("b", done=8))
    board.take(made(1, run="a"))  # of a worker that does not know yet
    board.take(made(1, run="b"))
    run, series = only(board)
    assert (run.run, series.done, run.ended) == ("b", 16, None)
    assert series.psnr.points()[0] == list(range(16))  # what was seen before is seen


def test_two_stores_on_one_scheduler_have_figures_of_their_own(board):
    board.take(start("a", store="/a.zarr", names=(OTHER,)))
    board.take(start("b", store="/b.zarr"))
    board.take(made(0, run="b"))
    board.take(made(3, run="a", series=OTHER))
    assert [s.done for _, s in board.series()] == [8, 8]
    board.take(run_ended(run="b"))
    assert board.shown().run == "a"
    board.take(start("c", store="/c.zarr"))  # what has ended is forgotten
    assert [r.run for r in board.runs()] == ["a", "c"]


def test_a_run_says_what_it_waits_for_until_it_goes_on(board):
    board.take(start())
    board.take(waiting(run="a", reason="no space left"))
    assert only(board)[0].waiting == "no space left"
    board.take(made(0))
    assert only(board)[0].waiting == ""


def test_psnr_is_that_of_the_last_ten_blocks(board):
    board.take(start(frames=400))
    for block in range(20):
        board.take(made(block, of=400, psnr=None if block == 19 else float(block)))
    assert only(board)[1].psnr_db == pytest.approx(np.mean(range(9, 19)))


@given(st.integers(1, 3000), st.data())
def test_a_curve_has_the_means_of_its_bins_and_at_most_512(frames, data):
    values = np.full(frames, np.nan)
    curve = Curve(frames)
    for _ in range(data.draw(st.integers(0, 5))):
        first = data.draw(st.integers(0, frames - 1))
        some = data.draw(st.lists(st.none() | st.floats(-50, 50), max_size=frames - first))
        if np.isfinite(values[first : first + len(some)]).any():
            continue
        values[first : first + len(some)] = [np.nan if v is None else v for v in some]
        curve.add(first, some)
    middles, means = curve.points()
    assert len(means) <= 512
    for middle, mean in zip(middles, means, strict=True):
        begin = round(middle - (curve.width - 1) / 2)
        known = values[begin : begin + curve.width]
        known = known[np.isfinite(known)]
        expected = known.mean() if len(known) else np.nan
        assert mean == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(st.integers(0, 700))
def test_the_history_of_steps_has_every_block_in_at_most_64_groups(blocks):
    history = StepHistory()
    for i in range(blocks):
        history.add({"read": float(i)} if i % 2 else {"read": float(i), "write": 1.0})
    means = history.means()
    assert len(means) <= 64
    assert sum(n for n, _ in means) == blocks
    assert {n for n, _ in means[:-1]} <= {history.size}
    assert sum(n * m.get("read", 0) for n, m in means) == pytest.approx(sum(range(blocks)))
    assert sum(n * m.get("write", 0) for n, m in means) == pytest.approx((blocks + 1) // 2)


def test_a_million_frames_take_no_more_room_than_the_first_of_them(board, clock):
    n = 30_000
    board.take(start(frames=32 * n, block=32))
    sizes = []
    for block in range(n):
        clock.now += 0.1
        board.take(made(block, of=32 * n, size=32))
        if block in (2_000, n - 1):
            sizes.append(len(pickle.dumps(board.runs())))
    assert only(board)[0].left == 0
    assert sizes[1] < 1.1 * sizes[0]


def test_a_series_that_is_followed_grows_with_its_blocks(board):
    board.take(start(frames=4))
    run, _ = only(board)
    for frames, block in ((8, 0), (16, 1), (20, 2)):
        board.take(made(block, of=frames))
    assert (run.frames, run.done, run.left) == (20, 20, 0)
    board.take(made(2, of=24))  # the last block, made again with more frames
    assert (run.frames, run.done, run.left) == (24, 24, 0)
    board.take(made(9, of=80))  # the newest first: those between are behind
    assert (run.frames, run.done, run.left) == (80, 32, 48)


def test_a_short_block_that_is_told_of_twice_still_grows(board):
    board.take(start(frames=2, block=4))
    for frames in (2, 2, 4):
        board.take(made(0, of=frames, size=4))
    run, _ = only(board)
    assert (run.frames, run.done, run.left) == (4, 4, 0)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_a_curve_that_grows_is_as_one_of_that_length_from_the_beginning(steps):
    growing, n = Curve(1), 0
    for step in steps:
        growing.grow(n + step)
        growing.add(n, [float(i % 7) for i in range(n, n + step)])
        n += step
    middles, means = growing.points()
    assert len(middles) <= 512
    count = np.full(len(means), growing.width)
    count[-1] = n - growing.width * (len(means) - 1)
    np.testing.assert_allclose(np.dot(means, count), sum(i % 7 for i in range(n)), rtol=1e-9)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(-1, "0:00"), (42, "0:42"), (725, "12:05"), (10_810, "3:00:10"), (187_200, "2 d 04 h")],
)
def test_a_time_is_written_as_a_clock_shows_it(seconds, written):
    assert clock_text(seconds) == written
