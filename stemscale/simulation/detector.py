"""From transmitted intensity to 16-bit counts: response, dose, noise, lag, intensity range."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from stemscale.errors import SettingsError
from stemscale.simulation.lag import DetectorLag
from stemscale.simulation.settings import SimulationSettings

Image = NDArray[np.float64]

# Row D7: a FOV uses a part of the 16-bit range, one of two kinds; (lowest, highest) counts.
INTENSITY_RANGES = (
    ((7_000.0, 10_000.0), (17_000.0, 20_000.0)),
    ((15_000.0, 20_000.0), (30_000.0, 40_000.0)),
)
_MAX_COUNTS = 65_535
_LEAST_CONTRAST = 0.6  # of the bright background: nobody sets a gain that clips the noise
_DARKEST = 0.02  # of the bright background: a response never goes to 0 or below


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RapidResponse:
    """How the detector's answer to a rapid scan differs from that to a slow one (Fig. 4b).

    Attributes
    ----------
    gamma : float
        The answer goes with this power of the signal; it belongs to the instrument.
    background : ndarray, shape (y, x), or None
        Added smoothly over the frame, in units of the bright background; it belongs to the FOV.
    """

    gamma: float
    background: Image | None

    def apply(self, intensity: Image) -> Image:
        """Turn transmitted intensity (y, x), 1 at the bright background, into the signal."""
        signal = intensity if self.gamma == 1.0 else intensity**self.gamma
        if self.background is None:
            return signal
        return np.maximum(signal + self.background, _DARKEST)

    def at(self, rows: Image, columns: Image) -> Self:
        """Give the response at fractional rows (n_y,) and columns (n_x,) of a frame."""
        if self.background is None:
            return self
        places = np.meshgrid(rows, columns, indexing="ij")
        return replace(
            self, background=map_coordinates(self.background, places, order=1, mode="nearest")
        )


def draw_response(
    intensity: Image,
    settings: SimulationSettings,
    instrument: np.random.Generator,
    view: np.random.Generator,
) -> RapidResponse:
    """Draw the rapid scan's response.

    Parameters
    ----------
    intensity : ndarray, shape (y, x)
        Of the scene, for its contrast: the background is measured in it.
    settings : SimulationSettings
    instrument, view : numpy.random.Generator
        Chance of the microscope and of one FOV.

    Returns
    -------
    RapidResponse
    """
    gamma = float(np.exp(instrument.uniform(-settings.gamma_log, settings.gamma_log)))
    n_y, n_x = intensity.shape
    y, x = np.arange(n_y)[:, None] / n_y, np.arange(n_x)[None, :] / n_x
    smooth = np.zeros(intensity.shape)
    for _ in range(3):  # waves of one to three frames: nothing that looks like a structure
        wave, angle, phase = view.uniform(1.0, 3.0), *view.uniform(0, 2 * np.pi, 2)
        along = (x * np.cos(angle) + y * np.sin(angle)) / wave
        smooth += view.uniform(0.5, 1.0) * np.cos(2 * np.pi * along + phase)
    contrast = np.ptp(np.quantile(intensity, (0.005, 0.995)))
    height = view.uniform(*settings.background_contrast) * contrast
    background = height * ((smooth - smooth.min()) / np.ptp(smooth) - 0.5)
    return RapidResponse(
        gamma=gamma if settings.has("gamma") else 1.0,
        background=background if settings.has("background") else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """Counts electrons, late and noisily, and gives numbers of 16 bit.

    Attributes
    ----------
    settings : SimulationSettings
    black : float
        Counts of no electron.
    bright : float
        Counts of the bright background above ``black``.
    """

    settings: SimulationSettings
    black: float
    bright: float

    def counts(self, signal: Image) -> Image:
        """Give the counts (y, x) of a signal (y, x) without any noise, not rounded."""
        return self.black + self.bright * signal

    def record(
        self, signal: Image, *, dwell_ns: float, rng: np.random.Generator
    ) -> NDArray[np.uint16]:
        """Record a scan.

        Parameters
        ----------
        signal : ndarray, shape (y, x)
            1 at the bright background.
        dwell_ns : float
            [ns]; the dose grows with it.
        rng : numpy.random.Generator
            All chance comes from it.

        Returns
        -------
        ndarray of uint16, shape (y, x)

        Notes
        -----
        Chance falls on the electrons; what they give is delayed together with its noise, which is
        therefore correlated along the lines, as on real instruments; readout noise comes after.
        """
        s = self.settings
        dose = s.dose_electrons * dwell_ns / s.rapid_dwell_ns
        electrons = dose * signal
        # The beam waits at the start of each line, so the tails begin settled to what is there.
        waiting = electrons[:, 0].copy()
        if s.has("poisson"):
            electrons = rng.poisson(electrons).astype(np.float64)
        if s.has("lag"):
            electrons = self.late(electrons, waiting, dwell_ns=dwell_ns)
        if s.has("readout"):
            electrons = electrons + rng.normal(0.0, s.readout_electrons, electrons.shape)
        counts = np.rint(self.counts(electrons / dose))
        return np.clip(counts, 0, _MAX_COUNTS).astype(np.uint16)

    def late(self, electrons: Image, waiting: Image, *, dwell_ns: float) -> Image:
        """Delay a signal (y, x) along its lines.

        Parameters
        ----------
        electrons : ndarray, shape (y, x)
            [electrons a pixel]
        waiting : ndarray, shape (y,)
            What the tails are settled to at the start of each line [electrons a pixel].
        dwell_ns : float
            [ns]

        Returns
        -------
        ndarray, shape (y, x)
        """
        s = self.settings
        lag = DetectorLag(
            fast_ns=s.lag_fast_ns,
            slow_ns=s.lag_slow_ns,
            slow_share=s.lag_slow_share,
            signal_power=s.lag_signal_power,
            integrates=s.lag_integrates,
        )
        bright = s.dose_electrons * dwell_ns / s.rapid_dwell_ns
        return lag.apply(electrons, waiting, dwell_ns=dwell_ns, bright=bright)


def draw_detector(
    intensity: Image, settings: SimulationSettings, rng: np.random.Generator
) -> Detector:
    """Set gain and offset so that a FOV's slow scan uses the part of the range of row D7.

    Parameters
    ----------
    intensity : ndarray, shape (y, x)
        Of the scene: its lowest and highest value get the counts drawn, before noise; rapid frames
        share gain and offset, and their noise goes beyond. A faint scene uses less of the range.
    settings : SimulationSettings
    rng : numpy.random.Generator
        All chance comes from it.

    Returns
    -------
    Detector

    Raises
    ------
    SettingsError
        If there is nothing to see.
    """
    if np.ptp(intensity) == 0:
        raise SettingsError(
            "the scene is empty, every pixel is alike: give SceneSettings some lines or thickness"
        )
    kind = INTENSITY_RANGES[int(rng.integers(len(INTENSITY_RANGES)))]
    low, high = (float(rng.uniform(*limits)) for limits in kind)
    bright = (high - low) / max(float(np.ptp(intensity)), _LEAST_CONTRAST)
    return Detector(settings=settings, black=high - bright * float(intensity.max()), bright=bright)
