"""A store comes in; what it holds goes out as pages, movies and the viewer show it alike."""

from stemscale.views.grey_scale import gain_to, grey_window, on_scale_of
from stemscale.views.output import checked_output, page_beside, write_at_once
from stemscale.views.scale_bar import ScaleBar, scale_bar
from stemscale.views.store_view import (
    CalibrationView,
    FilterView,
    FovView,
    SlowView,
    StoreView,
    read_store,
)

__all__ = [
    "CalibrationView",
    "FilterView",
    "FovView",
    "ScaleBar",
    "SlowView",
    "StoreView",
    "checked_output",
    "gain_to",
    "grey_window",
    "on_scale_of",
    "page_beside",
    "read_store",
    "scale_bar",
    "write_at_once",
]
