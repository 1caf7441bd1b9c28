"""A rapid and a slow scan come in; a distortion map and corrected, averaged frames go out."""

from stemscale.distortion.chain import GroupChain
from stemscale.distortion.contrast import require_unsaturated
from stemscale.distortion.dcfi import (
    Dcfi,
    finish_dcfi,
    group_bounds,
    integrate_frames,
    rolling_dcfi,
)
from stemscale.distortion.distortion_map import DistortionMap, nominal_source, shared_map
from stemscale.distortion.drift import DriftSearch, estimate_shifts
from stemscale.distortion.group import FrameGroup, align_group
from stemscale.distortion.interpolation import INTERPOLATIONS, Interpolation
from stemscale.distortion.series_warp import SeriesWarp
from stemscale.distortion.spline import SplineFit, fit_spline
from stemscale.distortion.strips import StripSearch, fit_strips
from stemscale.distortion.views import ViewMatch, ViewSearch, match_views
from stemscale.distortion.warp import Warp

__all__ = [
    "INTERPOLATIONS",
    "Dcfi",
    "DistortionMap",
    "DriftSearch",
    "FrameGroup",
    "GroupChain",
    "Interpolation",
    "SeriesWarp",
    "SplineFit",
    "StripSearch",
    "ViewMatch",
    "ViewSearch",
    "Warp",
    "align_group",
    "estimate_shifts",
    "finish_dcfi",
    "fit_spline",
    "fit_strips",
    "group_bounds",
    "integrate_frames",
    "match_views",
    "nominal_source",
    "require_unsaturated",
    "rolling_dcfi",
    "shared_map",
]
