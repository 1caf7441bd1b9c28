"""Several verbs in a row: a folder comes in; what a user would get by typing them goes out."""

from stemscale.workflows.demo import demo
from stemscale.workflows.live import LiveSummary, live
from stemscale.workflows.real import reproduce_series
from stemscale.workflows.study import reproduce

__all__ = ["LiveSummary", "demo", "live", "reproduce", "reproduce_series"]
