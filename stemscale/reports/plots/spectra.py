"""Line profiles of the power spectra of one FOV, as a figure and as numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from stemscale.quality import agreement_cutoff, horizontal_profile
from stemscale.reports.display import Display, on_grid
from stemscale.reports.plot import Plot, column
from stemscale.reports.plots.fourier import LEAST_PX
from stemscale.reports.plots.line_profile import FILTERS_A_PANEL, look_name
from stemscale.reports.plots.panels import WIDE_IN, groups_of
from stemscale.reports.shots import FovShots, Shot
from stemscale.reports.style import Look, figure_text, looks, one_legend

FloatArray = npt.NDArray[np.float64]
Profiles = list[tuple[Shot, FloatArray, FloatArray]]  # image, wave numbers, ln power

_SMOOTH_BINS = 9  # as for the wave numbers of the summary
_FIRST_BIN = 2  # the mean of the image, and what the Hann window spreads of it
_PANEL_IN = 2.9
_THIN: Any = {"lw": 0.6, "alpha": 0.22}


def spectrum_plot(shots: FovShots, display: Display) -> Plot | None:
    """Draw the line profiles of the power spectra, along the scan line and across it.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        The same on one scale: a gain would shift a whole profile.

    Returns
    -------
    Plot or None
        None for images too small for a spectrum.

    Notes
    -----
    Source: Ihara 2022, Fig. 4c and 6c (rows Q4 and Q5), along the scan line; where a profile
    parts from that of the slow scan is marked. Thin: the profile itself; bold: its running mean.
    """
    along = _profiles(shots, display)
    if not along:
        return None
    across = _profiles(shots, display, across=True)
    unit = "1/px" if shots.reference.pixel_size_nm is None else "1/µm"
    cutoffs = dict(spectrum_cutoffs(shots, display))
    marks = "; ▼ up to where it follows the slow scan" if cutoffs else ""
    return Plot(
        name="spectrum",
        fov=shots.fov.name,
        title="Line profiles of the power spectra",
        caption="Through the centre, after a Hann window: a, along the scan line; b, across it. "
        f"Bold: running mean over {_SMOOTH_BINS} bins{marks}.",
        paper="Fig. 4c, 6c",
        figure=_draw(along, across, cutoffs, unit),
        numbers=_numbers(along, across, unit),
    )


def spectrum_cutoffs(shots: FovShots, display: Display) -> list[tuple[str, float]]:
    """Say up to which wave number each profile follows that of the slow scan.

    Parameters
    ----------
    shots, display
        As for :func:`spectrum_plot`.

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


def _profiles(shots: FovShots, display: Display, *, across: bool = False) -> Profiles:
    """Give the profiles of the images that share the grid of the reference."""
    if min(shots.reference.image.shape) < LEAST_PX:
        return []
    size_nm = shots.reference.pixel_size_nm
    return [
        (shot, *horizontal_profile(image.T if across else image, pixel_size_nm=size_nm))
        for shot, image in on_grid(shots, display)
    ]


def _draw(along: Profiles, across: Profiles, cutoffs: dict[str, float], unit: str) -> Figure:
    styles = looks([look_name(shot) for shot, _, _ in along])
    panels_of = groups_of([s for s, _, _ in along if s.role == "filtered"], FILTERS_A_PANEL)
    figure = Figure(figsize=(WIDE_IN, _PANEL_IN * len(panels_of) + 0.7), layout="constrained")
    panels = figure.subplots(len(panels_of), 2, sharey=True, sharex="col", squeeze=False)
    lowest, highest = _limits(along + across)
    for row, filters in zip(panels, panels_of, strict=True):
        for axes, profiles in zip(row, (along, across), strict=True):
            for shot, wave_number, ln_power in profiles:
                if shot.role != "filtered" or any(shot is f for f in filters):
                    cutoff = cutoffs.get(shot.name) if profiles is along else None
                    _line(axes, shot, wave_number, ln_power, styles[look_name(shot)], cutoff)
            axes.set_ylim(lowest, highest)
            axes.set_xlim(0, profiles[0][1][-1])
        row[0].set_ylabel("ln |F|²")
    panels[0, 0].set_title("a  along the scan line")
    panels[0, 1].set_title("b  across it")
    panels[-1, 0].set_xlabel(f"wave number [{unit}]")
    panels[-1, 1].set_xlabel(f"wave number [{unit}]")
    one_legend(figure, list(panels[:, 0]))
    return figure


def _line(
    axes: Axes,
    shot: Shot,
    wave_number: FloatArray,
    ln_power: FloatArray,
    look: Look,
    cutoff: float | None,
) -> None:
    k, mean = wave_number[_FIRST_BIN:], running_mean(ln_power[_FIRST_BIN:])
    axes.plot(k, ln_power[_FIRST_BIN:], color=look.colour, **_THIN)
    axes.plot(k, mean, color=look.colour, ls=look.dashes, lw=1.6, label=figure_text(shot.name))
    if cutoff is not None and k[0] <= cutoff < k[-1]:
        height = float(np.interp(cutoff, k, mean))
        axes.plot(
            [cutoff], [height + 0.7], "v", color=look.colour, ms=6.5, mec="white", mew=0.6, zorder=5
        )
        axes.vlines(cutoff, 0, 0.04, color=look.colour, lw=2, transform=axes.get_xaxis_transform())


def _limits(profiles: Profiles) -> tuple[float, float]:
    lowest, highest = [], []
    for shot, _, ln_power in profiles:
        if shot.role in ("slow", "rapid"):  # what a smooth image lacks has no end downwards
            lowest.append(running_mean(ln_power[_FIRST_BIN:]).min())
        highest.append(ln_power[_FIRST_BIN:].max())
    return float(min(lowest or [min(highest) - 12])) - 8, float(max(highest)) + 1


def _numbers(along: Profiles, across: Profiles, unit: str) -> dict[str, list[Any]]:
    """Lay both directions below each other: their lengths may differ."""
    per = "per_px" if unit == "1/px" else "per_um"
    both = (("along", along), ("across", across))
    numbers: dict[str, list[Any]] = {
        "direction": [name for name, p in both for _ in p[0][1]],
        f"wave_number_{per}": [k for _, p in both for k in p[0][1].tolist()],
    }
    for i, (shot, _, _) in enumerate(along):
        numbers[column(shot.name, "ln_power")] = [v for _, p in both for v in p[i][2].tolist()]
    return numbers
