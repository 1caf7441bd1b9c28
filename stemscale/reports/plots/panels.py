"""Images in figures: a grid of them, one grey scale, scale bars, titles that fit."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation

from stemscale.reports.shots import FloatImage, Shot
from stemscale.reports.style import figure_text
from stemscale.views.scale_bar import scale_bar

WIDE_IN = 11.5  # as A4 lies
WIDTH_IN = 5.2  # two beside each other on a page of 1280 px
MOST_IN_A_ROW = 6
_PANEL_IN = 2.7
_ABOVE_IN = 0.11  # room around a title
_LINE = 1.25  # height over that of the letters
_TALLEST = 2.0  # height over width
_INK = "#1d2330"
UNSEEN = "#e9ebef"


def panel_grid(
    count: int, *aspects: float, title_lines: int = 2
) -> tuple[Figure, list[list[Axes]]]:
    """Lay out panels for images, six in a row, so that many filters find room.

    Parameters
    ----------
    count : int
        Images.
    *aspects : float
        Heights over widths of the panels that stand one below the other for each image.
    title_lines : int
        Lines above each image.

    Returns
    -------
    Figure
    list of list of Axes
        For each image its panels.
    """
    columns = min(count, MOST_IN_A_ROW)
    bands = math.ceil(count / columns)
    # equal rows: of seven images, four and three
    columns = math.ceil(count / bands)
    width = min(_PANEL_IN, WIDE_IN / columns)
    stack, ratios = len(aspects), [min(a, _TALLEST) for a in aspects]
    title_in = title_lines * _LINE * rcParams["axes.titlesize"] / 72 + _ABOVE_IN
    height = bands * (width * sum(ratios) + title_in)
    figure = Figure(figsize=(columns * width, height))
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    axes = figure.subplots(bands * stack, columns, squeeze=False, height_ratios=bands * ratios)
    found = []
    for place in range(bands * columns):
        band, column = divmod(place, columns)
        mine = [axes[band * stack + row, column] for row in range(stack)]
        if place < count:
            found.append(mine)
        else:
            for unused in mine:
                unused.set_axis_off()
    return figure, found


def show_image(
    axes: Axes,
    image: FloatImage,
    *,
    black: float,
    white: float,
    pixel_size_nm: float | None,
) -> None:
    """Draw an image in grey, without ticks, with a scale bar.

    Parameters
    ----------
    axes : Axes
    image : ndarray, shape (y, x)
        NaN (not seen) is left in the colour of the ground.
    black, white : float
        Intensities of the darkest and the brightest grey.
    pixel_size_nm : float or None
        None: no scale bar.
    """
    axes.imshow(image, cmap="gray", vmin=black, vmax=white, interpolation="antialiased")
    no_ticks(axes)
    add_scale_bar(axes, image.shape[1], pixel_size_nm)


def no_ticks(axes: Axes) -> None:
    """Take the ticks off a panel and put a frame around it."""
    axes.set(xticks=[], yticks=[], facecolor=UNSEEN)
    axes.spines[["top", "right"]].set_visible(True)


def add_scale_bar(axes: Axes, n_x: int, pixel_size_nm: float | None) -> None:
    """Put a scale bar of a round length at the lower left; none without a pixel size."""
    if pixel_size_nm is None:
        return
    bar = scale_bar(n_x * pixel_size_nm)
    left, length = 0.04 * n_x, bar.percent / 100 * n_x
    bottom, points = axes.get_xaxis_transform(), axes.figure.dpi_scale_trans
    axes.plot(
        [left, left + length],
        [0, 0],
        color=_INK,
        lw=3,
        solid_capstyle="butt",
        transform=bottom + ScaledTranslation(0, 8 / 72, points),
        path_effects=[withStroke(linewidth=5, foreground="white")],
        scalex=False,
        scaley=False,
    )
    axes.text(
        left,
        0,
        bar.label,
        color=_INK,
        weight="bold",
        transform=bottom + ScaledTranslation(0, 13 / 72, points),
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )


def panel_title(axes: Axes, shot: Shot, *, with_psnr: bool = True) -> None:
    """Write what a panel shows, and its PSNR where it is known."""
    psnr = f"\nPSNR {shot.psnr_db:.1f} dB" if with_psnr and shot.psnr_db is not None else ""
    axes.set_title(f"{figure_text(shot.name, longest=22)}{psnr}", linespacing=_LINE)


def along_nm(count: int, pixel_size_nm: float | None) -> npt.NDArray[np.float64]:
    """Give the places of pixels along a line [nm], or [px] without a pixel size."""
    return np.arange(count, dtype=np.float64) * (pixel_size_nm or 1.0)


def groups_of(shots: Sequence[Any], most: int) -> list[list[Any]]:
    """Split filters into groups small enough for one panel; at least one, if empty."""
    count = max(1, math.ceil(len(shots) / most))
    size = math.ceil(len(shots) / count) or 1
    return [list(shots[i * size : (i + 1) * size]) for i in range(count)]
