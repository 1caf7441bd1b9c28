"""Contours of the magnified place: a smear shows as tails to one side."""

import numpy as np
from matplotlib.colors import ListedColormap
from scipy.ndimage import gaussian_filter

from stemscale.reports.display import Crop, Display, on_grid
from stemscale.reports.plot import Plot, column, unit_column
from stemscale.reports.plots.panels import (
    UNSEEN,
    add_scale_bar,
    along_nm,
    no_ticks,
    panel_grid,
    panel_title,
)
from stemscale.reports.shots import FloatImage, FovShots

_LEVELS = 9
_MOST_PX = 128
_SOFT_PX = 1.0  # without it, contours of a rapid frame are nothing but noise
_SHADES = ListedColormap([str(g) for g in np.linspace(0.38, 1.0, _LEVELS + 1)])


def contours_plot(shots: FovShots, display: Display) -> Plot | None:
    """Draw contours of all images where the smear shows, at common levels.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        Their common scale, and the place to magnify.

    Returns
    -------
    Plot or None
        None without such a place.

    Notes
    -----
    Source: Ihara 2022, Fig. 1d and 3f (row Q8).
    """
    if display.crop is None:
        return None
    crop = _middle(display.crop)
    shown = on_grid(shots, display)
    soft = [_soft(crop.of(image)) for _, image in shown]
    low, high = np.nanquantile(crop.of(_reference(shots, display)), [0.01, 0.99])
    if not high > low:
        return None
    levels = np.linspace(low, high, _LEVELS)
    figure, panels = panel_grid(len(shown), 1.0)
    for (axes,), (shot, _), image in zip(panels, shown, soft, strict=True):
        axes.contourf(image, levels=levels, cmap=_SHADES, extend="both")
        if np.any((levels > np.nanmin(image)) & (levels < np.nanmax(image))):
            axes.contour(image, levels=levels, colors="#1d2330", linewidths=0.5, linestyles="-")
        axes.set_aspect("equal")
        axes.invert_yaxis()
        no_ticks(axes)
        axes.set_facecolor(UNSEEN)
        add_scale_bar(axes, crop.size, shot.pixel_size_nm)
        panel_title(axes, shot, with_psnr=False)
    return Plot(
        name="contours",
        fov=shots.fov.name,
        title="Contours of the magnified square",
        caption=f"{crop.size} × {crop.size} px; {_LEVELS} levels, common to all images, after a "
        f"Gaussian of {_SOFT_PX:g} px; a smear draws the contours out to the right.",
        paper="Fig. 1d, 3f",
        figure=figure,
        photographic=True,
        numbers=_numbers(crop, shots, [shot.name for shot, _ in shown], soft),
    )


def _middle(crop: Crop) -> Crop:
    """Take the middle of a large square: more contours than that are a grey."""
    size = min(crop.size, _MOST_PX)
    inset = (crop.size - size) // 2
    return Crop(top=crop.top + inset, left=crop.left + inset, size=size)


def _reference(shots: FovShots, display: Display) -> FloatImage:
    at = next(i for i, shot in enumerate(shots.shots) if shot is shots.reference)
    return display.images[at]


def _soft(image: FloatImage) -> FloatImage:
    seen = np.isfinite(image)
    filled = np.where(seen, image, np.nanmedian(image) if seen.any() else 0.0)
    return np.where(seen, gaussian_filter(filled, _SOFT_PX), np.nan)


def _numbers(
    crop: Crop, shots: FovShots, names: list[str], images: list[FloatImage]
) -> dict[str, FloatImage]:
    size, unit = shots.reference.pixel_size_nm, unit_column(shots.reference.pixel_size_nm)
    y, x = np.meshgrid(
        along_nm(crop.top + crop.size, size)[crop.top :],
        along_nm(crop.left + crop.size, size)[crop.left :],
        indexing="ij",
    )
    pairs = zip(names, images, strict=True)
    columns = {column(name, "counts"): image.ravel() for name, image in pairs}
    return {f"y_{unit}": y.ravel(), f"x_{unit}": x.ravel(), **columns}
