"""Corrected frames and a filter come in, denoised frames go out; training makes the filter."""

from stemscale.denoise.classical import bm3d_frames
from stemscale.denoise.filter_file import Filter, filter_hash, load_filter, save_filter
from stemscale.denoise.inference import denoise_frames
from stemscale.denoise.recipe import PRESETS, Recipe, find_recipe
from stemscale.denoise.scaling import SeriesScale, series_scale
from stemscale.denoise.training import TrainingProgress, train_filter
from stemscale.denoise.training_set import TrainingFov
from stemscale.denoise.unet import UNet, UNetSettings

__all__ = [
    "PRESETS",
    "Filter",
    "Recipe",
    "SeriesScale",
    "TrainingFov",
    "TrainingProgress",
    "UNet",
    "UNetSettings",
    "bm3d_frames",
    "denoise_frames",
    "filter_hash",
    "find_recipe",
    "load_filter",
    "save_filter",
    "series_scale",
    "train_filter",
]
