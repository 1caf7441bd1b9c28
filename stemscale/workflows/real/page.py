"""The page about real series: what they are, their scores, pictures and commands."""

import platform
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from stemscale.clusters import usable_cores
from stemscale.reports.tables import dwell_text
from stemscale.workflows.real.plan import LEARNED, RealStudy
from stemscale.workflows.real.scores import SeriesScores
from stemscale.workflows.real.survey import LEAST_FRAMES, LEAST_PX, RealSeries, Survey
from stemscale.workflows.real.words import about_filter, about_series, rapid_type
from stemscale.workflows.study.markup import table, write_results
from stemscale.workflows.study.steps import StepRecords, times_of

TITLE = "Real series, measured without truth"
_WIDEST_PX, _QUALITY = 1200, 85  # of pictures, as JPEG: noise is dear as PNG
_COLUMNS = {
    "noise_left": ("noise left", "{:.2f}"),
    "noise_along": ("alike along x", "{:.2f}"),
    "noise_across": ("along y", "{:.2f}"),
    "frc_cutoff": ("halves agree to [1/px]", "{:.2f}"),
    "frc_rapid_cutoff": ("confirmed to [1/px]", "{:.2f}"),
    "residual_likeness": ("residuals alike", "{:.2f}"),
    "residual_lost": ("lost or invented", "{:.3f}"),
    "residual_clear": ("clearly", "{:.4f}"),
    "streak_rapid": ("streak [dB]", "{:+.1f}"),
    "upsnr": ("uPSNR [dB]", "{:.1f}"),
}
_NO_NAME = "signal"  # what a reader calls one that its file does not name


