"""A store comes in; a picture of its distortion and of what the correction did goes out."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages

from stemscale.errors import StoreError
from stemscale.reports.corrected_fov import fits_best, read_correction
from stemscale.reports.plots.correction_figure import DPI, correction_figure
from stemscale.reports.style import UNDATED, figure_style, save_figure
from stemscale.views.output import checked_output, write_at_once
from stemscale.views.store_view import FovView, StoreView, read_store

PLOT_ENDINGS = (".png", ".svg", ".pdf")


def check_plot(store: str | Path, output: Path) -> Path:
    """Refuse a picture that cannot be written, before the work that it is to show.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    output : Path
        The picture.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    SettingsError
        If its ending is not ``.png``, ``.svg`` or ``.pdf``, or nothing can be written there.
    """
    return checked_output(store, output, PLOT_ENDINGS)


def plot_corrections(store: str | Path, output: Path, *, fovs: Sequence[str] = ()) -> Path:
    """Draw the distortion of calibrated FOVs, and their images before and after its correction.

    Parameters
    ----------
    store : str or Path
        Folder of the store.
    output : Path
        ``.png`` or ``.svg``: the FOV that agrees best with its slow scan; ``.pdf``: a page for
        each FOV, that one first.
    fovs : sequence of str, optional
        Only these FOVs; by default all.

    Returns
    -------
    Path
        As given; written at once or not at all.

    Raises
    ------
    SettingsError
        If the picture cannot be written there.
    StoreError
        If there is no store, or no calibration in it.
    """
    check_plot(store, output)
    view = read_store(store)
    chosen = [f for f in fits_best(view.fovs) if not fovs or f.name in fovs]
    if not chosen:
        raise StoreError(f"{store} has no calibration to draw: run `stemscale calibrate` first")
    ending = output.suffix.lower().lstrip(".")
    with figure_style():
        if ending == "pdf":
            write_at_once(output, lambda path: _write_pages(view, chosen, path))
        else:
            figure = correction_figure(read_correction(view, chosen[0]))
            write_at_once(output, lambda path: save_figure(figure, path, ending, dpi=DPI))
    return output


def _write_pages(view: StoreView, fovs: Sequence[FovView], path: Path) -> None:
    with PdfPages(path, metadata=UNDATED["pdf"]) as pages:
        for fov in fovs:  # one at a time: a store may have many
            pages.savefig(correction_figure(read_correction(view, fov)), dpi=DPI)
