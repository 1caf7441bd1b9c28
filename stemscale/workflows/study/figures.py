"""Which pictures of the study stand for which figure of the paper."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from stemscale.workflows.study.plan import IDEAL, MULTI, Study

_WIDEST_PX = 1400
_WEBP_QUALITY = 82


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperFigure:
    """A figure of the paper, and the pictures that show the same here.

    Attributes
    ----------
    title : str
    paper : str
        What is to be seen in the paper.
    rows : tuple of str
        Of the specification: the claims that it bears on.
    pictures : sequence of (str, str)
        Folder of figures, and name of the figure in it.
    """

    title: str
    paper: str
    rows: tuple[str, ...]
    pictures: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture on the page: its file beside it, and its words."""

    file: str
    title: str
    caption: str


def paper_figures(study: Study) -> tuple[PaperFigure, ...]:
    """List the figures of the paper that show images or measures (2 and 8 are flow charts)."""
    heated = zip(study.heating, study.scale.heated, strict=True)
    ranges = {name: f"{start:g}–{end:g} °C" for name, (start, end) in heated}
    fifth = study.heating[1] if len(study.heating) > 1 else study.heating[0]
    others = [name for name in study.heating if name != fifth]
    return (
        PaperFigure(
            title="Figure 1: distortion, noise and smear",
            rows=("C4", "D3"),
            paper="The rapid scan sees more and lies askew of the slow scan; corrected, the dips "
            "of dislocations fall together. An average of all frames (DCFI) and BM3D lose the "
            "noise, not the smear: their contours are drawn out along the scan.",
            pictures=((MULTI, "distortion"), (MULTI, "contours")),
        ),
        PaperFigure(
            title="Figure 3: one rapid frame, filtered",
            rows=("D3", "Q6"),
            paper="Trained on averages (DLF-DCFI) the filter keeps the smear, and with it the "
            "streak across the spectrum; trained on slow scans (DLF-Slow) both are gone.",
            pictures=((MULTI, "images"), (MULTI, "fourier")),
        ),
        PaperFigure(
            title="Figure 4: scores, profiles and spectra",
            rows=("Q2", "Q3", "Q7", "Q5"),
            paper="DLF-Slow comes closest to the slow scan, most of all where its intensity lies "
            "in the middle of the range; backgrounds differ, dips agree; its spectrum follows "
            "that of the slow scan to about 120 /µm.",
            pictures=(
                (MULTI, "psnr"),
                (MULTI, "psnr_bands"),
                (MULTI, "line_profile"),
                (MULTI, "spectrum"),
            ),
        ),
        PaperFigure(
            title=f"Figure 5: heating, {ranges[fifth]}",
            rows=("Q9",),
            paper="Frames of a heating series, whose distortion was taken from the multi-FOV set; "
            "the last one against the slow scan after it.",
            pictures=((fifth, "frames"), (fifth, "series")),
        ),
        PaperFigure(
            title="Supplement C: the other heating series",
            rows=(),
            paper="; ".join(f"{name}: {ranges[name]}" for name in others) + ".",
            pictures=tuple((name, "frames") for name in others),
        ),
        PaperFigure(
            title="Figure 6: filters of a single field of view",
            rows=("F4", "Q6"),
            paper="Noise goes with 100 frames already, the streak stays even with 2,500, and the "
            "spectrum leaves that of the slow scan at about 48 /µm.",
            pictures=(
                (f"{MULTI}-single", "images"),
                (f"{MULTI}-single", "fourier"),
                (f"{MULTI}-single", "spectrum"),
            ),
        ),
        PaperFigure(
            title="Figure 7: the distortion",
            rows=("C4",),
            paper="Found strip by strip on one field of view with dislocations all over it. Those "
            "of the simulated view lie where chance put them.",
            pictures=((IDEAL, "distortion"),),
        ),
        PaperFigure(
            title="Our own filters",
            rows=(),
            paper="Those trained here (own-…) on the same frames as DLF-Slow, and those that come "
            "with stemscale (standard, live), which have seen nothing of this study.",
            pictures=((f"{MULTI}-own", "images"), (f"{MULTI}-own", "spectrum")),
        ),
    )


def copied(study: Study, figure: PaperFigure, folder: Path) -> Iterator[Picture]:
    """Copy the pictures of a figure, made smaller, and give their words.

    Parameters
    ----------
    study : Study
        Whose reports have been written.
    figure : PaperFigure
    folder : Path
        Takes them.

    Yields
    ------
    Picture
        Of the first field of view that has such a figure. A figure that a report has not, as
        scores by band where no band has pixels, is left out.
    """
    for name, stem in figure.pictures:
        source = study.figures(name)
        with (source / "index.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if _stem(row) == stem]
        if rows:
            row = rows[0]
            picture = f"{name}_{row['file']}.webp"
            _shrink(source / f"{row['file']}.png", folder / picture)
            yield Picture(file=picture, title=row["title"], caption=row["caption"])


def _stem(row: dict[str, str]) -> str:
    return row["file"].removeprefix(f"{row['field_of_view']}_")


def _shrink(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        small = image.convert("RGB")
    small.thumbnail((_WIDEST_PX, 10 * _WIDEST_PX), Image.Resampling.LANCZOS)
    small.save(target, quality=_WEBP_QUALITY, method=6)
