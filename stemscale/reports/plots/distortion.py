"""The distortion of the rapid scan: of one FOV with all it does, and of all FOVs together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from stemscale.reports.corrected_fov import CorrectedFov
from stemscale.reports.lines import dips
from stemscale.reports.plot import Plot
from stemscale.reports.plots.correction_figure import correction_figure
from stemscale.reports.plots.panels import WIDTH_IN
from stemscale.reports.style import figure_text, legend_above, looks
from stemscale.views.store_view import CalibrationView, FovView

FloatArray = npt.NDArray[np.float64]

_MAX_LEGEND = 8


def correction_plot(correction: CorrectedFov) -> Plot:
    """Draw what the correction of one FOV did: overlays, what is left, profiles, the map.

    Parameters
    ----------
    correction : CorrectedFov
        As from `read_correction`.

    Returns
    -------
    Plot

    Notes
    -----
    Source: Ihara 2022, Fig. 1a to c and 7d (rows C6 and Q7).
    """
    return Plot(
        name="distortion",
        fov=correction.fov.name,
        title=f"Distortion of {correction.fov.name}",
        caption="a, b: rapid scan laid over the slow scan, without smooth backgrounds; where both "
        "agree the picture is grey. c: what is left; the smear of the detector is no distortion "
        "and stays. d, e: line profiles before and after; circles: lines in the slow scan. "
        "f: column of the rapid scan seen at each column of the corrected image, less the column "
        "where an undistorted scan would see it; by how much the rapid scan is stretched to undo "
        "that; and one and two standard uncertainties.",
        paper="Fig. 1a–c, 7d",
        figure=correction_figure(correction),
        numbers=_numbers(correction),
        photographic=True,
    )


def distortion_plot(fovs: Sequence[FovView]) -> Plot | None:
    """Draw how far the rapid scan lies off along the line, for all FOVs.

    Parameters
    ----------
    fovs : sequence of FovView

    Returns
    -------
    Plot or None
        None where no FOV has a calibration.

    Notes
    -----
    Source: Ihara 2022, Fig. 7d (row C6).
    """
    calibrated = [(f.name, f.calibration) for f in fovs if f.calibration is not None]
    if not calibrated:
        return None
    return Plot(
        name="distortion_all",
        title="Distortion along the scan line, all fields of view",
        caption="Column of the rapid scan seen, less the nominal one; band: one standard "
        "uncertainty.",
        paper="Fig. 7d",
        figure=_draw(calibrated),
        numbers={
            "fov": [name for name, c in calibrated for _ in c.source_x],
            "column_px": [x for _, c in calibrated for x in range(c.source_x.size)],
            "departure_px": [d for _, c in calibrated for d in c.departure_px.tolist()],
            "uncertainty_px": [u for _, c in calibrated for u in _uncertainty(c).tolist()],
        },
    )


def _draw(calibrated: Sequence[tuple[str, CalibrationView]]) -> Figure:
    styles = looks([name for name, _ in calibrated])
    figure = Figure(figsize=(WIDTH_IN, 3.0), layout="constrained")
    axes = figure.subplots()
    for name, calibration in calibrated:
        offset, std = calibration.departure_px, _uncertainty(calibration)
        x = np.arange(offset.size)
        look = styles[name]
        axes.plot(x, offset, color=look.colour, ls=look.dashes, lw=1.3, label=figure_text(name))
        if np.isfinite(std).any():
            axes.fill_between(x, offset - std, offset + std, color=look.colour, alpha=0.2, lw=0)
    axes.axhline(0, color="0.6", lw=0.6)
    axes.set_xlim(0, max(1, *(c.source_x.size - 1 for _, c in calibrated)))
    axes.set_xlabel("column x of the corrected image [px]")
    axes.set_ylabel("rapid column − nominal one [px]")
    if len(calibrated) <= _MAX_LEGEND:
        legend_above(figure, *axes.get_legend_handles_labels())
    return figure


def _uncertainty(calibration: CalibrationView) -> FloatArray:
    std = calibration.source_x_std
    if std is None or std.shape != calibration.source_x.shape:
        return np.full(calibration.source_x.shape, np.nan)
    return std


def _numbers(correction: CorrectedFov) -> dict[str, npt.NDArray[np.generic]]:
    line, images = correction.line, correction.images
    columns = np.arange(line.source_x.size)
    found: dict[str, npt.NDArray[np.generic]] = {
        "column_px": columns,
        "source_x_px": line.source_x,
        "departure_px": line.departure_px,
        "uncertainty_px": _uncertainty(line),
        "stretch_percent": correction.stretch_percent,
    }
    if images is None:
        return found
    sharpest = images.profile(images.after if images.slow is None else images.slow)
    marked = dips(sharpest, dark_lines=images.dark_lines).columns
    found |= {
        "rapid_before_counts": images.profile(images.before),
        "rapid_after_counts": images.profile(images.after),
        "is_dip": np.isin(columns, marked).astype(np.int64),
    }
    return found if images.slow is None else found | {"slow_counts": images.profile(images.slow)}
