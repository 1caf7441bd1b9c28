"""The page of results: claims, scores, figures and how they came about, in Markdown and HTML."""

import json
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr

from stemscale.clusters import usable_cores
from stemscale.workflows.study.claims import Claim, claims_of
from stemscale.workflows.study.distortions import Departure, departures
from stemscale.workflows.study.figures import copied, paper_figures
from stemscale.workflows.study.markup import table, write_results
from stemscale.workflows.study.plan import MULTI, Study
from stemscale.workflows.study.scales import SCALES
from stemscale.workflows.study.scores import RAPID, Scores, gain_percent
from stemscale.workflows.study.steps import StepRecords, times_of

_COLUMNS = {
    "psnr": ("PSNR [dB]", 2),
    "psnr_matched": ("matched [dB]", 2),
    "psnr_truth": ("to the truth [dB]", 2),
    "lag_tail_truth": ("smear", 3),
    "streak": ("streak [dB]", 1),
    "agreement_cutoff": ("follows slow scan to [1/µm]", 0),
    "frc_rapid_cutoff": ("confirmed to [1/µm]", 0),
}


def write_page(study: Study, records: StepRecords) -> Path:
    """Write what came of a study whose steps have all been run.

    Parameters
    ----------
    study : Study
    records : StepRecords

    Returns
    -------
    Path
        The page, ``results.html``, in one file. Beside it lies ``results``, a folder with the same
        in Markdown, ``index.md``, and its pictures.

    Raises
    ------
    StoreError
        If a result is not what its command leaves.
    """
    folder = study.folder / "results"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    multi = Scores.read(study.scores(MULTI))
    heating = {name: Scores.read(study.scores(name)) for name in study.heating}
    found = departures(study)
    parts = [
        _head(study, records),
        _claims(claims_of(multi, heating, found)),
        _scores(multi),
        _distortions(found.values()),
        _heating(heating),
        *_figures(study, folder),
        _differences(study),
        _assumptions(study),
        "## Commands, and the time that each took",
        times_of(study.steps(), records, folder=study.folder),
    ]
    return write_results("The paper, measured again", parts, folder)


def _head(study: Study, records: StepRecords) -> str:
    scale = study.scale
    taken = sum(records.read(step.name).get("seconds", 0.0) for step in study.steps())
    return (
        "# The paper, measured again\n\n"
        "Ihara et al., *Deep learning-based noise filtering toward millisecond order imaging by "
        "using scanning transmission electron microscopy*, Scientific Reports (2022). Its images "
        "are not public: what follows was measured on simulated frames, whose truth is known, by "
        f"`stemscale reproduce --scale {study.name}`. {scale.fovs} fields of view of {scale.frames}"
        f" frames of {scale.size} × {scale.size} pixels, {len(study.held_out)} of them held out "
        f"of all training; {scale.single_frames} frames of one more; {len(scale.heated)} heating "
        f"series of {scale.heated_frames} frames. Made on {datetime.now(UTC):%Y-%m-%d} with "
        f"stemscale {version('stemscale')}, Python {platform.python_version()}, on "
        f"{usable_cores()} cores of {platform.machine()}, in {taken / 60:.0f} minutes."
    )


def _claims(claims: Sequence[Claim]) -> str:
    counts = {v: sum(c.verdict == v for c in claims) for v in ("holds", "does not hold")}
    untold = len(claims) - sum(counts.values())
    rows = [(c.row, c.words, c.paper, c.ours or "–", f"**{c.verdict}**", c.why) for c in claims]
    return (
        "## Claim by claim\n\n"
        f"{counts['holds']} hold, {counts['does not hold']} do not, {untold} cannot be tested.\n\n"
        + table(("row", "claim", "paper", "here", "verdict", "why"), rows)
    )


