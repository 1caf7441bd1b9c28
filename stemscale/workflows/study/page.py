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
from stemscale.denoising import PRESETS
from stemscale.filter_card import read_card
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
    "residual_lost": ("lost or invented", 2),
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
    multi = Scores.read(study.scores(MULTI), study.store(MULTI))
    heating = {n: Scores.read(study.scores(n), study.store(n)) for n in study.heating}
    found = departures(study)
    claims = claims_of(multi, heating, found)
    parts = [
        _head(study, records),
        _claims(claims),
        _scores(multi),
        _filters(study),
        _distortions(found.values()),
        _heating(heating),
        *_figures(study, claims, folder),
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
        f"{counts['holds']} hold, {counts['does not hold']} do not, {untold} cannot be tested. "
        "Where images are compared, each field of view counts once: ± is the standard error of "
        "their mean, and what lies within twice of it is not told. Filters are held against each "
        "other by the paper's PSNR where the paper gives a figure, else by the PSNR to the truth. "
        "Where a filter is smaller than the paper's, or was trained for less, it can fail where "
        "that one does not: see below where this is not the paper's study.\n\n"
        + table(("row", "claim", "paper", "here", "verdict", "why"), rows)
    )


def _scores(scores: Scores) -> str:
    shown = [n for n in _COLUMNS if any(scores.get(t, n) for t in scores.types)]
    bands = scores.bands()
    rows, by_band = [], []
    for type_ in sorted(scores.types, key=lambda t: t != RAPID):
        cells = [_cell(scores, type_, name, digits=_COLUMNS[name][1]) for name in shown]
        rows.append((type_, *cells))
        cells = [_cell(scores, type_, "psnr_band", band, digits=2) for band in bands]
        by_band.append((type_, *cells))
    headings = ("image", *(_COLUMNS[n][0] for n in shown))
    return (
        "## Scores of the held-out fields of view\n\n"
        "As Fig. 4a of the paper: mean ± standard deviation over frames; of DCFI over fields of "
        "view, as it makes one image of each. PSNR is against the slow scan after min-max "
        "scaling; matched: after the best gain and offset; to the truth: against the noise-free "
        "image, without backgrounds. Smear: share of the signal that arrives more than 2 px late. "
        "Streak: what the smear draws into the spectrum, above that of the slow scan. Follows slow "
        "scan to: where its spectrum along the scan line parts from the slow scan's. Confirmed to: "
        "up to where filtered frames agree with rapid frames that they were not made of. Lost or "
        "invented: share of the scene's contrast that frames less what filters made of them still "
        "show.\n\n"
        + table(headings, rows)
        + "\n\nPSNR by intensity of the slow scan, scaled to 0 to 65,535 [dB]:\n\n"
        + table(("image", *bands), by_band)
    )


def _filters(study: Study) -> str:
    rows = []
    for trained in study.trained():
        card = read_card(study.filter(trained.name)).card
        taught, recipe = card["training"], card["recipe"]
        numbers = (len(taught["fovs"]), taught["frames"], taught["steps"])
        epochs, rate = f"{taught['epochs']:g}", f"{recipe['rate']:g}"
        rows.append((trained.name, card["target"], *map(str, numbers), epochs, rate))
    headings = ("filter", "target", "fields of view", "frames", "steps", "epochs", "rate")
    return (
        "## Filters that were trained\n\nFields of view and frames without those of validation. "
        "In the paper each was trained for 100 epochs, at a rate of 1e-5 (several fields of view) "
        "or 5e-6 (a single one).\n\n" + table(headings, rows)
    )


def _cell(scores: Scores, type_: str, name: str, band: str = "", *, digits: int) -> str:
    found = scores.get(type_, name, band)
    return "–" if found is None else f"{found.mean:.{digits}f} ± {found.std:.{digits}f}"


