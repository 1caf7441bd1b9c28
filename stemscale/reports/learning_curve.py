"""A filter's card comes in; a picture of how its training went goes out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stemscale.errors import FilterError
from stemscale.reports.style import figure_style, figure_text, looks, save_figure
from stemscale.views.output import write_at_once

CURVE_ENDINGS = (".png", ".svg", ".pdf")
_DPI = 150


def plot_learning_curve(card: Mapping[str, Any], output: Path, *, title: str = "") -> Path:
    """Draw loss and validation PSNR against the course of a training.

    Parameters
    ----------
    card : mapping
        Of a filter.
    output : Path
        ``.png``, ``.svg`` or ``.pdf``; written at once or not at all.
    title : str
        Above the picture; the name of the filter, say.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    FilterError
        If the card keeps no learning curve.
    """
    curve = card.get("training", {}).get("curve")
    if not curve:
        raise FilterError("the filter's card keeps no learning curve: train it with this version")
    shares, losses, psnr = np.array(curve, dtype=np.float64).T
    percent = 100 * shares
    rapid = card.get("scores", {}).get("validation_psnr_rapid_db")
    look = looks(["rapid", "filter"])
    with figure_style():
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.plot(percent, losses, color=look["filter"].colour)
        upper.set_yscale("log")
        upper.set_ylabel("loss (mean square error,\nnetwork's scale)")
        known = np.isfinite(psnr)
        lower.plot(
            percent[known], psnr[known], color=look["filter"].colour, label="filtered", marker="."
        )
        if rapid is not None:
            lower.axhline(rapid, color=look["rapid"].colour, label="rapid frames")
        lower.set_ylabel("PSNR, held out [dB]")
        lower.set_xlabel("training done [%]")
        lower.legend(loc="center right")
        if title:
            upper.set_title(figure_text(title, longest=60))
        kind = output.suffix.lower().removeprefix(".")
        write_at_once(output, lambda path: save_figure(figure, path, kind, dpi=_DPI))
    return output
