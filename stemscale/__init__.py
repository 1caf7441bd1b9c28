"""stemscale: distortion correction and learned filtering of rapid-scan STEM series, at scale.

Every verb of the command line is a function here: ``stemscale.ingest(...)``,
``stemscale.process(...)``. Rooms are imported when first used, so that ``stemscale --help``
is quick.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemscale.exporting import export
    from stemscale.ingestion import ingest, watch
    from stemscale.movies import movie
    from stemscale.pipeline import (
        calibrate,
        compact,
        info,
        process,
        status,
        summarize,
        train,
        verify,
    )
    from stemscale.pipeline.lazy import denoise
    from stemscale.reports import report
    from stemscale.simulation import simulate
    from stemscale.store.opening import open
    from stemscale.viewer import view
    from stemscale.workflows import demo, live, reproduce

__version__ = version("stemscale")

__all__ = [
    "__version__",
    "calibrate",
    "compact",
    "demo",
    "denoise",
    "export",
    "info",
    "ingest",
    "live",
    "movie",
    "open",
    "process",
    "report",
    "reproduce",
    "simulate",
    "status",
    "summarize",
    "train",
    "verify",
    "view",
    "watch",
]

_ROOMS = {
    "calibrate": "pipeline",
    "compact": "pipeline",
    "demo": "workflows",
    "denoise": "pipeline.lazy",
    "export": "exporting",
    "info": "pipeline",
    "ingest": "ingestion",
    "live": "workflows",
    "movie": "movies",
    "open": "store.opening",
    "process": "pipeline",
    "report": "reports",
    "reproduce": "workflows",
    "simulate": "simulation",
    "status": "pipeline",
    "summarize": "pipeline",
    "train": "pipeline",
    "verify": "pipeline",
    "view": "viewer",
    "watch": "ingestion",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'stemscale' has no attribute {name!r}")
    return getattr(import_module(f"stemscale.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
