"""Events of blocks come in; figures, a page in the Dask dashboard and metrics go out."""

from stemscale.dashboard.attach import attach
from stemscale.dashboard.events import TOPIC, block_made, given_up, run_ended, run_started, waiting
from stemscale.dashboard.picture import thumbnail
from stemscale.dashboard.rate import recent_rate

__all__ = [
    "TOPIC",
    "attach",
    "block_made",
    "given_up",
    "recent_rate",
    "run_ended",
    "run_started",
    "thumbnail",
    "waiting",
]