def write_page(study: RealStudy, found: Survey, records: StepRecords) -> Path:
    """Write what came of real series whose steps have all been run.

    Parameters
    ----------
    study : RealStudy
    found : Survey
        Its series, and what was left out.
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
    sizes = {one.fov: one.settings.pixel_size_nm for one in study.series}
    scores = SeriesScores(study.store, study.scores, sizes_nm=sizes)
    parts = [
        _head(study, records),
        _series(found),
        _scores(study, scores),
        *(_shown(study, one, scores, folder) for one in study.series),
        _left_out(found),
        "## Commands, and the time that each took\n\n"
        + times_of(study.steps(), records, folder=study.folder),
    ]
    return write_results(TITLE, parts, folder)


def _head(study: RealStudy, records: StepRecords) -> str:
    taken = sum(records.read(step.name).get("seconds", 0.0) for step in study.steps())
    frames = sum(one.n_frames for one in study.series)
    return (
        f"# {TITLE}\n\n"
        f"{len(study.series)} series, {frames} frames in all, filtered by what comes with the "
        "package, which was trained on simulated microscopes alone, and by the average of each "
        "series (DCFI). What is called a rapid frame is a frame as recorded, whatever its dwell "
        "time: the paper's is 100 ns. None has a slow scan, so no scan distortion is corrected, "
        f"and no PSNR is known. Made on {datetime.now(UTC):%Y-%m-%d} by "
        f"`stemscale reproduce --series` with stemscale {version('stemscale')}, "
        f"Python {platform.python_version()}, on "
        f"{usable_cores()} cores of {platform.machine()}, in {taken / 60:.0f} minutes."
    )


def _series(found: Survey) -> str:
    rows = [
        (
            one.fov,
            _path(one.file, found.folder),
            _instrument(one),
            f"{one.n_frames} × {one.settings.n_y} × {one.settings.n_x}",
            "–" if one.settings.pixel_size_nm is None else f"{one.settings.pixel_size_nm:.3g} nm",
            dwell_text(one.settings.dwell_time_ns),
            "–" if one.moved_px is None else f"{one.moved_px:.1f} px",
            str(one.repeats) if one.repeats else "",
        )
        for one in found.series
    ]
    headings = ("series", "file", "instrument, as the file says", "frames × y × x", "pixel")
    more = ("dwell time", "moves by", "repeated frames")
    return "## The series\n\n" + table((*headings, *more), rows)


def _instrument(one: RealSeries) -> str:
    settings = one.settings
    tension = settings.high_tension_kv
    detector = settings.detector if settings.detector != _NO_NAME else None
    parts = (settings.instrument, None if tension is None else f"{tension:g} kV", detector)
    return ", ".join(part for part in parts if part) or "–"


def _scores(study: RealStudy, scores: SeriesScores) -> str:
    rows = []
    for one in study.series:
        for type_ in (rapid_type(one), *LEARNED):
            rapid = type_ not in LEARNED
            cells = [_cell(scores, one, type_, name, rapid=rapid) for name in _COLUMNS]
            rows.append((one.fov, "rapid" if rapid else type_, *cells))
    headings = ("series", "frames", *(words for words, _ in _COLUMNS.values()))
    return (
        "## Scores\n\n"
        "All are of frames held against other frames of their series; wave numbers of up to "
        "0.5 /px.\n\n"
        "**Noise left**: what two frames of one scene differ by, over that of rapid frames; alike: "
        "its correlation in pixels 1 px apart, along the scan line (x) and across it (y). A "
        "detector that lags makes noise alike along x alone. "
        "**Halves agree to**: the wave number up to which the mean of the even and that of the odd "
        "frames agree (Fourier ring correlation above 1/7); for rapid frames these are averages of "
        "half of the series. "
        "**Confirmed to**: the same of filtered frames and the *other* half of the rapid frames. "
        "**Lost or invented**: structure in what the filter took away, smear apart, over the "
        "contrast of the scene, so far as two halves have it in common; alike: the correlation of "
        "both; clearly: the share of pixels at which it stands out of its noise (0.00006 of noise "
        "alone). **Streak**: below 0, less is smeared along x than in rapid frames. **uPSNR**: "
        "against neighbouring rapid frames, smear and all. Where a file does not say what took it, "
        "it may be a camera, of which streak and directions say nothing.\n\n"
        + table(headings, rows)
        + "\n\nThat filtered halves agree says little: what a learned filter makes of its noise "
        "is smooth, and what it has learned to draw it draws in every frame alike, so that they "
        "may agree to the finest wave whatever they show. Hence filtered frames are held against "
        "rapid frames that they were not made of. What all rapid frames have in common (smear, a "
        "pattern of the camera, blocks of a compression) counts as detail of the specimen, and "
        "what moves by itself counts as lost. The DCFI is made of all frames, so that none is left "
        "to hold it against: it is in the pictures alone."
    )


def _cell(scores: SeriesScores, one: RealSeries, type_: str, name: str, *, rapid: bool) -> str:
    if rapid and name not in ("frc_cutoff", "noise_along", "noise_across"):
        return "1" if name == "noise_left" else ""
    found = scores.get(one.fov, type_, name)
    return "–" if found is None else _COLUMNS[name][1].format(found)


def _shown(study: RealStudy, one: RealSeries, scores: SeriesScores, folder: Path) -> str:
    picture = folder / f"{one.fov}.jpg"
    with Image.open(study.picture(one.fov)) as drawn:
        drawn.thumbnail((_WIDEST_PX, 2 * _WIDEST_PX))
        drawn.convert("RGB").save(picture, quality=_QUALITY)
    lines = [" ".join(about_series(one))]
    for filter_ in LEARNED:
        said = about_filter(one, filter_, scores)
        lines.append(f"**{filter_}**: {' '.join(said)}" if said else "")
    caption = (
        "A rapid frame, the average, and the same frame filtered; one grey scale, gain and offset "
        "matched for display only, and the orange square magnified."
    )
    words = "\n\n".join(line for line in (*lines, caption) if line)
    return f"## {one.fov}\n\n![{one.fov}, raw and filtered]({picture.name})\n\n{words}"


def _left_out(found: Survey) -> str:
    if not found.left_out:
        return ""
    signals: dict[tuple[str, str], list[str]] = {}
    for one in found.left_out:
        place = (_path(one.file, found.folder), one.why.replace(f"{found.folder}/", ""))
        signals.setdefault(place, []).append(one.signal)
    rows = [(file, ", ".join(filter(None, of)), why) for (file, why), of in signals.items()]
    return (
        "## Left out\n\n"
        f"A series has at least {LEAST_FRAMES} frames of {LEAST_PX} × {LEAST_PX} px.\n\n"
        + table(("file", "signals", "why"), rows)
    )


def _path(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
