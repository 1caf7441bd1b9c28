"""A rapid and a slow scan come in; a distortion map and corrected, averaged frames go out."""

from stemscale.distortion.dcfi import Dcfi, integrate_frames, rolling_dcfi
from stemscale.distortion.distortion_map import DistortionMap, shared_map
from stemscale.distortion.drift import DriftSearch, estimate_shifts
from stemscale.distortion.spline import SplineFit, fit_spline
from stemscale.distortion.strips import StripSearch, fit_strips
from stemscale.distortion.views import ViewMatch, ViewSearch, match_views
from stemscale.distortion.warp import Warp

__all__ = [
    "Dcfi",
    "DistortionMap",
    "DriftSearch",
    "SplineFit",
    "StripSearch",
    "ViewMatch",
    "ViewSearch",
    "Warp",
    "estimate_shifts",
    "fit_spline",
    "fit_strips",
    "integrate_frames",
    "match_views",
    "rolling_dcfi",
    "shared_map",
]
