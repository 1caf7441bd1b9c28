"""One picture of a store: rapid, DCFI, filtered and slow scan side by side."""

from pathlib import Path

from stemscale.errors import StoreError
from stemscale.reports.display import prepare
from stemscale.reports.pixels import read_shots
from stemscale.reports.plots.images import images_plot
from stemscale.reports.sections import shown_first
from stemscale.reports.store_view import read_store
from stemscale.reports.style import figure_style

_DPI = 120


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
            with figure_style():
                figure = images_plot(shots, prepare(shots)).figure
                figure.savefig(output, dpi=_DPI)
            return output
    raise StoreError(f"{store} holds no image: ingest a series first")
