"""A movie of one series: raw and filtered frames side by side, block by block."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError, StoreConflictError
from stemscale.movies.ahead import read_ahead
from stemscale.movies.canvas import Canvas, PanelLook
from stemscale.movies.columns import frame_column
from stemscale.movies.contrast import Contrast, GreyImage, fix_contrast
from stemscale.movies.crop import Crop, checked_crop
from stemscale.movies.encoder import ENDINGS, Encoder, find_ffmpeg
from stemscale.movies.panels import Panel, choose_filters, choose_fov, open_panels
from stemscale.movies.stamps import make_stamps
from stemscale.movies.timeline import Timeline, plan_timeline
from stemscale.store import AcquisitionStore, rapid_group
from stemscale.views.output import checked_output, write_at_once

_FPS = 25.0
_FASTEST_GIF = 50.0  # frames/s; browsers slow down what is faster
_FASTEST = 240.0
_SMALLEST_SIDE_PX = 384  # of a panel's longer side: below, letters are larger than the specimen
_WIDEST_PX, _HIGHEST_PX = 3840, 2160
_MOST_PX = 16384  # either way: no codec takes more
_PIECE_BYTES = 2**26  # of float32, of each panel, that are read together


@dataclass(frozen=True, kw_only=True, slots=True)
class MovieProgress:
    """How far a movie has come.

    Attributes
    ----------
    fov : str
        Field of view.
    frames : int
        Movie frames just written.
    frames_in_all : int
        Movie frames.
    """

    fov: str
    frames: int
    frames_in_all: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Movie:
    """A movie that was written.

    Attributes
    ----------
    path : Path
        The file.
    fov : str
        Field of view.
    panels : tuple of str
        Their titles, from left to right.
    n_frames : int
        Frames of the movie.
    fps : float
        Of them a second.
    seconds : float
        How long it lasts.
    pace : float or None
        Seconds of the series in a second of the movie; None where that is not known.
    shape : tuple of int
        (height, width) [px].
    scale : float
        Movie pixels for each pixel of a frame.
    size : int
        Of the file [bytes].
    selected : int
        Frames of the series that were asked for.
    left_out : int
        Those of them that are not shown, as the movie runs faster than they came.
    absent : dict of str to dict of str to int
        Frames of the series that are shown as a hatched panel: by panel, why and how many.
    notes : tuple of str
        What could not be done, and the remedy.
    """

    path: Path
    fov: str
    panels: tuple[str, ...]
    n_frames: int
    fps: float
    seconds: float
    pace: float | None
    shape: tuple[int, int]
    scale: float
    size: int
    selected: int
    left_out: int
    absent: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def movie(
    store: str | Path,
    output: str | Path,
    *,
    fov: str | None = None,
    filters: Sequence[str] = (),
    raw: str = "corrected",
    frames: tuple[int | None, int | None] | None = None,
    fps: float = _FPS,
    speed: float | None = None,
    crop: tuple[int, int, int, int] | None = None,
    scale: float | None = None,
    overwrite: bool = False,
    listener: Callable[[MovieProgress], None] = lambda _: None,
) -> Movie:
    """Write a movie of one FOV, raw and filtered frames side by side.

    One grey scale serves the whole movie. Under the frames stand time, temperature, number and
    pace, as far as the store knows them. A frame that is not there is shown as a hatched panel.

    Parameters
    ----------
    store : str or Path
        Folder of the store, or its URL; only read.
    output : str or Path
        ``.mp4`` (H.264), ``.webm`` (VP9) or ``.gif``.
    fov : str, optional
        Field of view; may be left out where there is only one.
    filters : sequence of str
        Names of filtered frames, from left to right; by default all that a learned filter made,
        or, without any, those that another one made.
    raw : {"corrected", "recorded", "none"}
        The rapid frames beside them: with the distortion and drift undone that were undone in the
        first of the filtered ones, so that both show the same place; as recorded; or not at all.
    frames : tuple of int or None, optional
        First frame, and the first one after the last; None: from the start, to the end.
    fps : float
        Movie frames a second.
    speed : float, optional
        Seconds of the series in a second of the movie: each movie frame shows the one frame that
        is nearest to its moment. By default every frame is shown once.
    crop : tuple of int, optional
        (x, y, width, height) of the part to show [px of a frame of each panel].
    scale : float, optional
        Movie pixels for each pixel of a frame. By default 1; small frames are made larger by a
        whole factor, and what is too large for a screen of 3840 × 2160 smaller.
    overwrite : bool
        Whether to replace a file.
    listener : callable
        Told after each piece of the series.

    Returns
    -------
    Movie

    Raises
    ------
    SettingsError
        If a parameter makes no sense for this series, or the file lies in the store.
    StoreError
        If the frames are not there, or none of them can be shown.
    StoreConflictError
        If the file exists.
    DamagedDataError
        If what the store knows of its blocks or frames is damaged.
    ProcessingError
        If there is no ffmpeg, or it fails; no file is left behind, and one that was there stays.

    Notes
    -----
    Source: row Q10. Frames are never averaged over time: an average has less noise than was
    recorded. Memory does not grow with the series: two pieces of it are held, one that is drawn
    and one that is read.
    """
    path = _checked_path(store, Path(output), fps, overwrite)
    find_ffmpeg()  # or say that there is none before the series is read
    source = AcquisitionStore(store)
    name = choose_fov(source, fov)
    panels, n_frames = open_panels(source, name, choose_filters(source, name, filters), raw=raw)
    time, temperature = (
        frame_column(source, rapid_group(name), column) for column in ("time", "temperature")
    )
    if time is not None and time.size < n_frames:  # the series has just grown
        n_frames = time.size
    timeline = plan_timeline(n_frames, time, frames=frames, fps=fps, speed=speed)
    part = checked_crop(crop, ((p.title, p.shape) for p in panels))
    looks = [_look(panel, part) for panel in panels]
    factor = _checked_scale(scale, looks)
    stamps = make_stamps(timeline, time=time, temperature=temperature)
    canvas = Canvas(looks, stamps.widest, factor)
    contrasts = fix_contrast(panels, timeline.shown, part)
    reel = _Reel(panels=panels, contrasts=contrasts, crop=part)

    def encode(file: Path) -> None:
        about = _metadata(source, name, panels, timeline, factor)
        with Encoder(
            file, ending=path.suffix.lower(), shape=canvas.shape, fps=fps, metadata=about
        ) as encoder:
            for piece in read_ahead(_pieces(timeline.shown, panels), reel.read):
                for number, pictures in piece:
                    encoder.write(canvas.draw(pictures, stamps(number)))
                listener(
                    MovieProgress(fov=name, frames=len(piece), frames_in_all=timeline.shown.size)
                )

    write_at_once(path, encode)
    return Movie(
        path=path,
        fov=name,
        panels=tuple(p.title for p in panels),
        n_frames=timeline.shown.size,
        fps=fps,
        seconds=timeline.shown.size / fps,
        pace=timeline.pace,
        shape=canvas.shape,
        scale=factor,
        size=path.stat().st_size,
        selected=timeline.selected,
        left_out=timeline.left_out,
        absent={t: dict(c) for t, c in reel.absent.items() if c},
        notes=tuple(p.note for p in panels if p.note),
    )


_Piece = list[tuple[int, tuple[GreyImage | str, ...]]]


class _Reel:
    """Reads pieces of the series as they are shown, and counts what is not there."""

    def __init__(
        self, *, panels: Sequence[Panel], contrasts: Sequence[Contrast], crop: Crop | None
    ) -> None:
        self._panels, self._contrasts, self._crop = panels, contrasts, crop
        self._last = -1
        self.absent: dict[str, Counter[str]] = {p.title: Counter() for p in panels}

    def read(self, shown: NDArray[np.int64]) -> _Piece:
        """Give the pictures of all panels for some movie frames."""
        numbers = np.unique(shown).tolist()
        columns = [
            self._grey(panel, contrast, numbers)
            for panel, contrast in zip(self._panels, self._contrasts, strict=True)
        ]
        by_number = dict(zip(numbers, zip(*columns, strict=True), strict=True))
        self._last = numbers[-1]
        return [(n, by_number[n]) for n in shown.tolist()]

    def _grey(
        self, panel: Panel, contrast: Contrast, numbers: list[int]
    ) -> Iterator[GreyImage | str]:
        for number, picture in zip(numbers, panel.pictures(numbers), strict=True):
            if isinstance(picture, str):
                if number > self._last:  # one that is repeated may lie in two pieces
                    self.absent[panel.title][picture] += 1
                yield picture
            else:
                yield contrast.grey(picture if self._crop is None else self._crop.of(picture))


def _pieces(shown: NDArray[np.int64], panels: Sequence[Panel]) -> Iterator[NDArray[np.int64]]:
    """Cut what is shown into pieces that lie in one block of the series, and in memory."""
    largest = max(p.shape[0] * p.shape[1] for p in panels)
    fits = max(1, _PIECE_BYTES // (4 * largest))
    block = min(fits, max(p.block for p in panels))
    at = 0
    while at < shown.size:
        end = int(np.searchsorted(shown, (shown[at] // block + 1) * block))
        end = min(end, at + 4 * block)  # a frame may be repeated any number of times
        yield shown[at:end]
        at = end


def _look(panel: Panel, crop: Crop | None) -> PanelLook:
    shape = panel.shape if crop is None else (crop.height, crop.width)
    return PanelLook(title=panel.title, shape=shape, pixel_size_nm=panel.pixel_size_nm)


def _checked_path(store: str | Path, path: Path, fps: float, overwrite: bool) -> Path:
    checked_output(store, path, ENDINGS)
    fastest = _FASTEST_GIF if path.suffix.lower() == ".gif" else _FASTEST
    if fps > fastest:
        raise SettingsError(
            f"--fps {fps:g} is more than {fastest:g}, the most that players of {path.suffix} "
            f"show: give fewer, or a higher --speed"
        )
    if path.exists() and not overwrite:
        raise StoreConflictError(f"{path} exists: name another file, or replace it by --overwrite")
    return path


def _checked_scale(scale: float | None, looks: Sequence[PanelLook]) -> float:
    heights = [look.shape[0] for look in looks]
    widths = [look.shape[1] for look in looks]
    if scale is None:
        longest = max(*heights, *widths)
        scale = float(max(1, math.ceil(_SMALLEST_SIDE_PX / longest)))
        while scale > 1 and (
            sum(widths) * scale > _WIDEST_PX or max(heights) * scale > _HIGHEST_PX
        ):
            scale -= 1
        too_large = max(sum(widths) / _WIDEST_PX, max(heights) / _HIGHEST_PX)
        return scale if too_large <= 1 else 1 / math.ceil(too_large)
    if not 0 < scale < float("inf"):
        raise SettingsError(f"--scale is {scale:g}, but must be above 0")
    if max(sum(widths), max(heights)) * scale > _MOST_PX:
        raise SettingsError(
            f"--scale {scale:g} makes a movie of more than {_MOST_PX} pixels: give a smaller one, "
            f"or a --crop"
        )
    return scale


def _metadata(
    store: AcquisitionStore, fov: str, panels: Sequence[Panel], timeline: Timeline, scale: float
) -> dict[str, str]:
    """Say in the file what it shows, without the path of anything."""
    pace = "" if timeline.pace is None else f", {timeline.pace:.4g} s of it in a second"
    first, last = int(timeline.shown[0]), int(timeline.shown[-1])
    shown = " | ".join(p.title for p in panels)
    return {
        "title": f"{store.path.name} {fov}",
        "comment": f"{shown}; frames {first} to {last} of the series{pace}; scale {scale:.3g}; "
        f"stemscale {version('stemscale')}",
    }
