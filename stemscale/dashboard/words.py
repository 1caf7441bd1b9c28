"""The words and numbers of the page, as HTML."""

from collections.abc import Mapping
from html import escape
from pathlib import PurePath
from typing import Any

from stemscale.dashboard.figures import RunFigures, SeriesFigures

NOTHING_YET = (
    "<h1>No run yet</h1><p class='made'>The next <code>stemscale process</code> on this scheduler "
    "is shown here.</p>"
)


def head(run: RunFigures) -> str:
    """Write what runs, and whether it does.

    Parameters
    ----------
    run : RunFigures

    Returns
    -------
    str
        HTML.
    """
    state, kind = "running", ""
    if run.ended is not None:
        state, kind = ("complete" if not run.left and not run.failed else "ended"), "over"
    elif run.waiting:
        state, kind = f"waiting: {run.waiting}", "waits"
    names = {PurePath(name).name for name in run.series}
    return (
        f"<h1 title='{escape(run.store)}'>{escape(PurePath(run.store).name)}"
        f"<span class='state {kind}'>{escape(state)}</span></h1>"
        f"<p class='made'>filter {escape(run.label)}, to filtered/{escape(', '.join(names))}</p>"
    )


def tiles(run: RunFigures, now: float) -> str:
    """Write the figures that are looked at first.

    Parameters
    ----------
    run : RunFigures
    now : float
        [s].

    Returns
    -------
    str
        HTML.
    """
    over = run.ended is not None
    rate = run.mean_rate() if over else run.rate(now)
    eta = run.eta_s(now)
    failed = sum(s.failed for s in run.series.values())
    kinds = {"given up": failed, "damaged": run.failed - failed}
    what = ", ".join(f"{n:,} {word}" for word, n in kinds.items() if n)
    share = run.done / run.frames if run.frames else 1.0
    lost = run.failed / run.frames if run.frames else 0.0
    measured = "mean of the run" if over else "in the last minute"
    cells = [
        ("frames/s", "&ndash;" if rate is None else number(rate), measured, ""),
        ("done", f"{run.done:,}", f"of {run.frames:,}, {100 * share:.1f} %", ""),
        ("left", f"{run.left:,}", "frames", ""),
        ("failed", f"{run.failed:,}", what, "lost" if run.failed else ""),
        ("time left", "&ndash;" if eta is None else clock(eta), "at this rate", ""),
        ("running for", clock((run.ended or now) - run.began), "", ""),
    ]
    if over:
        cells[4] = ("time left", "&ndash;", "", "")
        cells[5] = ("ran for", *cells[5][1:])
    facts = "".join(
        f"<div class='{kind}'><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>"
        for name, value, more, kind in cells
    )
    return (
        f"<div class='progress'><i style='width:{100 * share:.2f}%'></i>"
        f"<i class='lost' style='width:{100 * lost:.2f}%'></i></div>"
        f"<dl class='facts'>{facts}</dl>"
    )


def pictures(picture: Mapping[str, Any] | None) -> str:
    """Write the latest frame, before and after.

    Parameters
    ----------
    picture : mapping or None
        ``series``, ``frame``, and the two in base64.

    Returns
    -------
    str
        HTML.
    """
    if picture is None:
        return "<h2>Latest frame</h2><p class='soft'>None yet.</p>"
    shown = "".join(
        f"<figure><div class='view'><img alt='{name}' src='data:image/png;base64,"
        f"{escape(str(picture[key]))}'></div><figcaption><strong>{name}</strong><br>{note}"
        "</figcaption></figure>"
        for key, name, note in (
            ("before", "as recorded", "on a grey scale of its own"),
            ("after", "filtered", "on a grey scale of its own"),
        )
    )
    where = f"{picture['series']}, frame {picture['frame']:,}"
    return (
        f"<h2>Latest frame <span class='soft'>{escape(where)}</span></h2>"
        f"<div class='pair'>{shown}</div>"
    )


def table(run: RunFigures) -> str:
    """Write how far each series is.

    Parameters
    ----------
    run : RunFigures

    Returns
    -------
    str
        HTML.
    """
    rows = "".join(_row(s, now=s.name == run.newest) for s in run.series.values())
    return (
        "<h2>Series</h2><div class='scroll'><table><tr><th>series<th>done<th>left<th>failed"
        f"<th>PSNR lately</tr>{rows}</table></div>"
    )


def number(value: float) -> str:
    """Write a rate as people read it: 0.291, 3.18, 26.3, 1,204."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def clock(seconds: float) -> str:
    """Write a time as people read it: 0:42, 12:05, 3:00:10, 2 d 04 h."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02d} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _row(series: SeriesFigures, *, now: bool) -> str:
    lost = series.failed + series.damaged
    psnr = "" if series.psnr_db is None else f"{series.psnr_db:.2f} dB"
    cells = (f"{series.done:,}", f"{series.left:,}", f"{lost:,}" if lost else "", psnr)
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr class='{'now' if now else ''}'><td>{escape(series.name)}</td>{rest}</tr>"
