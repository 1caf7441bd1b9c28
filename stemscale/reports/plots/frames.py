"""First, middle and last frames of an in-situ series, rapid over filtered, and the slow scan."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemscale.reports.display import Display, prepare
from stemscale.reports.in_situ import EndScore, end_scores
from stemscale.reports.plot import Column, Plot
from stemscale.reports.plots.panels import WIDE_IN, no_ticks, show_image
from stemscale.reports.shots import FovShots, Shot, choose_frame, read_shots
from stemscale.reports.style import figure_text
from stemscale.views.store_view import FovView, StoreView

_MOST_FILTERS = 3  # rows below the rapid one; the last ones, which are the learned
_TITLE_IN = 0.5


def frames_plot(view: StoreView, fov: FovView) -> Plot | None:
    """Draw the first, the middle and the last frame of a series over its filtered ones.

    Parameters
    ----------
    view : StoreView
        The store; images that cannot be read are added to its ``problems``.
    fov : FovView
        One of its FOVs.

    Returns
    -------
    Plot or None
        Four columns, the last of them the slow scan; None where it is no series with a slow scan
        after it or with temperatures. Of each array of frames three frames are read.

    Notes
    -----
    Source: Ihara 2022, Fig. 5 (row Q9).
    """
    heated = fov.temperature is not None and fov.temperature.size > 1
    if fov.shape[0] < 3 or not (fov.slow_is_after or heated):
        return None
    last = choose_frame(fov) if fov.slow_is_after else fov.shape[0] - 1
    read = [read_shots(view, fov, frame=n) for n in (0, last // 2, last)]
    if not all(r.shots for r in read):
        return None
    names = _rows(read)
    scores = end_scores(view, fov)
    return Plot(
        name="frames",
        fov=fov.name,
        title=f"{fov.name}: first, middle and last frame",
        caption=_caption(scores, fov),
        paper="Fig. 5",
        figure=_draw(read, names),
        numbers=_numbers(read, names),
        photographic=True,
    )


def stamp(fov: FovView, frame: int) -> str:
    """Say when a frame was taken, and at which temperature, where it is known."""
    parts = []
    if fov.time is not None and frame < fov.time.size:
        parts.append(f"{fov.time[frame]:.2f} s")
    if fov.temperature is not None and frame < fov.temperature.size:
        parts.append(f"{fov.temperature[frame]:.0f} °C")
    return ", ".join(p for p in parts if "nan" not in p)


def _caption(scores: Sequence[EndScore], fov: FovView) -> str:
    text = "Rapid frames above, filtered ones below"
    if fov.slow is not None:
        text += f"; right: the slow scan{' taken after the series' if fov.slow_is_after else ''}"
    lines = [
        f"{s.filter}, last frame against it: {s.filtered_db:.1f} dB, rapid {s.rapid_db:.1f} dB, "
        f"{s.gain_db:+.1f} dB ({s.gain_percent:+.0f}%)"
        for s in scores
    ]
    return ". ".join([text, *lines]) + "."


def _rows(read: Sequence[FovShots]) -> list[str]:
    """Names of the images that all three frames have: rapid, then filtered ones."""
    common = [s.name for s in read[0].shots if s.role in ("filtered", "dcfi") and not s.is_average]
    for shots in read[1:]:
        there = {s.name for s in shots.shots}
        common = [name for name in common if name in there]
    return ["rapid", *common[-_MOST_FILTERS:]]


def _draw(read: Sequence[FovShots], names: Sequence[str]) -> Figure:
    slow = next((s for s in read[-1].shots if s.role == "slow"), None)
    columns = len(read) + (slow is not None)
    n_y, n_x = read[0].shots[0].image.shape
    width = min(2.875, WIDE_IN / columns)
    row_in = width * min(2.0, n_y / n_x)
    figure = Figure(figsize=(columns * width, len(names) * row_in + _TITLE_IN))
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    axes = figure.subplots(len(names), columns, squeeze=False)
    for column, shots in enumerate(read):
        display = prepare(shots)
        for row, name in enumerate(names):
            _panel(axes[row, column], shots, display, name)
        when = stamp(shots.fov, shots.frame)
        axes[0, column].set_title(f"frame {shots.frame}" + (f"\n{when}" if when else ""))
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(figure_text(name, longest=22))
    if slow is not None:
        display = prepare(read[-1])
        _panel(axes[0, -1], read[-1], display, slow.name)
        axes[0, -1].set_title(f"{slow.name}\n{slow.note}")
        for unused in axes[1:, -1]:
            unused.set_axis_off()
    return figure


def _panel(axes: Axes, shots: FovShots, display: Display, name: str) -> None:
    for shot, image in zip(shots.shots, display.images, strict=True):
        if shot.name == name:
            show_image(
                axes,
                image,
                black=display.black,
                white=display.white,
                pixel_size_nm=shot.pixel_size_nm,
            )
            return
    no_ticks(axes)  # the frame cannot be read


def _numbers(read: Sequence[FovShots], names: Sequence[str]) -> dict[str, Column]:
    lines: list[tuple[FovShots, Shot]] = [
        (shots, shot) for shots in read for shot in shots.shots if shot.name in names
    ]
    time, temperature = (
        [_at(values, shots.frame) for shots, _ in lines]
        for values in (read[0].fov.time, read[0].fov.temperature)
    )
    return {
        "frame": [shots.frame for shots, _ in lines],
        "time_s": time,
        "temperature_degC": temperature,
        "image": [shot.name for _, shot in lines],
        "psnr_dB": [float("nan") if s.psnr_db is None else s.psnr_db for _, s in lines],
    }


def _at(values: npt.NDArray[np.float64] | None, frame: int) -> float:
    return float("nan") if values is None or frame >= len(values) else float(values[frame])
