"""A store comes in; one HTML page that needs nothing else goes out, and its figures as files."""

import base64
import hashlib
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
import xarray as xr
import zarr

from stemscale.reports.events import FileWritten, Listener, PartDone, no_listener
from stemscale.reports.folder import FigureFolder, checked_folder
from stemscale.reports.gallery import Drawn, Gallery
from stemscale.reports.in_situ import last_frame_table
from stemscale.reports.plots import distortion_plots, score_plots, series_plots
from stemscale.reports.score_tables import headline, score_rows, statistic_tables
from stemscale.reports.scores import AFTER, RAPID, ScoreRow, score_table
from stemscale.reports.sections import MAX_FOVS, FovSection, chosen, fov_sections
from stemscale.reports.settings import settings_table, sources
from stemscale.reports.tables import (
    calibration_row,
    facts,
    filter_cards,
    fov_row,
    short,
    warnings,
)
from stemscale.views.output import checked_output, page_beside, write_at_once
from stemscale.views.store_view import StoreView, read_store

logger = logging.getLogger(__name__)

_TEMPLATES = "stemscale.reports", "templates"
_LAST_HISTORY_LINES = 100


def report(
    store: str | Path,
    output: Path | None = None,
    figures: Path | None = None,
    *,
    fovs: Sequence[str] = (),
    filters: Sequence[str] = (),
    listener: Listener = no_listener,
) -> Path:
    """Write one page about a store: pictures, scores, spectra, distortion, provenance.

    Parameters
    ----------
    store : str or Path
        Folder of the store, or its URL. Works at any state of it: without slow scans,
        calibrations or filters, those parts are left out.
    output : Path, optional
        The HTML file; by default beside the store, ``demo.zarr`` → ``demo.html``.
    figures : Path, optional
        A folder for the figures, each as PNG (200 dpi), SVG and CSV of the numbers behind it, and
        an index; made where it is missing.
    fovs : sequence of str, optional
        Only these FOVs, on the page and in the folder; by default all. Of many, the first six are
        shown in pictures, and the first three in figures.
    filters : sequence of str, optional
        Only these filtered frames, in pictures, figures and scores, beside rapid frames, DCFI and
        slow scan; by default all.
    listener : callable
        Told of each part that is drawn, and of each file.

    Returns
    -------
    Path
        The page. It is self-contained, below 20 MB, and was written at once or not at all.

    Raises
    ------
    StoreError
        If there is no stemscale store, it holds no field of view, or not what is named.
    SettingsError
        If ``output`` is a folder, it or ``figures`` lies in the store, or its folder does not
        exist.
    """
    target = page_beside(store) if output is None else Path(output)
    checked_output(store, target)
    if figures is not None:
        checked_folder(Path(figures), store)
    view = chosen(read_store(store), fovs=fovs, filters=filters)
    folder = None if figures is None else FigureFolder(Path(figures), store, listener)
    page = _render(view, _draw(view, Gallery(folder), listener))
    if folder is not None:
        folder.close()
    write_at_once(target, lambda path: path.write_text(page, encoding="utf-8"))
    listener(FileWritten(path=target))
    logger.info("%s: report of %d FOVs, %d bytes", target, len(view.fovs), len(page))
    return target


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """All that is drawn, before the warnings are listed: reading may have added to them."""

    sections: list[FovSection]
    scores: list[Drawn]
    series: list[Drawn]
    distortion: list[Drawn]
    rows: list[ScoreRow]


def _draw(view: StoreView, gallery: Gallery, listener: Listener) -> _Parts:
    shown = {RAPID, *(x.name for fov in view.fovs for x in fov.filters)}
    rows = [row for row in score_table(view) if row.type in shown]
    steps: tuple[tuple[str, Callable[[], list[Drawn]]], ...] = (
        ("scores", lambda: gallery.hang(score_plots(rows))),
        ("series", lambda: gallery.hang(series_plots(view))),
        ("distortion", lambda: gallery.hang(distortion_plots(view))),
    )
    total = min(len(view.fovs), MAX_FOVS) + len(steps)
    sections = []
    for section in fov_sections(view, gallery):
        sections.append(section)
        listener(PartDone(fov=section.name, done=len(sections), total=total))
    drawn = []
    for name, draw in steps:
        drawn.append(draw())
        done = total - len(steps) + len(drawn)
        listener(PartDone(fov=name, done=done, total=total))
    scores, series, distortion = drawn
    return _Parts(sections=sections, scores=scores, series=series, distortion=distortion, rows=rows)


def _render(view: StoreView, parts: _Parts) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(*_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["short"] = short
    rows, script = parts.rows, _own("zoom.js")
    ends = last_frame_table(view)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        style=_own("page.css"),
        script=script,
        script_sha256=digest,
        name=view.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=_versions(),
        facts=facts(view),
        warnings=warnings(view),
        sections=parts.sections,
        not_shown=len(view.fovs) - len(parts.sections),
        rows=score_rows(rows),
        statistics=statistic_tables(rows),
        has_truth=any(r.truth_mean_db is not None for r in rows),
        has_smear=any(r.smear is not None for r in rows),
        has_after=any(r.fov_group == AFTER for r in rows),
        headline=headline(rows, ends),
        score_figures=parts.scores,
        has_slow=any(f.slow for f in view.fovs),
        series_figures=parts.series,
        end_scores=ends,
        distortion_figures=parts.distortion,
        calibrations=[calibration_row(f) for f in view.fovs if f.calibration is not None],
        fovs=[fov_row(f) for f in view.fovs],
        settings=settings_table(view.fovs),
        sources=sources(view.fovs),
        cards=filter_cards(view.fovs),
        history=view.history[-_LAST_HISTORY_LINES:],
    )


def _own(name: str) -> str:
    """Read a file of our own."""
    package, folder = _TEMPLATES
    return files(package).joinpath(folder, name).read_text(encoding="utf-8")


def _versions() -> str:
    return (
        f"stemscale {version('stemscale')}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, xarray {xr.__version__}, zarr {zarr.__version__}"
    )
