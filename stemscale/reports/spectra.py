"""Line profiles of the power spectra of one FOV, as a figure and as numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from stemscale.quality import agreement_cutoff, horizontal_profile
from stemscale.reports.display import Display
from stemscale.reports.figures import WIDTH_IN
from stemscale.reports.pixels import FovShots, Shot
from stemscale.reports.scores import DCFI
from stemscale.reports.style import figure_style, figure_text, legend_above, looks, svg_uri

FloatArray = npt.NDArray[np.float64]

_SMOOTH_BINS = 7
_FIRST_BIN = 2  # the mean of the image, and what the Hann window spreads of it
_THIN: Any = {"lw": 0.6, "alpha": 0.25}


def spectrum_figure(shots: FovShots, display: Display) -> str | None:
    """Draw the line profile of the power spectra along x.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        The same on one scale: a gain would shift a whole profile.

    Returns
    -------
    str or None
        SVG in a data URI; None for images too small for a spectrum.

    Notes
    -----
    Source: Ihara 2022, Fig. 4c (row Q4). Thin: the profile itself; bold: its running mean.
    """
    profiles = _profiles(shots, display)
    if not profiles:
        return None
    calibrated = shots.reference.pixel_size_nm is not None
    styles = looks([_look_name(shot) for shot, _, _ in profiles])
    with figure_style():
        figure = Figure(figsize=(WIDTH_IN, 3.3), layout="constrained")
        axes = figure.subplots()
        lowest, highest = [], []
        for shot, wave_number, ln_power in profiles:
            look = styles[_look_name(shot)]
            mean = running_mean(ln_power[_FIRST_BIN:])
            axes.plot(wave_number[_FIRST_BIN:], ln_power[_FIRST_BIN:], color=look.colour, **_THIN)
            axes.plot(
                wave_number[_FIRST_BIN:],
                mean,
                color=look.colour,
                ls=look.dashes,
                lw=1.6,
                label=figure_text(shot.name),
            )
            if shot.role in ("slow", "rapid"):  # what a smooth image lacks has no end downwards
                lowest.append(mean.min())
            highest.append(ln_power[_FIRST_BIN:].max())
        axes.set_ylim(min(lowest) - 8, max(highest) + 1)
        axes.set_xlim(0, profiles[0][1][-1])
        axes.set_xlabel("wave number along the scan line [1/µm]" if calibrated else "[1/px]")
        axes.set_ylabel("ln |F|²")
        legend_above(figure, axes)
        return svg_uri(figure)


def spectrum_cutoffs(shots: FovShots, display: Display) -> list[tuple[str, float]]:
    """Say up to which wave number each profile follows that of the slow scan.

    Parameters
    ----------
    shots, display
        As for :func:`spectrum_figure`.

    Returns
    -------
    list of (str, float)
        Name and wave number [1/µm, or 1/px]; empty without a slow scan.

    Notes
    -----
    Source: row Q5.
    """
    if shots.reference.role != "slow":
        return []
    profiles = _profiles(shots, display)
    slow = [ln_power for shot, _, ln_power in profiles if shot.role == "slow"]
    return [
        (shot.name, agreement_cutoff(ln_power, slow[0], wave_number, smooth_bins=_SMOOTH_BINS))
        for shot, wave_number, ln_power in profiles
        if slow and shot.role != "slow"
    ]


def running_mean(profile: FloatArray) -> FloatArray:
    """Smooth a profile over 7 bins, over fewer where it is short."""
    bins = max(1, min(_SMOOTH_BINS, profile.size // 8))
    return np.asarray(uniform_filter1d(profile, bins, mode="nearest"), dtype=np.float64)


def _profiles(shots: FovShots, display: Display) -> list[tuple[Shot, FloatArray, FloatArray]]:
    """Give the profiles of the images that share the grid of the reference."""
    grid = shots.reference.image.shape
    if grid[1] < 16:
        return []
    found = []
    for shot, image in zip(shots.shots, display.images, strict=True):
        if image.shape == grid:
            wave_number, ln_power = horizontal_profile(
                image, pixel_size_nm=shots.reference.pixel_size_nm
            )
            found.append((shot, wave_number, ln_power))
    return found


def _look_name(shot: Shot) -> str:
    if shot.role == "filtered":
        return shot.name
    return DCFI if shot.role == "dcfi" else shot.role
