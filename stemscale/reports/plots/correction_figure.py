"""Draw what a distortion correction did: overlays, what is left, line profiles, the map."""

import math
import textwrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from stemscale.reports.before_after import Images
from stemscale.reports.corrected_fov import CorrectedFov
from stemscale.reports.lines import dips
from stemscale.reports.plots.panels import add_scale_bar, no_ticks
from stemscale.reports.style import figure_text
from stemscale.views.grey_scale import grey_window

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float64]

DPI = 160
_SIZE_IN = (11.5, 8.4)  # as A4 lies
_RAPID, _SLOW, _INK, _SOFT = "#d97a00", "#0072b2", "#1d2330", "#5a6372"
_BANDS = ("#f2b765", "#fae3c3")  # of one and of two standard uncertainties
_THIN: Any = {"color": "0.55", "lw": 0.7, "zorder": 0.5}
_MOST_MICROMETRES_AS_NM = 2.0
_LETTERS_A_LINE = 150
_QUANTILE = 0.995


def correction_figure(correction: CorrectedFov) -> Figure:
    """Draw the distortion of one FOV, and its images before and after the correction.

    Parameters
    ----------
    correction : CorrectedFov
        As from `read_correction`.

    Returns
    -------
    Figure
        Overlays with the slow scan before and after (a), what is left (b), line profiles before
        (c) and after (d), and the map with its local stretch and its uncertainty (e).

    Notes
    -----
    Source: Ihara 2022, Fig. 1a to c and 7d. To be called, and saved, within `figure_style`.
    """
    figure = Figure(figsize=_SIZE_IN, dpi=DPI)
    figure.set_layout_engine("constrained", h_pad=0.07, w_pad=0.05)
    figure.suptitle(_heading(correction), x=0.008, ha="left", fontsize=9.5, linespacing=1.5)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.0, 1.08])
    top, bottom = halves
    left, right = bottom.subfigures(1, 2, width_ratios=[1.12, 1])
    _draw_map(right, correction)
    if correction.images is None:
        _say(top.subplots(), "The images cannot be read.")
        _say(left.subplots(), "")
        return figure
    _draw_images(top, correction, correction.images)
    _draw_profiles(left, correction, correction.images)
    return figure


def _heading(correction: CorrectedFov) -> str:
    method = figure_text(str(correction.line.attrs.get("method", "")) or "not known")
    parts = [figure_text(correction.fov.name, longest=40), f"method: {method}"]
    if correction.images is not None:
        n_frames = correction.images.n_frames
        parts.append(f"rapid scan: average of {n_frames} frame{'s' if n_frames > 1 else ''} (DCFI)")
    if math.isfinite(correction.zncc_after):
        before = "" if math.isnan(correction.zncc_before) else f"{correction.zncc_before:.3f} → "
        parts.append(f"agreement with the slow scan (ZNCC) {before}{correction.zncc_after:.3f}")
    notes = textwrap.fill(figure_text(" ".join(correction.notes), longest=600), _LETTERS_A_LINE)
    return "   ·   ".join(parts) + (f"\n{notes}" if notes else "")


