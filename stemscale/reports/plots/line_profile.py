"""Intensity along a line through the structure, all images on the scale of the paper's PSNR."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.errors import SeriesError
from stemscale.quality import min_max_scale, remove_background
from stemscale.reports.display import Display, on_grid
from stemscale.reports.lines import Dips, dips, has_dark_lines, telling_rows
from stemscale.reports.plot import Plot, column, unit_column
from stemscale.reports.plots.panels import WIDE_IN, along_nm, groups_of
from stemscale.reports.shots import FloatImage, FovShots, Shot
from stemscale.reports.style import Look, figure_text, looks, one_legend

FloatArray = npt.NDArray[np.float64]

FILTERS_A_PANEL = 3  # more lines cannot be told apart
_PANEL_IN = 2.6
_STRIPE = "#cfe8f7"


def line_profile_plot(shots: FovShots, display: Display) -> Plot | None:
    """Draw the intensity along the rows where most changes along the scan line.

    Parameters
    ----------
    shots : FovShots
        Images of one FOV.
    display : Display
        Says which of them share the grid of the reference.

    Returns
    -------
    Plot or None
        None where there is no structure to be seen in all of them.

    Notes
    -----
    Source: Ihara 2022, Fig. 4b (rows Q1 and Q7): every image is scaled by its darkest and its
    brightest pixel to 0 … 65535, and the dips of the sharpest one are marked by stripes.
    """
    scaled = _on_paper_scale([shot for shot, _ in on_grid(shots, display)])
    reference = next((image for shot, image in scaled if shot is shots.reference), None)
    if reference is None or reference.shape[1] < 2:
        return None
    seen = np.logical_and.reduce([np.isfinite(image) for _, image in scaled])
    if not seen.any():
        return None
    flat = remove_background(reference)
    rows = telling_rows(flat, seen=seen)
    lines = [(shot, image[slice(*rows)].mean(axis=0)) for shot, image in scaled]
    sharpest = reference[slice(*rows)].mean(axis=0)
    marked = dips(sharpest, dark_lines=has_dark_lines(flat))
    size = shots.reference.pixel_size_nm
    first, end = rows
    return Plot(
        name="line_profile",
        fov=shots.fov.name,
        title="Intensity along the scan line",
        caption=f"Mean of rows {first} to {end - 1}; every image scaled by its darkest and "
        f"brightest pixel to 0 … 65 535. Stripes: lines of the {shots.reference.name}.",
        paper="Fig. 4b",
        figure=_draw(lines, marked, size),
        numbers=_numbers(lines, marked, size),
    )


def _on_paper_scale(shots: list[Shot]) -> list[tuple[Shot, FloatImage]]:
    found = []
    for shot in shots:
        try:
            found.append((shot, min_max_scale(shot.image)))
        except SeriesError:  # a constant image has no profile
            continue
    return found


def _draw(lines: list[tuple[Shot, FloatArray]], marked: Dips, size_nm: float | None) -> Figure:
    styles = looks([look_name(shot) for shot, _ in lines])
    panels_of = groups_of([line for line in lines if line[0].role == "filtered"], FILTERS_A_PANEL)
    figure = Figure(figsize=(WIDE_IN, _PANEL_IN * len(panels_of) + 0.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(panels_of), 1, sharex=True, sharey=True))
    x = along_nm(lines[0][1].size, size_nm)
    for axes, filters in zip(panels, panels_of, strict=True):
        for left, right in zip(marked.left, marked.right, strict=True):
            axes.axvspan(*np.interp([left, right], np.arange(x.size), x), color=_STRIPE, lw=0)
        for shot, line in lines:
            if shot.role != "filtered" or any(shot is other for other, _ in filters):
                _line(axes, x, line, shot, styles[look_name(shot)])
        axes.set_xlim(x[0], x[-1])
        axes.set_ylabel("scaled intensity")
    panels[-1].set_xlabel(f"position along the scan line [{unit_column(size_nm)}]")
    one_legend(figure, list(panels))
    return figure


def _line(axes: Axes, x: FloatArray, line: FloatArray, shot: Shot, look: Look) -> None:
    weight, alpha = {"rapid": (0.7, 0.7), "slow": (1.5, 1.0)}.get(shot.role, (1.2, 1.0))
    axes.plot(
        x,
        line,
        color=look.colour,
        ls=look.dashes,
        lw=weight,
        alpha=alpha,  # the noise of a rapid frame would hide the other lines
        label=figure_text(shot.name),
    )


def _numbers(
    lines: list[tuple[Shot, FloatArray]], marked: Dips, size_nm: float | None
) -> dict[str, npt.NDArray[Any]]:
    columns = np.arange(lines[0][1].size)
    places = {} if size_nm is None else {"x_nm": along_nm(columns.size, size_nm)}
    return {
        "x_px": columns,
        **places,
        **{column(shot.name, "scaled"): line for shot, line in lines},
        "is_dip": np.isin(columns, marked.columns).astype(np.int64),
    }


def look_name(shot: Shot) -> str:
    """Name the look of an image: its kind, or of a filter its name."""
    if shot.role in ("rapid", "slow"):
        return shot.role
    return "dcfi" if shot.name == "DCFI" else shot.name
