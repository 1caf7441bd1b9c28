"""Images and scores of a store come in; the figures of a report go out, each with its numbers.

A new figure is one function in a module of its own, and one line in one of the lists below: page
and folder take it from there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from stemscale.reports.corrected_fov import fits_best, read_correction
from stemscale.reports.display import Display
from stemscale.reports.plot import Plot
from stemscale.reports.plots.contours import contours_plot
from stemscale.reports.plots.distortion import correction_plot, distortion_plot
from stemscale.reports.plots.fourier import fourier_plot
from stemscale.reports.plots.frames import frames_plot, stamp
from stemscale.reports.plots.images import images_plot
from stemscale.reports.plots.line_profile import line_profile_plot
from stemscale.reports.plots.residual import residual_plot
from stemscale.reports.plots.scores import bands_plot, scores_plot
from stemscale.reports.plots.series import series_plot
from stemscale.reports.plots.spectra import spectrum_cutoffs, spectrum_plot
from stemscale.reports.scores import ScoreRow
from stemscale.reports.shots import FovShots
from stemscale.reports.style import figure_style
from stemscale.views.store_view import StoreView

FOV_PLOTS: tuple[Callable[[FovShots, Display], Plot | None], ...] = (
    images_plot,
    contours_plot,
    fourier_plot,
    line_profile_plot,
    spectrum_plot,
)
"""Figures of the images of one FOV, in reading order."""

SCORE_PLOTS: tuple[Callable[[Sequence[ScoreRow]], Plot | None], ...] = (scores_plot, bands_plot)
"""Figures of the table of scores."""

_MOST_SERIES = 6


def fov_plots(shots: FovShots, display: Display) -> Iterator[Plot]:
    """Draw all figures of the images of one FOV that it has the data for."""
    yield from _drawn(partial(draw, shots, display) for draw in FOV_PLOTS)


def stretch_plots(view: StoreView, shots: FovShots) -> Iterator[Plot]:
    """Draw the figures that some frames of one FOV are read for."""
    yield from _drawn([partial(residual_plot, view, shots)])


def score_plots(rows: Sequence[ScoreRow]) -> Iterator[Plot]:
    """Draw all figures of the table of scores."""
    yield from _drawn(partial(draw, rows) for draw in SCORE_PLOTS)


def series_plots(view: StoreView) -> Iterator[Plot]:
    """Draw at most six series, heated ones first: their frames, and their PSNR."""
    shown = 0
    for fov in sorted(view.fovs, key=lambda f: (f.temperature is None, not f.slow_is_after)):
        found = list(_drawn((partial(frames_plot, view, fov), partial(series_plot, fov))))
        yield from found
        shown += bool(found)
        if shown == _MOST_SERIES:
            return


def distortion_plots(view: StoreView) -> Iterator[Plot]:
    """Draw the distortion of the FOV that shows it best, and that of all FOVs."""
    calibrated = fits_best(view.fovs)
    if calibrated:
        best = read_correction(view, calibrated[0])
        yield from _drawn([partial(correction_plot, best)])
    if len(calibrated) > 1:
        yield from _drawn([partial(distortion_plot, view.fovs)])


def _drawn(makers: Iterable[Callable[[], Plot | None]]) -> Iterator[Plot]:
    """Draw one after the other, in the style of all: a page need not hold them all at once."""
    for make in makers:
        with figure_style():
            plot = make()
        if plot is not None:
            yield plot


__all__ = [
    "FOV_PLOTS",
    "SCORE_PLOTS",
    "distortion_plots",
    "fov_plots",
    "score_plots",
    "series_plots",
    "spectrum_cutoffs",
    "stamp",
    "stretch_plots",
]