def _draw_images(figure: SubFigure, correction: CorrectedFov, images: Images) -> None:
    before, after, rest = figure.subplots(1, 3)
    before.set_title("a  before correction")
    after.set_title("b  after correction")
    size_nm, flat = correction.pixel_size_nm, images.flat
    if flat is None:
        black, white = grey_window(images.after)
        for axes, image in ((before, images.before), (after, images.after)):
            axes.imshow(image, cmap="gray", vmin=black, vmax=white)
            _dress(axes, image.shape, size_nm, images.rows)
        rest.set_title("c  what is left")
        _say(rest, "No slow scan to compare with.")
        return
    window = grey_window(flat.slow)
    for axes, image in ((before, flat.before), (after, flat.after)):
        axes.imshow(overlay(image, flat.slow, dark_lines=images.dark_lines, window=window))
        _dress(axes, image.shape, size_nm, images.rows)
        _colour_key(axes)
    rest.set_title("c  corrected − slow scan")
    left, before_it = (root_mean_square(r) for r in (flat.residual, flat.residual_before))
    _under(rest, 0, f"r.m.s. {left:.1f} %, before correction {before_it:.1f} %", _INK)
    limit = max(float(np.nanquantile(np.abs(flat.residual), _QUANTILE)), 1e-9)
    shown = rest.imshow(flat.residual, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _dress(rest, flat.residual.shape, size_nm)
    bar = figure.colorbar(shown, ax=rest, shrink=0.85, extend="both")
    bar.set_label("[% of the range of the slow scan]")


def _colour_key(axes: Axes) -> None:
    key = ((-85, "rapid scan", _RAPID), (0, "both alike", _SOFT), (85, "slow scan", _SLOW))
    for at_pt, text, colour in key:
        _under(axes, at_pt, f"■ {text}", colour)


def _under(axes: Axes, at_pt: float, text: str, colour: str) -> None:
    """Write under an image, from its middle on in points: narrow ones have little room."""
    axes.annotate(
        text,
        (0.5, 0),
        xycoords="axes fraction",
        xytext=(at_pt, -5),
        textcoords="offset points",
        color=colour,
        ha="center",
        va="top",
    )


def _dress(
    axes: Axes,
    shape: tuple[int, ...],
    pixel_size_nm: float | None,
    rows: tuple[int, int] | None = None,
) -> None:
    """Take the ticks off an image; give it a scale bar, and an arrow at the profile's rows."""
    n_y, n_x = shape
    no_ticks(axes)
    if rows is not None:
        axes.plot(
            [-0.018],
            [(rows[0] + rows[1] - 1) / 2],
            marker=">",
            color=_INK,
            ms=6,
            mew=0,
            clip_on=False,
            transform=axes.get_yaxis_transform(),
        )
    axes.set(xlim=(-0.5, n_x - 0.5), ylim=(n_y - 0.5, -0.5))
    add_scale_bar(axes, n_x, pixel_size_nm)


def _draw_profiles(figure: SubFigure, correction: CorrectedFov, images: Images) -> None:
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    x, unit = _along(images.after.shape[1], correction.pixel_size_nm)
    first, end = images.rows
    which = f"mean of rows {first} to {end - 1}" if end - first > 1 else f"row {first}"
    slow = None if images.slow is None else images.profile(images.slow)
    sharpest = images.profile(images.after) if slow is None else slow
    marked = dips(sharpest, dark_lines=images.dark_lines).columns
    for axes, image, letter, title in zip(
        panels,
        (images.before, images.after),
        "de",
        (f"before correction, {which} (arrow in a)", "after correction"),
        strict=True,
    ):
        axes.set_title(f"{letter}  {title}")
        if slow is not None:
            axes.plot(x, slow, color=_SLOW, lw=1.1, label="slow scan")
        axes.plot(x, images.profile(image), color=_RAPID, lw=1.1, label="rapid scan (DCFI)")
        for at in x[marked]:
            axes.axvline(at, **_THIN, ls=(0, (2, 2)))
        if slow is not None or image is images.after:  # on the line that they were found in
            axes.plot(x[marked], sharpest[marked], "o", ms=6, mfc="none", mec=_INK, mew=0.9)
        axes.set_xlim(x[0], x[-1])
        axes.margins(y=0.08)
        axes.set_ylabel("intensity [counts]" if slow is None else "matched intensity [counts]")
    panels[-1].set_xlabel(f"position along the scan line [{unit}]")
    panels[1].legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderaxespad=0)


def _along(count: int, pixel_size_nm: float | None) -> tuple[FloatArray, str]:
    columns = np.arange(count, dtype=np.float64)
    if pixel_size_nm is None:
        return columns, "px"
    if count * pixel_size_nm > 1000 * _MOST_MICROMETRES_AS_NM:
        return columns * pixel_size_nm / 1000, "µm"
    return columns * pixel_size_nm, "nm"


