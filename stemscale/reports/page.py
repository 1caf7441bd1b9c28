"""A store comes in; one HTML page that needs nothing else goes out."""

import logging
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import markupsafe
import numpy as np
import xarray as xr
import zarr

from stemscale.reports.correction import fits_best, read_correction
from stemscale.reports.correction_figure import correction_figure
from stemscale.reports.figures import distortion_figure, psnr_figure, series_figure
from stemscale.reports.output import checked_output, page_beside, write_at_once
from stemscale.reports.scores import AFTER, TRAINED, score_table
from stemscale.reports.sections import fov_sections
from stemscale.reports.store_view import FovView, StoreView, read_store
from stemscale.reports.style import figure_style, svg_uri
from stemscale.reports.tables import (
    calibration_row,
    facts,
    filter_cards,
    fov_row,
    headline,
    score_rows,
    short,
    warnings,
)

logger = logging.getLogger(__name__)

_LAST_HISTORY_LINES = 100
_MOST_SERIES = 6


def write_report(store: str | Path, output: Path | None = None) -> Path:
    """Write one page about a store: pictures, scores, spectra, distortion, provenance.

    Parameters
    ----------
    store : str or Path
        Folder of the store. Works at any state of it: without slow scans, calibrations or
        filters, those parts are left out.
    output : Path, optional
        The HTML file; by default beside the store, ``demo.zarr`` → ``demo.html``.

    Returns
    -------
    Path
        The file written. It is self-contained, below 20 MB, and was written at once or not at
        all.

    Raises
    ------
    StoreError
        If there is no stemscale store, or it holds no field of view.
    SettingsError
        If ``output`` is a folder, lies in the store, or its folder does not exist.
    """
    target = page_beside(store) if output is None else Path(output)
    checked_output(store, target)
    view = read_store(store)
    page = _render(view)
    write_at_once(target, lambda path: path.write_text(page, encoding="utf-8"))
    logger.info("%s: report of %d FOVs, %d bytes", target, len(view.fovs), len(page))
    return target


def _render(view: StoreView) -> str:
    rows = score_table(view)
    sections = fov_sections(view)
    calibrated = fits_best(view.fovs)
    correction = _correction(view, calibrated)
    source = files("stemscale.reports")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["short"] = short
    template = environment.from_string(source.joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        # our own file: anything from the store is escaped
        style=markupsafe.Markup(source.joinpath("page.css").read_text(encoding="utf-8")),
        name=view.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=_versions(),
        facts=facts(view),
        warnings=warnings(view),
        sections=sections,
        not_shown=len(view.fovs) - len(sections),
        rows=score_rows(rows),
        has_truth=any(r.truth_mean_db is not None for r in rows),
        has_smear=any(r.smear is not None for r in rows),
        has_after=any(r.fov_group == AFTER for r in rows),
        has_trained=any(r.fov_group == TRAINED for r in rows),
        headline=headline(rows),
        psnr_figure=psnr_figure(rows),
        has_slow=any(f.slow for f in view.fovs),
        correction_fov=calibrated[0].name if calibrated else "",
        correction_figure=correction,
        distortion_figure=distortion_figure(view.fovs) if len(calibrated) > 1 else None,
        calibrations=[calibration_row(f) for f in view.fovs if f.calibration is not None],
        series=_series(view.fovs),
        fovs=[fov_row(f) for f in view.fovs],
        cards=filter_cards(view.fovs),
        history=view.history[-_LAST_HISTORY_LINES:],
    )


def _correction(view: StoreView, calibrated: Sequence[FovView]) -> str | None:
    """Draw the FOV that shows the distortion best; before the warnings, which it may add to."""
    if not calibrated:
        return None
    with figure_style():
        return svg_uri(correction_figure(read_correction(view, calibrated[0])))


def _series(fovs: Sequence[FovView]) -> list[tuple[str, str]]:
    drawn = ((fov.name, series_figure(fov)) for fov in fovs)
    return [(name, figure) for name, figure in drawn if figure is not None][:_MOST_SERIES]


def _versions() -> str:
    return (
        f"stemscale {version('stemscale')}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, xarray {xr.__version__}, zarr {zarr.__version__}"
    )
