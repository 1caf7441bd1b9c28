"""The scores of a store in words and tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stemscale.quality.measures import MEASURES, UNIT_LABELS
from stemscale.reports.in_situ import EndScore
from stemscale.reports.scores import (
    AFTER,
    ALL,
    HELD_OUT,
    NO_REFERENCE,
    RAPID,
    TRAINED,
    ScoreRow,
    type_label,
)
from stemscale.reports.summary_scores import Statistic

_MOST_LINES = 6  # of the headline
_COLUMNS = 7  # of a table: more do not fit beside each other
_IN_THE_FIRST_TABLE = ("psnr", "psnr_truth", "lag_tail", "lag_tail_truth")
_ACRONYMS = ("psnr", "upsnr", "ssim", "zncc", "fft", "dcfi")
_GROUP_TEXTS = {
    HELD_OUT: "Held-out FOVs: no filter was trained on them",
    ALL: "All FOVs: no filter here was trained on any of them",
    TRAINED: "FOVs that a filter was trained on: no test of that filter",
    AFTER: "In-situ series: the slow scan was taken afterwards",
    NO_REFERENCE: "FOVs without a slow scan: scores that need none",
}


def headline(rows: Sequence[ScoreRow], ends: Sequence[EndScore] = ()) -> list[str]:
    """Say what each filter gained over the rapid frames, on the FOVs that count.

    Parameters
    ----------
    rows : sequence of ScoreRow
        The table of scores.
    ends : sequence of EndScore
        Last frames of series with a slow scan taken after them.

    Returns
    -------
    list of str
        At most six lines.
    """
    rapid = {r.fov_group: r for r in rows if r.type == RAPID}
    found = []
    for row in rows:
        base = rapid.get(row.fov_group)
        if base is None or row.type == RAPID or row.fov_group in (TRAINED, AFTER):
            continue
        gain = row.psnr_mean_db - base.psnr_mean_db
        if not np.isfinite(gain):
            continue
        where = "held-out FOVs" if row.fov_group == HELD_OUT else "all FOVs"
        text = (
            f"{type_label(row.type)}: {abs(gain):.1f} dB {'above' if gain >= 0 else 'below'} the "
            f"rapid frames ({gain / base.psnr_mean_db:+.0%}) on {where}"
        )
        if row.truth_mean_db is not None and base.truth_mean_db is not None:
            text += f", {row.truth_mean_db - base.truth_mean_db:+.1f} dB against the truth"
        if row.smear is not None and base.smear is not None:
            text += f", smear {row.smear:.2f} (rapid {base.smear:.2f})"
        found.append(text)
    for end in ends:
        found.append(
            f"{type_label(end.filter)}: last frame of {end.fov} {abs(end.gain_db):.1f} dB "
            f"{'above' if end.gain_db >= 0 else 'below'} the rapid one "
            f"({end.gain_percent:+.0f}%), against the slow scan taken after the series"
        )
    return found[:_MOST_LINES]


def score_rows(rows: Sequence[ScoreRow]) -> list[dict[str, Any]]:
    """Lines of the PSNR table, each with its gain over the rapid frames of its group."""
    rows = [row for row in rows if row.fov_group != NO_REFERENCE]
    rapid = {r.fov_group: r.psnr_mean_db for r in rows if r.type == RAPID}
    found = []
    for row in rows:
        gain = row.psnr_mean_db - rapid.get(row.fov_group, np.nan)
        known = row.type != RAPID and np.isfinite(gain)
        percent = gain / rapid[row.fov_group] if known else 0.0
        found.append(
            {
                **asdict(row),
                "label": type_label(row.type),
                "psnr": _in_decibels(
                    row.psnr_mean_db, row.psnr_std_db if row.n_frames > 1 else None
                ),
                "truth": _in_decibels(
                    row.truth_mean_db, row.truth_std_db if row.n_frames > 1 else None
                ),
                "smear": "–" if row.smear is None else f"{row.smear + 0.0:.2f}",
                "group_text": _GROUP_TEXTS[row.fov_group],
                "gain": f"{gain:+.2f} dB ({percent:+.0%})" if known else "",
            }
        )
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticTable:
    """Some scores of the summary, for all types of image.

    Attributes
    ----------
    columns : tuple of str
        Headings with units.
    lines : tuple of dict
        ``label`` of the image, ``fov_group``, ``group_text``, ``cells``.
    meanings : dict of str to str
        What each score measures, by its name.
    """

    columns: tuple[str, ...]
    lines: tuple[dict[str, Any], ...]
    meanings: dict[str, str]


def statistic_tables(rows: Sequence[ScoreRow]) -> list[StatisticTable]:
    """Lay out all scores of the summary that the first table does not have, whatever they are.

    Parameters
    ----------
    rows : sequence of ScoreRow

    Returns
    -------
    list of StatisticTable
        Of at most seven columns each.
    """
    found = {s.key: s for r in rows for s in r.statistics if s.score not in _IN_THE_FIRST_TABLE}
    known = [k for k in found if any(s.key == k and not np.isnan(s.mean) for s in _all(rows))]
    order = list(MEASURES)
    known.sort(key=lambda key: order.index(key[0]) if key[0] in order else len(order))
    tables = []
    for first in range(0, len(known), _COLUMNS):
        keys = known[first : first + _COLUMNS]
        lines = tuple(
            {
                "label": type_label(row.type),
                "fov_group": row.fov_group,
                "group_text": _GROUP_TEXTS[row.fov_group],
                "cells": [_cell(row, key) for key in keys],
            }
            for row in rows
        )
        headings = tuple(_heading(found[k]) for k in keys)
        meanings = {_name(found[k]): found[k].long_name for k in keys if found[k].long_name}
        tables.append(StatisticTable(columns=headings, lines=lines, meanings=meanings))
    return tables


def _all(rows: Sequence[ScoreRow]) -> list[Statistic]:
    return [s for row in rows for s in row.statistics]


def _name(statistic: Statistic) -> str:
    if statistic.score in MEASURES:
        return MEASURES[statistic.score].heading
    words = statistic.score.split("_")
    return " ".join(w.upper() if w in _ACRONYMS else w for w in words)


def _heading(statistic: Statistic) -> str:
    band = f" {statistic.band}" if statistic.band else ""
    units = UNIT_LABELS.get(statistic.units, statistic.units)
    return f"{_name(statistic)}{band}" + (f" [{units}]" if units else "")


def _cell(row: ScoreRow, key: tuple[str, str]) -> str:
    for found in row.statistics:
        if found.key == key:
            if found.units == "dB":
                return _in_decibels(found.mean, found.std if row.n_frames > 1 else None)
            return _plain(found.mean, found.std if row.n_frames > 1 else float("nan"))
    return "–"


def _plain(mean: float, std: float) -> str:
    if not np.isfinite(mean):
        return "–"
    # one stretch of frames has no scatter, and rounding leaves a little
    scatter = np.isfinite(std) and std > 1e-9 * abs(mean)
    return f"{mean + 0.0:.3g}" + (f" ± {std:.2g}" if scatter else "")


def _in_decibels(mean: float | None, std: float | None = None) -> str:
    """Write mean ± std, a dash where not known."""
    if mean is None or np.isnan(mean):
        return "–"
    if np.isinf(mean):
        return "∞ (equal)"
    if std is None or not np.isfinite(std):
        return f"{mean:.2f}"
    return f"{mean:.2f} ± {std:.2f}"