def _scores(scores: Scores) -> str:
    shown = [n for n in _COLUMNS if any(scores.get(t, n) for t in scores.types)]
    bands = scores.bands()
    rows = []
    for type_ in sorted(scores.types, key=lambda t: t != RAPID):
        cells = [_cell(scores, type_, name, digits=_COLUMNS[name][1]) for name in shown]
        cells += [_cell(scores, type_, "psnr_band", band, digits=2) for band in bands]
        rows.append((type_, *cells))
    headings = (
        "image",
        *(_COLUMNS[n][0] for n in shown),
        *(f"PSNR, {band} [dB]" for band in bands),
    )
    return (
        "## Scores of the held-out fields of view\n\n"
        "As Fig. 4a of the paper: mean ± standard deviation over frames. PSNR is against the slow "
        "scan after min-max scaling; matched: after the best gain and offset; smear: share of the "
        "signal that arrives more than 2 px late.\n\n" + table(headings, rows)
    )


def _cell(scores: Scores, type_: str, name: str, band: str = "", *, digits: int) -> str:
    found = scores.get(type_, name, band)
    return "–" if found is None else f"{found.mean:.{digits}f} ± {found.std:.{digits}f}"


def _figures(study: Study, folder: Path) -> Iterable[str]:
    yield "## Figure by figure"
    for figure in paper_figures(study):
        pictures = [
            f"![{one.title}]({one.file})\n\n*{one.title}.* {one.caption}"
            for one in copied(study, figure, folder)
        ]
        yield "\n\n".join([f"### {figure.title}", figure.shows, *pictures])


def _distortions(found: Iterable[Departure]) -> str:
    rows = [
        (d.what, str(d.n_fovs), f"{d.before_px:.2f}", f"{d.after_px:.2f}", f"{d.worst_px:.2f}")
        for d in found
    ]
    return (
        "## Distortion\n\nRoot mean square distance along the fast axis of pixels from where they "
        "belong, a constant shift of the view left out.\n\n"
        + table(("map", "fields of view", "before [px]", "after [px]", "worst [px]"), rows)
    )


def _heating(heating: Mapping[str, Scores]) -> str:
    found = {
        (row["filter"], name): row for name, scores in heating.items() for row in scores.last_frames
    }
    filters = list(dict.fromkeys(filter_ for filter_, _ in found))
    raw = {name: row["rapid_db"] for (_, name), row in found.items()}
    rows = [(RAPID, *(f"{raw[name]:.1f}" if name in raw else "–" for name in heating))]
    rows += [
        (filter_, *(_end(found.get((filter_, name))) for name in heating)) for filter_ in filters
    ]
    return (
        "## Heating series: the last frame against the slow scan after it\n\n"
        "PSNR [dB], and how far it lies above that of the rapid frame.\n\n"
        + table(("image", *heating), rows)
    )


def _end(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['filtered_db']:.1f}, {gain_percent(row):+.0f} %"


def _differences(study: Study) -> str:
    """List where the study is not the paper's: its images, and what its scale leaves out."""
    here, paper = asdict(study.scale), asdict(SCALES["paper"])
    rows = [(_words(n), _said(paper[n]), _said(here[n])) for n in here if here[n] != paper[n]]
    text = (
        "## Where this is not the paper's study\n\n"
        "- The images are simulated: dislocation lines, loops, tangles, arrays and bend contours "
        "in bright field, each pixel with Poisson noise of its dose, readout noise, a lag of the "
        "detector and a distortion of the scan. How strong each is in the paper's microscope is "
        "not published; what was taken stands in the table below.\n"
        "- The slow scan of the simulation has the noise of its dose, and neither lag nor "
        "distortion (row D2). The noise-free truth is known beside it; in the paper the slow scan "
        "has to stand for it."
    )
    if not rows:
        return text
    return (
        f"{text}\n- The scale `{study.name}` is smaller. A dash: as the recipe of `stemscale "
        "train` has it.\n\n" + table(("", "paper", "here"), rows)
    )


def _words(name: str) -> str:
    return name.replace("degc_per_s", "[°C/s]").replace("_", " ")


def _said(value: Any) -> str:
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _assumptions(study: Study) -> str:
    with xr.open_zarr(study.raw(MULTI) / "truth.zarr", chunks=None, consolidated=False) as truth:
        attrs = dict(truth.attrs)
    lines = list(_flat(attrs))
    return (
        "## What was assumed\n\nNoise, lag and distortion of the simulator are assumptions; their "
        "names tell the units.\n\n" + table(("setting", "value"), lines)
    )


def _flat(found: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
