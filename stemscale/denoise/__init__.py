"""Corrected frames and a filter come in, denoised frames go out; training makes the filter."""

from stemscale.denoise.classical import CLASSICAL, apply_classical, tune_classical
from stemscale.denoise.devices import find_devices
from stemscale.denoise.filter_file import Filter, filter_hash, load_filter, save_filter
from stemscale.denoise.inference import denoise_frames
from stemscale.denoise.recipe import PRESETS, Recipe, find_recipe
from stemscale.denoise.scaling import SeriesScale, scratch_frames, series_scale
from stemscale.denoise.training import TrainingProgress, train_filter
from stemscale.denoise.training_set import TrainingFov
from stemscale.denoise.unet import UNet, UNetSettings

__all__ = [
    "CLASSICAL",
    "PRESETS",
    "Filter",
    "Recipe",
    "SeriesScale",
    "TrainingFov",
    "TrainingProgress",
    "UNet",
    "UNetSettings",
    "apply_classical",
    "denoise_frames",
    "filter_hash",
    "find_devices",
    "find_recipe",
    "load_filter",
    "save_filter",
    "scratch_frames",
    "series_scale",
    "train_filter",
    "tune_classical",
]
