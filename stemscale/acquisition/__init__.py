"""Scan settings and per-frame metadata come in; names, units and coordinates checked go out."""

from stemscale.acquisition.frame_metadata import (
    COUNTED_TIME,
    FRAME_QUANTITIES,
    FrameColumn,
    check_frame_metadata,
    frame_coordinates,
    image_coordinates,
    known_column,
    median_interval,
)
from stemscale.acquisition.images import Frames, Image, check_dtype, check_pixels
from stemscale.acquisition.names import check_name, natural_order
from stemscale.acquisition.scan_settings import (
    ScanComparison,
    ScanSettings,
    check_same_view,
    compare_scans,
    positive,
    same_setting,
)

__all__ = [
    "COUNTED_TIME",
    "FRAME_QUANTITIES",
    "FrameColumn",
    "Frames",
    "Image",
    "ScanComparison",
    "ScanSettings",
    "check_dtype",
    "check_frame_metadata",
    "check_name",
    "check_pixels",
    "check_same_view",
    "compare_scans",
    "frame_coordinates",
    "image_coordinates",
    "known_column",
    "median_interval",
    "natural_order",
    "positive",
    "same_setting",
]
