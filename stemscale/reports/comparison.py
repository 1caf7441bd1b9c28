"""One picture of a store: rapid, DCFI, filtered and slow scan side by side."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from stemscale.errors import StoreError
from stemscale.reports.display import prepare
from stemscale.reports.plots.images import images_plot
from stemscale.reports.plots.panels import MOST_IN_A_ROW
from stemscale.reports.sections import chosen, shown_first
from stemscale.reports.shots import FovShots, Shot, read_shots
from stemscale.reports.style import figure_style, figure_text, save_figure
from stemscale.reports.tables import dwell_text
from stemscale.views.output import checked_output, write_at_once
from stemscale.views.store_view import FovView, read_store

PICTURE_ENDINGS = (".png", ".svg")
"""What `write_comparison` can write."""
_DPI = 120
_LETTERS_PT, _SMALL_LETTERS_PT = 12, 9  # of four panels in a row, read on a phone; of six
_LONGEST = 26  # signs that fit above a panel


def write_comparison(
    store: str | Path,
    output: str | Path,
    *,
    fovs: Sequence[str] = (),
    filters: Sequence[str] = (),
) -> Path:
    """Write a picture of the first held-out FOV, whole and magnified where the smear shows.

    Parameters
    ----------
    store : str or Path
        Folder of the store, or its URL.
    output : str or Path
        The picture, ``.png`` or ``.svg``.
    fovs : sequence of str, optional
        Only these FOVs come into question; by default all.
    filters : sequence of str, optional
        Names of the filtered frames to show, and FOVs without them do not come into question; by
        default all there are. Rapid frame, DCFI and slow scan are always shown.

    Returns
    -------
    Path
        As given; written at once or not at all.

    Raises
    ------
    StoreError
        If there is no store, none of these FOVs or filters in it, or no image.
    SettingsError
        If the picture cannot be written there.

    Notes
    -----
    Source: Ihara 2022, Fig. 3. The frame is one whose rapid PSNR is the median, see `choose_frame`.
    """
    target = checked_output(store, Path(output), PICTURE_ENDINGS)
    view = chosen(read_store(store), fovs=fovs, filters=filters)
    wanted = set(filters)
    fitting = [f for f in view.fovs if wanted <= {x.name for x in f.filters}]
    for fov in sorted(fitting, key=shown_first):
        shots = read_shots(view, fov)
        if shots.shots:
            write_at_once(target, partial(_draw, shots, target.suffix.lower().lstrip(".")))
            return target
    together = f" filtered as {' and '.join(filters)}" if filters else ""
    raise StoreError(f"{store} holds no image{together}: ingest a series, or process it first")


def _draw(shots: FovShots, ending: str, path: Path) -> None:
    letters = _LETTERS_PT if len(shots.shots) < MOST_IN_A_ROW - 1 else _SMALL_LETTERS_PT
    larger: Any = {"font.size": letters, "axes.titlesize": letters}
    with figure_style(), mpl.rc_context(larger):
        title = partial(_title, shots)
        figure = images_plot(shots, prepare(shots), title=title, title_lines=3).figure
        # tight, for else the titles of a single row of panels are cut off at the top
        save_figure(figure, path, ending, dpi=_DPI, tight=True)


def _title(shots: FovShots, axes: Axes, shot: Shot) -> None:
    """Say of a panel what it is, how it came about, and how near to the slow scan it is."""
    near = shot.note if shot.role == "slow" else ""
    if shot.psnr_db is not None:
        near = f"PSNR {shot.psnr_db:.1f} dB"
    lines = (shot.name, _origin(shots.fov, shot), near)
    # a blank keeps the height of an empty line, and names at one height
    axes.set_title("\n".join(figure_text(line, longest=_LONGEST) or " " for line in lines))


def _origin(fov: FovView, shot: Shot) -> str:
    if shot.role == "rapid":
        known = fov.dwell_time_ns is not None
        return "one frame" + (f", {dwell_text(fov.dwell_time_ns)}/px" if known else "")
    if shot.role == "slow":
        known = fov.slow is not None and fov.slow.dwell_time_ns is not None
        return f"{dwell_text(fov.slow.dwell_time_ns)}/px" if known and fov.slow else ""
    if shot.role == "dcfi":
        return shot.note or "average of neighbours"
    return shot.note or ("of all frames" if shot.is_average else "the same frame, filtered")
