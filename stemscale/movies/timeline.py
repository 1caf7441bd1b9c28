"""Which frame of a series each frame of a movie shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError

_MOST_FRAMES = 1_000_000  # eleven hours at 25 frames/s: a slip of the pen, not a wish
_REGULAR = 0.1  # of the median, that intervals may differ by and one pace still be true


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Timeline:
    """The order in which frames are shown.

    Attributes
    ----------
    shown : ndarray of int64, shape (movie frame,)
        Number of the frame in the series; it never falls.
    selected : int
        Frames of the series that were asked for.
    pace : float or None
        Seconds of the series in a second of the movie; None where times are not known, or so
        irregular that no one number is true.
    """

    shown: NDArray[np.int64]
    selected: int
    pace: float | None

    @property
    def left_out(self) -> int:
        """Frames that were asked for and are not shown, as the movie runs faster than they came."""
        return self.selected - int(np.unique(self.shown).size)


def plan_timeline(
    n_frames: int,
    time: NDArray[np.float64] | None,
    *,
    frames: tuple[int | None, int | None] | None,
    fps: float,
    speed: float | None,
) -> Timeline:
    """Choose the frame that each frame of the movie shows.

    Parameters
    ----------
    n_frames : int
        Frames of the series.
    time : ndarray, shape (frame,), or None
        When each was taken [s].
    frames : tuple of int or None, optional
        First frame, and the first one after the last; None: from the start, to the end.
    fps : float
        Movie frames a second.
    speed : float, optional
        Seconds of the series in a second of the movie. By default every frame is shown once.

    Returns
    -------
    Timeline
        With ``speed``, each movie frame shows the one frame nearest to its moment: frames are left
        out or repeated, and never averaged, since an average has less noise than was recorded.

    Raises
    ------
    SettingsError
        If there are no such frames, a number makes no sense, or ``speed`` is asked for where times
        are not known or do not rise.
    """
    for name, value in (("--fps", fps), ("--speed", speed)):
        if value is not None and not 0 < value < float("inf"):
            raise SettingsError(f"{name} is {value:g}, but must be above 0")
    first, last = _bounds(frames, n_frames)
    times = None if time is None else time[first:last]
    if speed is None:
        shown = np.arange(first, last, dtype=np.int64)
        pace = None if times is None else _regular_pace(times, fps)
        return Timeline(shown=shown, selected=last - first, pace=pace)
    moments = _moments(_rising(times), fps, speed)
    # each frame reigns from half-way to the one before to half-way to the one after
    nearest = np.searchsorted((times[:-1] + times[1:]) / 2, moments, side="right")  # type: ignore[index]
    return Timeline(shown=first + nearest.astype(np.int64), selected=last - first, pace=speed)


def _bounds(frames: tuple[int | None, int | None] | None, n_frames: int) -> tuple[int, int]:
    start, stop = frames or (None, None)
    first, last = 0 if start is None else start, n_frames if stop is None else stop
    if not 0 <= first < last <= n_frames:
        written = f"{'' if start is None else start}:{'' if stop is None else stop}"
        raise SettingsError(
            f"--frames {written} is not within the series, which has {n_frames} frames: give "
            f"FIRST:END with 0 <= FIRST < END <= {n_frames}"
        )
    return first, last


def _rising(times: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if times is None:
        raise SettingsError(
            "--speed needs the time of every frame, which the store does not have: leave it out, "
            "or ingest the series again with its times or its --dwell-time"
        )
    unknown = int(np.count_nonzero(~np.isfinite(times)))
    if unknown:
        raise SettingsError(
            f"--speed needs the time of every frame, but {unknown} of {times.size} have none: "
            f"leave it out, or choose others with --frames"
        )
    if (np.diff(times) < 0).any():
        at = int(np.flatnonzero(np.diff(times) < 0)[0])
        raise SettingsError(
            f"--speed needs times that rise, but they fall from {times[at]:g} s to "
            f"{times[at + 1]:g} s: leave it out, or choose others with --frames"
        )
    return times


def _moments(times: NDArray[np.float64], fps: float, speed: float) -> NDArray[np.float64]:
    """Moments of the series that the movie shows [s]; the last frame lasts as long as the usual."""
    interval = float(np.median(np.diff(times))) if times.size > 1 else 0.0
    lasts = float(times[-1] - times[0]) + interval
    count = max(1.0, np.rint(lasts / speed * fps))
    if count > _MOST_FRAMES:
        raise SettingsError(
            f"{lasts:g} s at --speed {speed:g} and --fps {fps:g} are {count:.3g} movie frames, "
            f"more than {_MOST_FRAMES}: give a higher --speed"
        )
    moments: NDArray[np.float64] = times[0] + np.arange(int(count)) * (speed / fps)
    return moments


def _regular_pace(times: NDArray[np.float64], fps: float) -> float | None:
    steps = np.diff(times)
    if not steps.size or not np.isfinite(steps).all():
        return None
    usual = float(np.median(steps))
    if usual <= 0 or (np.abs(steps - usual) > _REGULAR * usual).any():
        return None
    return usual * fps