def _draw_map(figure: SubFigure, correction: CorrectedFov) -> None:
    line = correction.line
    offset, stretch, doubt = figure.subplots(3, 1, sharex=True, height_ratios=[2.4, 1.1, 1.1])
    columns = np.arange(line.source_x.size)
    departure, std = line.departure_px, line.source_x_std
    if std is not None and std.shape == departure.shape:
        _band(offset, departure, std)
        _band(doubt, np.zeros(std.size), std)
        doubt.legend(
            loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderaxespad=0, handlelength=1.2
        )
        # the ends of the line may be anyone's guess, and would flatten the rest
        limit = max(1e-6, 3 * float(np.quantile(std, 0.95)))
        doubt.set_ylim(-limit, limit)
        doubt.set_ylabel("± [px]")
    else:
        method = figure_text(str(line.attrs.get("method", "")) or "used")
        _say(doubt, f"The method ({method}) gives no uncertainty.", keep_frame=True)
        doubt.set_yticks([])
    offset.plot(columns, departure, color=_RAPID, lw=1.4)
    if columns.size > 1:
        straight = np.polynomial.Polynomial.fit(columns, departure, 1)(columns)
        look: Any = {"color": _INK, "lw": 0.8, "ls": (0, (4, 3))}
        (handle,) = offset.plot(columns, straight, **look, label="best straight line")
        offset.legend(handles=[handle], loc="best")
    offset.axhline(0, **_THIN)
    offset.margins(y=0.1)
    offset.set_title("f  distortion: rapid column − nominal one")
    offset.set_ylabel("[px]")
    stretch.plot(columns, correction.stretch_percent, color=_RAPID, lw=1.2)
    stretch.axhline(0, **_THIN)
    stretch.margins(y=0.12)
    stretch.set_title("local stretch that undoes it")
    stretch.set_ylabel("[%]")
    rms = "" if std is None else f", r.m.s. {np.sqrt(np.mean(std**2)):.2g} px"
    doubt.set_title(f"standard uncertainty{rms}")
    doubt.set_xlabel("column of the corrected image [px]")
    doubt.set_xlim(0, max(1, columns[-1]))
    size_nm = correction.fov.pixel_size_nm
    if size_nm is not None:
        for axes in (offset, doubt) if std is not None else (offset,):
            _right_in_nm(axes, size_nm)
    figure.align_ylabels([offset, stretch, doubt])


def _band(axes: Axes, middle: FloatArray, std: FloatArray) -> None:
    columns = np.arange(middle.size)
    for times, colour in zip((2, 1), _BANDS[::-1], strict=True):
        axes.fill_between(
            columns,
            middle - times * std,
            middle + times * std,
            color=colour,
            lw=0,
            label=f"±{times}σ" if times > 1 else "±σ",
        )


def _right_in_nm(axes: Axes, pixel_size_nm: float) -> None:
    def to_nm(px: FloatArray) -> FloatArray:
        return np.asarray(px) * pixel_size_nm

    def to_px(nm: FloatArray) -> FloatArray:
        return np.asarray(nm) / pixel_size_nm

    functions: Any = (to_nm, to_px)
    right = axes.secondary_yaxis("right", functions=functions)
    right.set_ylabel("[nm]")
    axes.spines["right"].set_visible(False)


def _say(axes: Axes, text: str, *, keep_frame: bool = False) -> None:
    if not keep_frame:
        axes.set_axis_off()
    axes.text(
        0.5, 0.5, text, ha="center", va="center", color=_SOFT, transform=axes.transAxes, wrap=True
    )


def overlay(
    rapid: FloatImage, slow: FloatImage, *, dark_lines: bool, window: tuple[float, float]
) -> FloatImage:
    """Lay two images over each other in two colours that colour-blind readers tell apart.

    Parameters
    ----------
    rapid, slow : ndarray, shape (y, x)
        On one scale; NaN = not seen.
    dark_lines : bool
        Whether lines are darker than their surroundings: then the colours are swapped, so that
        the lines of the rapid scan come out orange either way.
    window : tuple of float
        Intensities of black and white.

    Returns
    -------
    ndarray, shape (y, x, 4)
        RGBA from 0 to 1: lines of the rapid scan alone orange, of the slow scan alone blue, grey
        where both agree, transparent where either is not seen.
    """
    black, white = window
    one, other = (np.clip((i - black) / (white - black), 0, 1) for i in (rapid, slow))
    if dark_lines:
        one, other = other, one
    seen = np.isfinite(rapid) & np.isfinite(slow)
    rgba = np.stack([one, (one + other) / 2, other, np.ones(one.shape)], axis=-1)
    return np.where(seen[..., None], rgba, 0.0)


def root_mean_square(image: FloatImage) -> float:
    """Return the root mean square of what is seen of an image; NaN of one that is not seen."""
    seen = image[np.isfinite(image)]
    return float(np.sqrt(np.mean(seen**2))) if seen.size else float("nan")
