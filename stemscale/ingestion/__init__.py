"""Microscope files and per-frame logs come in; FOVs in a store go out."""

from stemscale.ingestion.ingest import IngestedFov, IngestProgress, ingest
from stemscale.ingestion.manifest import ManifestRow, read_manifest
from stemscale.ingestion.plan import LogReport
from stemscale.ingestion.source import FrameSource

__all__ = [
    "FrameSource",
    "IngestProgress",
    "IngestedFov",
    "LogReport",
    "ManifestRow",
    "ingest",
    "read_manifest",
]
