"""One figure of a report: what the page shows, and what a folder of figures keeps of it."""

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image as Picture

from stemscale.reports.style import figure_style, svg_uri

Column = npt.NDArray[Any] | Sequence[Any]

_PAGE_DPI = 150  # of photographic figures: 1725 px, more than a page of 1920 px gives them
_WEBP_QUALITY = 88
_LONGEST_STEM = 64
_DIGITS = 7


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plot:
    """A figure, its words, and the numbers behind it.

    Attributes
    ----------
    name : str
        What it shows, as a part of a file name: ``contours``.
    fov : str
        Field of view that it is of; empty for the whole store.
    title : str
        In a few words.
    caption : str
        What a reader must know to read it.
    paper : str
        The figure of Ihara 2022 that it corresponds to; empty without one.
    figure : Figure
        Made without pyplot, within `figure_style`.
    numbers : mapping of str to array or sequence
        Columns of one length, units in their names: ``x_nm``.
    photographic : bool
        Whether it consists of images mostly, of which a page holds a compressed picture.
    on_page : bool
        Whether the page shows it; it has the images of a FOV by themselves, to be magnified.
    """

    name: str
    fov: str = ""
    title: str
    caption: str
    paper: str = ""
    figure: Figure
    numbers: Mapping[str, Column]
    photographic: bool = False
    on_page: bool = True

    @property
    def stem(self) -> str:
        """Name of its files without their endings."""
        return f"{file_stem(self.fov)}_{self.name}" if self.fov else self.name

    @property
    def width_in(self) -> float:
        """Width [inch]."""
        return float(self.figure.get_figwidth())

    def uri(self) -> str:
        """Render it for a page, as SVG or, if photographic, as WebP in a data URI."""
        if not self.photographic:
            return svg_uri(self.figure)
        drawn = io.BytesIO()
        with figure_style():
            self.figure.savefig(
                drawn, format="png", dpi=_PAGE_DPI, pil_kwargs={"compress_level": 0}
            )
        small = io.BytesIO()
        with Picture.open(drawn) as picture:
            picture.convert("RGB").save(small, format="WEBP", quality=_WEBP_QUALITY)
        return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"

    def csv(self) -> str:
        """Write the numbers as CSV; what is not known (NaN) is left empty."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(cell(name) for name in self.numbers)
        columns = (np.asarray(c).tolist() for c in self.numbers.values())
        writer.writerows([cell(v) for v in row] for row in zip(*columns, strict=True))
        return stream.getvalue()


def file_stem(text: str) -> str:
    """Make a name from a store safe as the name of a file, without ending."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:_LONGEST_STEM] or "figure"


def cell(value: Any) -> Any:
    """Write a value as a cell of a table; text can be no formula of a spreadsheet."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.{_DIGITS}g}"
    if isinstance(value, str):
        plain = "".join(c if c.isprintable() else " " for c in value)
        return f"'{plain}" if plain.startswith(("=", "+", "-", "@")) else plain
    return value


def column(name: str, unit: str) -> str:
    """Name a column of numbers after an image and a unit: ``slow_scan_counts``."""
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', name).strip('_')}_{unit}"


def unit_column(pixel_size_nm: float | None) -> str:
    """Name the unit of a place: nm, or px where the pixel size is not known."""
    return "px" if pixel_size_nm is None else "nm"
