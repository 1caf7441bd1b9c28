"""What is written over images and beside controls; names from a store may hold anything."""

from html import escape

import numpy as np

from stemscale.viewer.series import CORRECTED, RECORDED, SLOW, Series, filter_of

_LONGEST = 40


def short(text: str, longest: int = _LONGEST) -> str:
    """Cut text from a store to a length that a page has room for, on one line."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def name_of(key: str) -> str:
    """Name of an image, as in lists."""
    names = {RECORDED: "as recorded", CORRECTED: "corrected", SLOW: "slow scan"}
    found = filter_of(key)
    return short(found) if found is not None else names[key]


def title(series: Series, key: str, frame: int) -> str:
    """Write what stands above an image.

    Parameters
    ----------
    series : Series
    key : str
        One of its images.
    frame : int

    Returns
    -------
    str
        HTML: name, frame, PSNR, and what a reader must know.
    """
    found = filter_of(key)
    view = None if found is None else series.filter_view(found)
    average = view is not None and series.is_average(view)
    facts = [] if key == SLOW or average else [f"frame {frame:,}"]
    if average:
        facts.append(f"average of {series.n_frames:,} frames")
    if key == SLOW:
        facts.append("taken after the series" if series.fov.slow_is_after else "reference")
    psnr = series.psnr_db(key, frame)
    if psnr is not None:
        facts.append(f"{psnr:.2f} dB")
    label = "" if view is None else short(view.label, 200)
    name = escape(name_of(key))
    kind = "filtered: " if view is not None else ""
    outside = found is not None and series.outside(found, frame)
    mark = (
        "<b class='warn' title='unlike the frames that the filter was trained on'>out of range</b>"
    )
    return (
        f"<p class='title' title='{escape(label, quote=True)}'><strong>{kind}{name}</strong>"
        f"<span>{' · '.join(facts)}{' · ' + mark if outside else ''}</span></p>"
    )


def place(series: Series, frame: int, rate: float | None = None) -> str:
    """Write which frame is shown, when it was taken and how warm it was.

    Parameters
    ----------
    series : Series
    frame : int
    rate : float, optional
        Frames/s, while playing.

    Returns
    -------
    str
        HTML.
    """
    where = f"frame <strong>{frame:,}</strong> · {series.n_frames:,} frames"
    if series.fov.state != "complete":
        where += " <span class='growing'>growing</span>"
    facts = []
    times = series.times()
    if times is not None:
        facts.append(f"{times[frame]:.2f} s")
    warm = series.fov.temperature
    if warm is not None and frame < warm.size and np.isfinite(warm[frame]):
        facts.append(f"{warm[frame]:.1f} °C")
    if rate is not None:
        facts.append(f"{rate:.1f} frames/s")
    return f"<p class='place'>{where}<br>{' · '.join(facts)}</p>"


def heading(store: str, path: str) -> str:
    """Write the name of the store.

    Parameters
    ----------
    store, path : str

    Returns
    -------
    str
        HTML.
    """
    return f"<h1 title='{escape(short(path, 400), quote=True)}'>{escape(short(store, 60))}</h1>"


def notice(text: str) -> str:
    """Write what is wrong, above the images."""
    return f"<p class='notice'>{escape(short(text, 400))}</p>"
