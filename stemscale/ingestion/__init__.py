"""Microscope files and per-frame logs come in; FOVs in a store go out."""

from stemscale.ingestion.ingest import IngestedFov, IngestProgress, ingest
from stemscale.ingestion.manifest import ManifestRow, fov_name, read_manifest
from stemscale.ingestion.plan import LogReport
from stemscale.ingestion.source import FrameSource
from stemscale.ingestion.watch import watch
from stemscale.ingestion.watch_events import WatchNotice, WatchProgress

__all__ = [
    "FrameSource",
    "IngestProgress",
    "IngestedFov",
    "LogReport",
    "ManifestRow",
    "WatchNotice",
    "WatchProgress",
    "fov_name",
    "ingest",
    "read_manifest",
    "watch",
]
