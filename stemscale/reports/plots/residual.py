"""What filters took away beside noise: lines that show here were erased, or invented."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from stemscale.errors import SeriesError
from stemscale.quality import ResidualTest, residual_test
from stemscale.reports.plot import Plot, column, unit_column
from stemscale.reports.plots.panels import (
    MOST_IN_A_ROW,
    UNSEEN,
    WIDE_IN,
    add_scale_bar,
    along_nm,
    no_ticks,
)
from stemscale.reports.shots import FovShots
from stemscale.reports.stretches import Stretch, read_stretches
from stemscale.reports.style import figure_text
from stemscale.views.store_view import StoreView

_CLEAREST = 6.0  # standard deviations
_MOST_BINS = 128  # a side, of the numbers
_PANEL_IN = 2.7


def residual_plot(view: StoreView, shots: FovShots) -> Plot | None:
    """Draw where some frames and their filtered form differ by more than noise and smear.

    Parameters
    ----------
    view : StoreView
    shots : FovShots
        Images of one FOV; frames around the one shown are tested.

    Returns
    -------
    Plot or None
        None where no filter has enough frames there, or none was corrected as the frames are.

    Notes
    -----
    See :func:`~stemscale.quality.residual_test`. Asks for no slow scan.
    """
    tested = [(s, t) for s in read_stretches(view, shots) if (t := _test(s)) is not None]
    if not tested:
        return None
    first, last = tested[0][0].frames[0], tested[0][0].frames[-1]
    size_nm = shots.reference.pixel_size_nm
    return Plot(
        name="residual",
        fov=shots.fov.name,
        title="What was taken away beside noise",
        caption=f"Mean of input less output smeared again, frames {first} to {last}, over its own "
        "noise: red, the input is brighter; blue, darker. Grey all over, only noise was taken "
        "away; a line is structure that was weakened, erased or invented. In %: that structure, "
        "over the contrast of the scene. Longer means show fainter structure.",
        figure=_draw(tested, size_nm),
        numbers=_numbers(tested, size_nm),
        photographic=True,
    )


def _test(stretch: Stretch) -> ResidualTest | None:
    try:
        return residual_test(stretch.inputs, stretch.outputs, halo=stretch.halo)
    except SeriesError:  # too few frames, too narrow, or nothing in them
        return None


def _draw(tested: list[tuple[Stretch, ResidualTest]], size_nm: float | None) -> Figure:
    columns = min(len(tested), MOST_IN_A_ROW)
    rows = math.ceil(len(tested) / columns)
    n_y, n_x = tested[0][1].z.shape
    width = min(_PANEL_IN, WIDE_IN / columns)
    size = (columns * width + 0.8, rows * (width * min(2.0, n_y / n_x) + 0.45))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for place in axes.ravel()[len(tested) :]:
        place.set_axis_off()
    shown = None
    for panel, (stretch, test) in zip(axes.ravel(), tested, strict=False):
        shown = panel.imshow(test.z, cmap="coolwarm", vmin=-_CLEAREST, vmax=_CLEAREST)
        no_ticks(panel)
        panel.set_facecolor(UNSEEN)
        add_scale_bar(panel, n_x, size_nm)
        panel.set_title(f"{figure_text(stretch.name, longest=18)}: {100 * test.lost:.0f} %")
    assert shown is not None
    bar = figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.01, extend="both")
    bar.set_label("residual / its noise")
    return figure


def _numbers(
    tested: list[tuple[Stretch, ResidualTest]], size_nm: float | None
) -> dict[str, npt.NDArray[np.float64]]:
    """Means over squares of pixels, so that a table can be opened."""
    n_y, n_x = tested[0][1].z.shape
    step = max(1, math.ceil(max(n_y, n_x) / _MOST_BINS))
    rows, columns = n_y // step * step, n_x // step * step
    unit = unit_column(size_nm)
    y, x = np.meshgrid(
        along_nm(n_y, size_nm)[:rows:step],
        along_nm(n_x, size_nm)[:columns:step],
        indexing="ij",
    )
    found = {f"y_{unit}": y.ravel(), f"x_{unit}": x.ravel()}
    for stretch, test in tested:
        squares = test.z[:rows, :columns].reshape(rows // step, step, columns // step, step)
        found[column(stretch.name, "residual_over_noise")] = squares.mean(axis=(1, 3)).ravel()
    return found
