"""Colours and type of all figures, told apart also without colour."""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, safe for colour-blind readers; the slow scan is black.
_FIXED = {"rapid": "#8a8f98", "dcfi": "#e69f00", "slow": "#000000"}
_FILTERS = ("#0072b2", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_DASHES: Sequence[Any] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
_INK = "#1d2330"

_RC: Any = {  # matplotlib's own type lists every key
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: pages look alike everywhere
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.unicode_minus": True,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "stemscale",  # equal data give equal files
    "text.usetex": False,
}

UNDATED: Mapping[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}
"""Metadata of a figure's file, by its ending, without those that differ from run to run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How one type of image is drawn."""

    colour: str
    dashes: Any


def looks(types: Sequence[str]) -> dict[str, Look]:
    """Give each type of image its colour and dashes.

    Parameters
    ----------
    types : sequence of str
        ``rapid``, ``dcfi``, ``slow`` have fixed looks; filters take the palette in turn.

    Returns
    -------
    dict of str to Look
    """
    # by name: a filter keeps its colour from figure to figure
    filters = sorted(t for t in types if t not in _FIXED)
    fixed = {t: Look(colour=c, dashes="-") for t, c in _FIXED.items() if t in types}
    return fixed | {
        t: Look(
            colour=_FILTERS[i % len(_FILTERS)],
            dashes=_DASHES[i // len(_FILTERS) % len(_DASHES)],
        )
        for i, t in enumerate(filters)
    }


@contextmanager
def figure_style() -> Iterator[None]:
    """Set matplotlib's defaults for the figures of a page, and set them back."""
    with mpl.rc_context(_RC):
        yield


def svg_uri(figure: Figure) -> str:
    """Render a figure as SVG in a data URI, without date or creator.

    Parameters
    ----------
    figure : Figure
        Made without pyplot.

    Returns
    -------
    str
        ``data:image/svg+xml;base64,…``.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"


def figure_text(text: str, *, longest: int = 28) -> str:
    """Make a name from a store safe as a label.

    Parameters
    ----------
    text : str
        Any string.
    longest : int
        Length at which it is cut.

    Returns
    -------
    str
        Dollar signs would be read as mathematics, a leading underscore would drop the label from
        a legend, and signs that the font lacks would warn.
    """
    plain = re.sub(r"[^ -~°µ·×±–−]", "?", text)
    if len(plain) > longest:
        plain = plain[: longest - 3] + "..."
    plain = plain.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Set the legend over the axes, where it hides no line however many there are.

    Parameters
    ----------
    figure : Figure
        In constrained layout.
    handles : sequence of Artist
        As from ``axes.get_legend_handles_labels``.
    labels : sequence of str
        Of the same length; safe, as from `figure_text`.
    """
    longest = max(map(len, labels), default=0)
    room = 11.7 * figure.get_figwidth() / (longest + 6)
    figure.legend(handles, labels, loc="outside upper left", ncols=max(2, min(8, round(room))))


def one_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Name each line of several axes once, above them all."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    legend_above(figure, list(found.values()), list(found))


def save_figure(figure: Figure, path: Path, ending: str, *, dpi: int, tight: bool = False) -> None:
    """Write a figure so that equal data give equal files.

    Parameters
    ----------
    figure : Figure
        Drawn within `figure_style`, as this call must be.
    path : Path
        The file, whatever its name ends in.
    ending : str
        ``png``, ``svg`` or ``pdf``.
    dpi : int
        Dots per inch.
    tight : bool
        Whether to fit the picture to what is drawn, and not to the size of the figure.
    """
    fitted: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.04} if tight else {}
    figure.savefig(path, format=ending, dpi=dpi, metadata=UNDATED.get(ending), **fitted)
