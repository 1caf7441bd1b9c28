"""Corrected frames and a filter come in, denoised frames go out; training makes the filter."""

from stemscale.denoising.character import FrameCharacter, frame_character
from stemscale.denoising.classical import CLASSICAL, apply_classical, tune_classical
from stemscale.denoising.devices import find_devices
from stemscale.denoising.filter_file import Filter, load_filter, save_filter
from stemscale.denoising.inference import denoise_frames
from stemscale.denoising.ranges import RESPECTS, CharacterRanges, OutOfRange, SeenFrames
from stemscale.denoising.recipe import PRESETS, Recipe, find_recipe
from stemscale.denoising.scaling import SeriesScale, series_scale
from stemscale.denoising.scratch import scratch_frames
from stemscale.denoising.training import TrainingProgress, train_filter
from stemscale.denoising.training_set import TrainingFov
from stemscale.denoising.unet import UNet, UNetSettings
from stemscale.filter_card import filter_hash

__all__ = [
    "CLASSICAL",
    "PRESETS",
    "RESPECTS",
    "CharacterRanges",
    "Filter",
    "FrameCharacter",
    "OutOfRange",
    "Recipe",
    "SeenFrames",
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
    "frame_character",
    "load_filter",
    "save_filter",
    "scratch_frames",
    "series_scale",
    "train_filter",
    "tune_classical",
]
