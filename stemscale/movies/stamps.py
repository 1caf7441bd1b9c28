"""What is written under the frames of a movie: time, temperature, number, pace."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.movies.timeline import Timeline

FloatArray = NDArray[np.float64]

_MOST_DECIMALS = 6
_SMALL_SPAN_C = 10.0  # a temperature that changes by less is given to a tenth


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stamps:
    """Words under each frame, in cells that keep their place.

    Attributes
    ----------
    cells : tuple of callable
        Each gives its text for the number of a frame.
    widest : tuple of str
        The longest text of each cell, by which its width is set.
    """

    cells: tuple[Callable[[int], str], ...]
    widest: tuple[str, ...]

    def __call__(self, number: int) -> tuple[str, ...]:
        """Give the text of every cell for a frame of the series."""
        return tuple(cell(number) for cell in self.cells)


def make_stamps(
    timeline: Timeline, *, time: FloatArray | None, temperature: FloatArray | None
) -> Stamps:
    """Choose what is stamped, the most important first: a narrow movie leaves out the last.

    Parameters
    ----------
    timeline : Timeline
    time : ndarray, shape (frame of the series,), or None
        [s]; frames beyond its end count as not known.
    temperature : ndarray, shape (frame of the series,), or None
        [°C].

    Returns
    -------
    Stamps
    """
    numbers = np.unique(timeline.shown)
    cells: list[Callable[[int], str]] = []
    if time is not None:
        cells.append(_quantity(time, "s", _decimals(time[numbers[numbers < time.size]])))
    if temperature is not None:
        known = temperature[numbers[numbers < temperature.size]]
        known = known[np.isfinite(known)]
        fine = known.size > 0 and float(np.ptp(known)) < _SMALL_SPAN_C
        cells.append(_quantity(temperature, "°C", 1 if fine else 0))
    cells.append(lambda number: f"frame {number}")
    if timeline.pace is not None:
        words = _pace(timeline.pace)
        cells.append(lambda _: words)
    longest = tuple(max((cell(n) for n in numbers.tolist()), key=len) for cell in cells)
    return Stamps(cells=tuple(cells), widest=longest)


def _pace(pace: float) -> str:
    return "real time" if abs(pace - 1) < 0.005 else f"{pace:.3g} × real time"


def _quantity(values: FloatArray, unit: str, decimals: int) -> Callable[[int], str]:
    def text(number: int) -> str:
        value = float(values[number]) if number < values.size else math.nan
        if not math.isfinite(value):
            return f"– {unit}"
        rounded = round(value, decimals) + 0.0  # no "-0"
        return f"{rounded:.{decimals}f} {unit}".replace("-", "−")

    return text


def _decimals(times: FloatArray) -> int:
    """Decimals that tell one frame from the next, and none that are 0 in all of them."""
    known = times[np.isfinite(times)]
    steps = np.abs(np.diff(known))
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.02
    needed = min(_MOST_DECIMALS, max(0, math.ceil(-math.log10(usual / 2))))
    exact = (d for d in range(needed) if np.allclose(known, np.round(known, d), rtol=0, atol=1e-9))
    return next(exact, needed)
