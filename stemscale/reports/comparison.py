"""One picture of a store: rapid, DCFI, filtered and slow scan side by side."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.errors import StoreError
from stemscale.reports.display import Display, prepare
from stemscale.reports.pictures import scale_bar
from stemscale.reports.pixels import FloatImage, FovShots, Shot, read_shots
from stemscale.reports.sections import shown_first
from stemscale.reports.store_view import read_store
from stemscale.reports.style import figure_style, figure_text

_PANEL_IN = 3.0  # inch
_DPI = 100


def write_comparison(store: str | Path, output: Path) -> Path:
    """Write a picture of the first held-out FOV, whole and magnified where the smear shows.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    output : Path
        The picture, ``.png`` or ``.svg``.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    StoreError
        If there is no store, or no image in it.
    """
    view = read_store(store)
    for fov in sorted(view.fovs, key=shown_first):
        shots = read_shots(view, fov)
        if shots.shots:
            _draw(shots, output)
            return output
    raise StoreError(f"{store} holds no image: ingest a series first")


def _draw(shots: FovShots, output: Path) -> None:
    display = prepare(shots)
    rows = 1 if display.crop is None else 2
    count = len(shots.shots)
    with figure_style():
        size = (_PANEL_IN * count, (_PANEL_IN + 0.05) * rows + 0.3)
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        axes = figure.subplots(rows, count, squeeze=False)
        for column, (shot, image) in enumerate(zip(shots.shots, display.images, strict=True)):
            _panel(axes[0, column], image, shot, display)
            axes[0, column].set_title(figure_text(shot.name))
            if display.crop is not None:
                _panel(axes[1, column], display.crop.of(image), shot, display)
        figure.savefig(output)


def _panel(axes: Axes, image: FloatImage, shot: Shot, display: Display) -> None:
    axes.imshow(image, cmap="gray", vmin=display.black, vmax=display.white, interpolation="nearest")
    axes.set_axis_off()
    if shot.pixel_size_nm is None:
        return
    n_y, n_x = image.shape
    bar = scale_bar(n_x * shot.pixel_size_nm)
    end = 0.04 * n_x + bar.percent / 100 * n_x
    axes.plot([0.04 * n_x, end], [0.94 * n_y] * 2, color="white", linewidth=3)
    axes.text(0.04 * n_x, 0.91 * n_y, bar.label, color="white", fontsize=8)
