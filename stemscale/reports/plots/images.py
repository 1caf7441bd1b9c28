"""The images of one FOV side by side, whole and magnified where the smear shows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from stemscale.reports.display import Display
from stemscale.reports.plot import Plot
from stemscale.reports.plots.panels import panel_grid, panel_title, show_image
from stemscale.reports.shots import FovShots, Shot

ORANGE = "#e69f00"  # of the magnified square, as on the page


def images_plot(
    shots: FovShots,
    display: Display,
    *,
    title: Callable[[Axes, Shot], None] = panel_title,
    title_lines: int = 2,
) -> Plot:
    """Draw the images of a FOV, and the place where the smear shows below each.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        Their common scale, and the place to magnify.
    title : callable
        Writes above a panel what it shows.
    title_lines : int
        How many lines that takes.

    Returns
    -------
    Plot
        To be saved within `figure_style`, as all of them.

    Notes
    -----
    Source: Ihara 2022, Fig. 1d and 3.
    """
    crop = display.crop
    n_y, n_x = shots.reference.image.shape
    aspects = (n_y / n_x,) if crop is None else (n_y / n_x, 1.0)
    figure, panels = panel_grid(len(shots.shots), *aspects, title_lines=title_lines)
    grey = {"black": display.black, "white": display.white}
    for axes, shot, image in zip(panels, shots.shots, display.images, strict=True):
        show_image(axes[0], image, pixel_size_nm=shot.pixel_size_nm, **grey)
        title(axes[0], shot)
        if crop is None:
            continue
        if image.shape != shots.reference.image.shape:
            axes[1].set_axis_off()
            continue
        corner = (crop.left - 0.5, crop.top - 0.5)
        axes[0].add_patch(
            Rectangle(corner, crop.size, crop.size, fill=False, edgecolor=ORANGE, linewidth=1.4)
        )
        show_image(axes[1], crop.of(image), pixel_size_nm=shot.pixel_size_nm, **grey)
        axes[1].spines[:].set(color=ORANGE, linewidth=1.6)
    return Plot(
        name="images",
        fov=shots.fov.name,
        title="Images",
        caption=f"Frame {shots.frame}. Every image is matched in gain and offset to the "
        f"{display.matched_to}, for display only; below, the orange square magnified.",
        paper="Fig. 1d, 3",
        figure=figure,
        numbers=_numbers(shots, display),
        photographic=True,
        on_page=False,
    )


def _numbers(shots: FovShots, display: Display) -> dict[str, list[Any]]:
    of = shots.shots
    crop = display.crop
    seen = [s.image[np.isfinite(s.image)] for s in of]
    return {
        "image": [s.name for s in of],
        "frame": [shots.frame if s.role in ("rapid", "filtered") else "" for s in of],
        "psnr_dB": [float("nan") if s.psnr_db is None else s.psnr_db for s in of],
        "pixel_size_nm": [s.pixel_size_nm or float("nan") for s in of],
        "darkest_counts": [float(v.min()) for v in seen],
        "median_counts": [float(np.median(v)) for v in seen],
        "brightest_counts": [float(v.max()) for v in seen],
        "magnified_left_px": ["" if crop is None else crop.left for _ in of],
        "magnified_top_px": ["" if crop is None else crop.top for _ in of],
        "magnified_side_px": ["" if crop is None else crop.size for _ in of],
    }
