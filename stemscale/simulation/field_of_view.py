"""One field of view under the simulated microscope: its rapid frames, its slow scan, the truth."""

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemscale.errors import SettingsError
from stemscale.simulation.detector import draw_detector, draw_response
from stemscale.simulation.heating import temperature_degc, thermal_age_s
from stemscale.simulation.scan import draw_drift, draw_rapid_scan
from stemscale.simulation.scene import Scene, SceneImage
from stemscale.simulation.settings import SimulationSettings

Counts = NDArray[np.uint16]
Image = NDArray[np.float64]


class _Chance(IntEnum):
    """Streams of random numbers: a change of one effect leaves the others as they were."""

    CURVE = auto()
    GAMMA = auto()
    SCENE = auto()
    VIEW = auto()
    BACKGROUND = auto()
    RANGE = auto()
    DRIFT = auto()
    VIBRATION = auto()
    JITTER = auto()
    NOISE = auto()
    SLOW_NOISE = auto()


class Specimen(Protocol):
    """What lies under the beam."""

    def image(self, age_s: float = 0.0) -> SceneImage:
        """Give it as it is after heating, see `Scene.image`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SimulatedFrame:
    """A rapid frame and what is true of it.

    Attributes
    ----------
    counts : ndarray of uint16, shape (y, x)
        As recorded.
    shift_px : tuple of float
        Where the scene lies in the frame (y, x) once the distortion is corrected [px of the slow
        scan]: corrected(y + dy, x + dx) shows what the slow scan shows at (y, x).
    time_s : float
        Start of the frame [s].
    temperature_degc : float or None
        Of the specimen, in situ [°C].
    truth : ndarray, shape (y, x), or None
        In situ, the scene at the middle of the frame on the slow scan's grid, without noise or
        drift [counts]; a specimen at rest has one truth, `FieldOfView.truth`.
    """

    counts: Counts
    shift_px: tuple[float, float]
    time_s: float
    temperature_degc: float | None
    truth: Image | None


class FieldOfView:
    """A specimen under a microscope.

    Parameters
    ----------
    number : int
        Of the field of view: another number is another place on the specimen.
    size : int
        Pixels along both axes.
    n_frames : int
        Rapid frames of the series; of an in-situ series the slow scan comes after them.
    settings : SimulationSettings
    seed, scan_seed : int
        Of specimen and noise; of the microscope.
    in_situ : bool
        Heat the specimen.
    specimen : Specimen, optional
        Instead of the dislocations that the settings describe; it stays as it is.

    Raises
    ------
    SettingsError
        If the settings leave nothing to see, or a specimen given is to be heated.

    Notes
    -----
    Every frame depends on the seeds, the number and its index alone. The slow scan of a specimen
    at rest is taken before the series, as if at once: it is the reference, so drift counts from it.

    Examples
    --------
    A frame depends on the seeds and its number alone. Without any effect it is the truth, rounded:

    >>> import numpy as np
    >>> from stemscale.simulation import EFFECTS, FieldOfView, SimulationSettings
    >>> settings = SimulationSettings()
    >>> fov = FieldOfView(1, size=64, n_frames=20, settings=settings)
    >>> longer = FieldOfView(1, size=64, n_frames=2000, settings=settings)
    >>> fov.frame(7).counts.shape, np.array_equal(fov.frame(7).counts, longer.frame(7).counts)
    ((64, 64), True)
    >>> ideal = FieldOfView(1, size=64, n_frames=20, settings=settings.without(*EFFECTS))
    >>> bool(np.abs(ideal.frame(7).counts - ideal.truth()).max() <= 0.5)
    True
    """

    def __init__(
        self,
        number: int,
        *,
        size: int,
        n_frames: int,
        settings: SimulationSettings,
        seed: int = 0,
        scan_seed: int = 0,
        in_situ: bool = False,
        specimen: Specimen | None = None,
    ) -> None:
        if in_situ and specimen is not None:
            raise SettingsError("a specimen that is given does not move: leave in_situ at False")
        self.shape = (size, size)
        self.n_frames = n_frames
        self.settings = settings
        self.in_situ = in_situ
        self._sample_seed = (seed, number)
        self._heating = settings.heating if in_situ else None
        self._scene = specimen or Scene(
            settings.scene,
            self.shape,
            settings.pixel_size_nm,
            self._rng(_Chance.SCENE),
            heating=self._heating,
        )
        self._start = self._scene.image()
        instrument = np.random.default_rng((scan_seed, _Chance.CURVE))
        self.scan = draw_rapid_scan(size, settings, instrument, self._rng(_Chance.VIEW))
        self._drift = draw_drift(settings, self._rng(_Chance.DRIFT))
        self._frame_time_s = settings.frame_time_s(self.shape)
        self.slow_time_s = n_frames * self._frame_time_s if in_situ else 0.0
        self._slow_shift = self._drift.at(self.slow_time_s)
        # Of the first state, undrifted: the length of a series changes neither range nor response.
        grid = np.arange(size, dtype=np.float64)
        intensity = self._start.sample(grid, grid)
        self._detector = draw_detector(intensity, settings, self._rng(_Chance.RANGE))
        instrument = np.random.default_rng((scan_seed, _Chance.GAMMA))
        self._response = draw_response(
            intensity, settings, instrument, self._rng(_Chance.BACKGROUND)
        )

    def frame(self, index: int) -> SimulatedFrame:
        """Scan one rapid frame.

        Parameters
        ----------
        index : int
            From 0.

        Returns
        -------
        SimulatedFrame
        """
        s, n_y = self.settings, self.shape[0]
        time_s = index * self._frame_time_s
        middle_s = time_s + 0.5 * self._frame_time_s
        scene = self._scene_at(middle_s)
        vibration = np.zeros(2)
        if s.has("drift"):
            vibration += self._rng(_Chance.VIBRATION, index).normal(0, s.vibration_nm, 2)
            vibration /= s.pixel_size_nm
        line_s = time_s + np.arange(n_y) * s.line_time_s(self.shape)
        drift = self._drift.at(line_s) + vibration
        along = drift[:, 1].copy()
        if s.has("jitter"):
            along -= self._rng(_Chance.JITTER, index).normal(0, s.line_jitter_px, n_y)
        rows = np.arange(n_y) - self.scan.offset_y - drift[:, 0]
        columns = self.scan.beam_x - along[:, None] if along.any() else self.scan.beam_x
        signal = self._response.apply(scene.sample(rows, columns))
        counts = self._detector.record(
            signal, dwell_ns=s.rapid_dwell_ns, rng=self._rng(_Chance.NOISE, index)
        )
        dy, dx = self._drift.at(middle_s) + vibration - self._slow_shift
        return SimulatedFrame(
            counts=counts,
            shift_px=(float(dy), float(dx)),
            time_s=time_s,
            temperature_degc=temperature_degc(time_s, self._heating) if self._heating else None,
            truth=self._detector.counts(self._on_slow_grid(scene)) if self._heating else None,
        )

    def slow(self) -> Counts:
        """Scan the slow image, (y, x): undistorted, 50 times the dose, hardly any lag (row D2)."""
        signal = self._on_slow_grid(self._scene_at(self.slow_time_s))
        rng = self._rng(_Chance.SLOW_NOISE)
        return self._detector.record(signal, dwell_ns=self.settings.slow_dwell_ns, rng=rng)

    def truth(self) -> Image:
        """Give what the slow scan would be without noise or lag, (y, x) [counts]."""
        return self._detector.counts(self._on_slow_grid(self._scene_at(self.slow_time_s)))

    def without_noise(self, source_y: Image, source_x: Image) -> Image:
        """Give what the rapid scan would be without noise, lag, jitter or drift.

        Parameters
        ----------
        source_y : ndarray, shape (n_y,)
        source_x : ndarray, shape (n_x,)
            Fractional rows and columns of a rapid frame to look at [px].

        Returns
        -------
        ndarray, shape (n_y, n_x)
            [counts], with the response and the background of the rapid scan.
        """
        beam_x = self.scan.beam_x
        rows = source_y - self.scan.offset_y
        signal = self._start.sample(rows, np.interp(source_x, np.arange(len(beam_x)), beam_x))
        return self._detector.counts(self._response.at(source_y, source_x).apply(signal))

    def with_lag(self, counts: Image) -> Image:
        """Delay an image (y, x) [counts] along its lines as the rapid scan does."""
        detector, s = self._detector, self.settings
        electrons = (counts - detector.black) / detector.bright * s.dose_electrons
        late = detector.late(electrons, electrons[:, 0].copy(), dwell_ns=s.rapid_dwell_ns)
        return detector.counts(late / s.dose_electrons)

    def _scene_at(self, time_s: float) -> SceneImage:
        if self._heating is None:
            return self._start
        return self._scene.image(thermal_age_s(time_s, self._heating))

    def _on_slow_grid(self, scene: SceneImage) -> Image:
        dy, dx = self._slow_shift
        n_y, n_x = self.shape
        return scene.sample(np.arange(n_y) - dy, np.arange(n_x) - dx)

    def _rng(self, purpose: _Chance, *index: int) -> np.random.Generator:
        return np.random.default_rng((*self._sample_seed, purpose, *index))