def _figures(study: Study, claims: Sequence[Claim], folder: Path) -> Iterable[str]:
    yield "## Figure by figure"
    for figure in paper_figures(study):
        pictures = [
            f"![{one.title}]({one.file})\n\n*{one.title}.* {one.caption}"
            for one in copied(study, figure, folder)
        ]
        here = [
            f"- {c.row}, {c.words}: **{c.verdict}**{f' ({c.ours})' if c.ours else ''}"
            for c in claims
            if c.row in figure.rows
        ]
        words = [f"In the paper: {figure.paper}", "Here:\n\n" + "\n".join(here)]
        yield "\n\n".join([f"### {figure.title}", *(words if here else [figure.paper]), *pictures])


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
        "PSNR [dB], and by how many per cent of them it lies above that of the rapid frame. DCFI "
        "is here the average of nine frames.\n\n" + table(("image", *heating), rows)
    )


def _end(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['filtered_db']:.1f}, {gain_percent(row):+.0f} %"


def _differences(study: Study) -> str:
    """List where the study is not the paper's: its images, and what its scale leaves out."""
    here, paper = asdict(study.scale), _as_in_the_paper()
    rows = [
        (_words(name), _said(paper[name]), _said(value))
        for name, value in here.items()
        if value not in (None, paper[name])
    ]
    text = (
        "## Where this is not the paper's study\n\n"
        "- The images are simulated: dislocation lines, loops, tangles, arrays and bend contours "
        "in bright field, each pixel with Poisson noise of its dose, readout noise, a lag of the "
        "detector and a distortion of the scan. How strong each is in the paper's microscope is "
        "not published; what was taken stands in the table below.\n"
        "- The slow scan of the simulation has the noise of its dose, and neither lag nor "
        "distortion (row D2). The noise-free truth is known beside it; in the paper the slow scan "
        "has to stand for it.\n"
        "- All fields of view have one distortion, as one scan setting has, and specimens of one "
        "kind: the paper trains on steel and tests on aluminium. All are 2.1 nm a pixel; the "
        "paper's single field of view and heating series are 1.7 nm.\n"
        "- But for the strips of Figure 7, frames are corrected by a smooth map from all fields "
        "of view, those held out among them, and the heating series by that map. Filtered frames "
        "of dlf-uncorrected are held against the slow scan as they lie.\n"
        "- The first heating series begins at 30 °C; the paper does not tell where. How fast "
        "dislocations move is counted from each series' own start, so that hot series move no more "
        "than cool ones.\n"
        "- A batch has 16 patches; the paper does not tell."
    )
    if not rows:
        return text
    return f"{text}\n- The scale `{study.name}` is smaller:\n\n" + table(
        ("", "paper", "here"), rows
    )


def _as_in_the_paper() -> dict[str, Any]:
    """Give the paper's scale, with what the recipes of its filters and of ours say."""
    scale = SCALES["paper"]
    paper, single, own = (PRESETS[n] for n in ("paper", "dlf-2500", "standard"))
    return {
        **asdict(scale),
        "width": paper.network.width,
        "paper_epochs": paper.epochs,
        "own_epochs": own.epochs,
        "single_epochs": (single.epochs,) * len(scale.single_taught),
        "single_rate": single.rate,
    }


def _words(name: str) -> str:
    return name.replace("degc_per_s", "[°C/s]").replace("_", " ")


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _assumptions(study: Study) -> str:
    with xr.open_zarr(study.raw(MULTI) / "truth.zarr", chunks=None, consolidated=False) as truth:
        attrs = dict(truth.attrs)
    lines = list(_flat(attrs))
    return (
        "## What was assumed\n\nNoise, lag and distortion of the simulator are assumptions; their "
        "names tell the units where they have any. Those of heating are the simulator's own; the "
        f"series were heated at {study.scale.ramp_degc_per_s:g} °C/s through the ranges above.\n\n"
        + table(("setting", "value"), lines)
    )


def _flat(found: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
