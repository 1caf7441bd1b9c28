"""Where the beam is: hysteresis of the scan coils, jitter of the lines, drift of the specimen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemscale.simulation.settings import SimulationSettings

Line = NDArray[np.float64]
_RUSH_SHARE = 0.85  # of instruments whose beam is too fast, not too slow, at the start of a line
_WAVES = 3
_WAVE_AMPLITUDE = 0.04
_STRETCH_LIMITS = (-0.5, 1.0)  # row C4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RapidScan:
    """The path of the beam in a rapid frame, and the slow scan's view of it.

    Attributes
    ----------
    beam_x : ndarray, shape (n_x,)
        Where the beam is at each column of a rapid frame [px of the slow scan]; rises throughout.
    offset_y : float
        Row of the rapid frame that shows the slow scan's row 0 [px].
    """

    beam_x: Line
    offset_y: float

    @property
    def source_x(self) -> Line:
        """Fractional column of the rapid frame that shows each column of the slow scan [px]."""
        n = len(self.beam_x)
        # The path goes on straight on both sides: what lies outside a frame has a place as well.
        first, last = self.beam_x[1] - self.beam_x[0], self.beam_x[-1] - self.beam_x[-2]
        path = [self.beam_x[:1] - n * first, self.beam_x, self.beam_x[-1:] + n * last]
        columns: Line = np.interp(np.arange(n), np.concatenate(path), [-n, *range(n), 2 * n - 1])
        return columns

    def source_y(self, n_y: int) -> Line:
        """Fractional row of the rapid frame that shows each row of a slow scan of ``n_y`` [px]."""
        return np.arange(n_y, dtype=np.float64) + self.offset_y


def draw_scan_rate(n_x: int, settings: SimulationSettings, rng: np.random.Generator) -> Line:
    """Draw the error of the scan rate along a line: the instrument's hysteresis.

    Parameters
    ----------
    n_x : int
        Pixels of a line.
    settings : SimulationSettings
    rng : numpy.random.Generator
        All chance comes from it.

    Returns
    -------
    ndarray, shape (n_x,)
        Local stretch: rate over its mean, less 1. Within -0.5 … 1 (row C4), of mean 0.

    Notes
    -----
    The coils forget the flyback in some µs: an exponential, strongest at the start of the line; and
    slow waves, as the rest of the hysteresis has no simple form.
    """
    u = np.arange(n_x, dtype=np.float64)
    low, high = settings.line_start_stretch
    at_start = (high if rng.uniform() < _RUSH_SHARE else low) * rng.uniform(0.5, 1.0)
    decay_px = rng.uniform(*settings.hysteresis_us) * 1e3 / settings.rapid_dwell_ns
    rate = 1.0 + at_start * np.exp(-u / decay_px)
    for k in range(1, _WAVES + 1):
        phase = rng.uniform(0, 2 * np.pi)
        rate += _WAVE_AMPLITUDE / k * np.cos(1.3 * np.pi * k * u / n_x + phase)
    stretch = settings.distortion_scale * (rate / rate.mean() - 1.0)
    # Shrunk as a whole where it would leave the limits: the curve keeps its form.
    excess = max(stretch.max() / _STRETCH_LIMITS[1], stretch.min() / _STRETCH_LIMITS[0], 1.0)
    result: Line = stretch / excess
    return result


def draw_rapid_scan(
    n_x: int,
    settings: SimulationSettings,
    instrument: np.random.Generator,
    view: np.random.Generator,
) -> RapidScan:
    """Draw the path of the beam.

    Parameters
    ----------
    n_x : int
        Pixels of a line.
    settings : SimulationSettings
    instrument, view : numpy.random.Generator
        Chance of the microscope (the curve, the same in all its FOVs), and of one FOV (offsets).

    Returns
    -------
    RapidScan
    """
    if not settings.has("distortion"):
        return RapidScan(beam_x=np.arange(n_x, dtype=np.float64), offset_y=0.0)
    rate = 1.0 + draw_scan_rate(n_x, settings, instrument)
    beam_x = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]))])
    extra = settings.view_extra * settings.distortion_scale
    beam_x *= (1.0 + extra) * (n_x - 1) / beam_x[-1]
    left = instrument.uniform(0.3, 0.7) * extra * (n_x - 1)
    offset_y, offset_x = view.uniform(-1, 1, 2) * settings.view_shift_px
    return RapidScan(beam_x=beam_x - left + offset_x, offset_y=float(offset_y))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """Steady drift of the specimen.

    Attributes
    ----------
    speed_px_per_s : tuple of float
        (y, x) [px of the slow scan / s].
    """

    speed_px_per_s: tuple[float, float]

    def at(self, time_s: float | NDArray[np.floating]) -> Line:
        """Give the shift (…, 2) [px] of the specimen since the first frame at times [s]."""
        return np.multiply.outer(np.asarray(time_s, dtype=np.float64), self.speed_px_per_s)


def draw_drift(settings: SimulationSettings, rng: np.random.Generator) -> Drift:
    """Draw one FOV's drift: any direction, any speed up to ``drift_nm_per_s``."""
    speed = rng.uniform(0, 1) * settings.drift_nm_per_s / settings.pixel_size_nm
    angle = rng.uniform(0, 2 * np.pi)
    if not settings.has("drift"):
        return Drift(speed_px_per_s=(0.0, 0.0))
    return Drift(speed_px_per_s=(float(speed * np.sin(angle)), float(speed * np.cos(angle))))
