"""The figures as Prometheus metrics, on the /metrics that a Dask scheduler has."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stemscale.dashboard.board import Board

if TYPE_CHECKING:
    from prometheus_client import Metric


class FiguresCollector:
    """Gives the figures of a board whenever Prometheus asks.

    Parameters
    ----------
    board : Board
    """

    def __init__(self, board: Board) -> None:
        self.board = board

    def collect(self) -> "Iterator[Metric]":
        """Give all metrics; each bears store and series, as "fov01/filtered/standard"."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        one, two = ("store", "series"), ("store", "series", "step")
        done = CounterMetricFamily("stemscale_frames_done", "Frames made", labels=one)
        failed = CounterMetricFamily(
            "stemscale_frames_failed", "Frames given up, or damaged as recorded", labels=one
        )
        left = GaugeMetricFamily("stemscale_frames_left", "Frames to be made yet", labels=one)
        rate = GaugeMetricFamily(
            "stemscale_frames_per_second", "Frames made a second, in the last minute", labels=one
        )
        eta = GaugeMetricFamily(
            "stemscale_eta_seconds",
            "Time until the series is made",
            labels=one,
        )
        psnr = GaugeMetricFamily(
            "stemscale_psnr_db", "Mean PSNR of the lately finished frames", labels=one
        )
        steps = CounterMetricFamily(
            "stemscale_step_seconds", "Time spent by workers, by step", labels=two
        )
        now = self.board.clock()
        rates = {run.run: (run.rates(now), run.etas_s(now)) for run in self.board.runs()}
        for run, series in self.board.series():
            of = [run.store, series.name]
            rates_of, etas_of = rates[run.run]
            done.add_metric(of, series.done)
            failed.add_metric(of, series.failed + series.damaged)
            left.add_metric(of, series.left)
            rate.add_metric(of, rates_of[series.name])
            if (seconds := etas_of[series.name]) is not None:
                eta.add_metric(of, seconds)
            if series.psnr_db is not None:
                psnr.add_metric(of, series.psnr_db)
            for step, spent in series.steps.items():
                steps.add_metric([*of, step], spent)
        yield from (done, failed, left, rate, eta, psnr, steps)


def expose(board: Board) -> FiguresCollector:
    """Show a board on the /metrics of this process, in place of any other.

    One process may have one scheduler after the other, and Prometheus one registry for all.
    """
    from prometheus_client import REGISTRY

    global _exposed
    if _exposed is None:
        _exposed = FiguresCollector(board)
        REGISTRY.register(_exposed)
    _exposed.board = board
    return _exposed


def hide(board: Board) -> None:
    """Show a board no more, unless another one has taken its place."""
    from prometheus_client import REGISTRY

    global _exposed
    if _exposed is not None and _exposed.board is board:
        REGISTRY.unregister(_exposed)
        _exposed = None


_exposed: FiguresCollector | None = None
