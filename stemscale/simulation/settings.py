"""What a simulated microscope and its specimen are like."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from stemscale.errors import SettingsError
from stemscale.simulation.checks import (
    check_ascending,
    check_at_most,
    check_not_negative,
    check_positive,
    check_share,
)

EFFECTS = (
    "poisson",
    "readout",
    "lag",
    "distortion",
    "jitter",
    "drift",
    "gamma",
    "background",
)
"""Every effect between the specimen and the files; each can be switched off by its name."""

_MAX_STRETCH = (-0.5, 1.0)  # row C4: what the correction looks for


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneSettings:
    """How much of what lies in the field of view: a lightly strained metal, two-beam bright field.

    Attributes
    ----------
    lines_per_um2, loops_per_um2, tangles_per_um2, arrays_per_um2 : float
        Mean number of single dislocation lines, small loops, tangles, and arrays of parallel lines
        that start in 1 µm² of specimen.
    dots_per_um2 : float
        Mean number of dark dots: lines seen end-on, small precipitates.
    dot_depth : tuple of float
        Smallest and largest absorption of a dot: it transmits exp(-depth).
    bend_contours : float
        Mean number of bend contours in the view.
    line_fwhm_nm : tuple of float
        Widths that lines may have [nm].
    line_depth : tuple of float
        Smallest and largest absorption of a line at its darkest: it transmits exp(-depth).
    bend_depth : tuple of float
        The same of a bend contour.
    thickness_depth : float
        Largest absorption by the specimen's slow change of thickness.
    """

    lines_per_um2: float = 8.0
    loops_per_um2: float = 7.0
    tangles_per_um2: float = 1.2
    arrays_per_um2: float = 0.7
    dots_per_um2: float = 6.0
    dot_depth: tuple[float, float] = (1.5, 3.0)
    bend_contours: float = 1.0
    line_fwhm_nm: tuple[float, ...] = (9.0, 11.0, 14.0)
    line_depth: tuple[float, float] = (0.07, 0.6)
    bend_depth: tuple[float, float] = (0.1, 0.4)
    thickness_depth: float = 0.12

    def __post_init__(self) -> None:
        for name in _names(self, ending=("_um2", "contours", "thickness_depth")):
            check_not_negative(name, getattr(self, name))
        if not self.line_fwhm_nm:
            raise SettingsError("line_fwhm_nm is empty: give the widths that lines may have, in nm")
        for width in self.line_fwhm_nm:
            check_positive("line_fwhm_nm", width)
        check_ascending("line_depth", self.line_depth, lowest=1e-3)  # drawn by its logarithm
        check_ascending("bend_depth", self.bend_depth, lowest=0.0)
        check_ascending("dot_depth", self.dot_depth, lowest=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatingSettings:
    """The in-situ experiment (row D6): a ramp of temperature, then a hold, and what it sets going.

    Attributes
    ----------
    start_degc, end_degc : float
        Temperature at the first frame, and the one that is held [°C].
    ramp_degc_per_s : float
        Rate of heating [°C/s].
    activation_ev : float
        Activation energy of glide and climb [eV]: all motion speeds up with temperature.
    mobile_share : float
        Share of the dislocation lines and loops that move at all; the others are pinned.
    glide_nm : tuple of float
        Nearest and farthest obstacle that stops a gliding line [nm].
    motion_s : tuple of float
        Shortest and longest time to get there, or to annihilate, at ``start_degc`` [s].
    """

    start_degc: float = 90.0
    end_degc: float = 150.0
    ramp_degc_per_s: float = 1.0
    activation_ev: float = 0.25
    mobile_share: float = 0.6
    glide_nm: tuple[float, float] = (40.0, 250.0)
    motion_s: tuple[float, float] = (1.0, 60.0)

    def __post_init__(self) -> None:
        check_ascending("start_degc, end_degc", (self.start_degc, self.end_degc), lowest=-273.0)
        check_positive("ramp_degc_per_s", self.ramp_degc_per_s)
        check_not_negative("activation_ev", self.activation_ev)
        check_share("mobile_share", self.mobile_share)
        check_ascending("glide_nm", self.glide_nm, lowest=0.0)
        check_ascending("motion_s", self.motion_s, lowest=1e-6)


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationSettings:
    """The microscope: its scans, its detector, and which of their effects are on.

    The defaults are the reference settings, for which every figure in the documentation holds.
    Lengths of lag and of hysteresis are times: another dwell time changes them in pixels.

    Attributes
    ----------
    pixel_size_nm : float
        Of the slow scan, and nominally of the rapid one [nm].
    rapid_dwell_ns, slow_dwell_ns : float
        Time the beam rests on a pixel [ns] (rows D1, D2).
    flyback_us : float
        Time lost after each line [µs].
    dose_electrons : float
        Electrons a pixel of a rapid frame, where the specimen absorbs nothing. The slow scan gets
        more by the ratio of the dwell times.
    readout_electrons : float
        Standard deviation of the noise of readout [electrons a pixel].
    lag_fast_ns, lag_slow_ns : float
        Time constants of the detector's two exponential tails, the slow one at a signal of half
        the bright background [ns].
    lag_slow_share : float
        Share of the signal that arrives through the slow tail.
    lag_signal_power : float
        The slow tail's time constant grows with this power of the signal.
    lag_integrates : bool
        Whether the detector is read throughout the dwell time (so that the signal spreads in its
        own pixel, too) or at its end (the tails are then plain recursions from pixel to pixel).
    view_extra : float
        How much wider than the slow scan a rapid frame sees, as a fraction.
    line_start_stretch : tuple of float
        Range of the scan rate's error at the start of a line, as a fraction: the beam may creep
        (below 0) or rush (above 0) there.
    hysteresis_us : tuple of float
        Range of the time in which that error decays [µs].
    distortion_scale : float
        Multiplies the extra view and every error of the scan rate; the local stretch never leaves
        -50 … +100 % (row C4).
    view_shift_px : tuple of float
        Largest offset (y, x) between the views of rapid and slow scan, per FOV [px].
    line_jitter_px : float
        Standard deviation of a line's offset along x [px].
    drift_nm_per_s : float
        Largest speed of the specimen's drift [nm/s].
    vibration_nm : float
        Standard deviation of a frame's offset along y and along x [nm].
    gamma_log : float
        The rapid scan's response is signal**gamma; the logarithm of gamma is drawn from
        -gamma_log … gamma_log.
    background_contrast : tuple of float
        Range of the rapid scan's additional smooth background, from its lowest to its highest
        point, in units of the scene's contrast.
    scene : SceneSettings
        What lies in the field of view.
    heating : HeatingSettings
        What an in-situ series does to it.
    effects : frozenset of str
        Which of `EFFECTS` are on.

    Examples
    --------
    512 lines of 512 pixels at 100 ns, with a flyback of 25 µs after each:

    >>> from stemscale.simulation import SimulationSettings
    >>> settings = SimulationSettings()
    >>> round(settings.frame_time_s((512, 512)), 4)
    0.039
    >>> settings.has("lag"), settings.without("lag", "drift").has("lag")
    (True, False)
    >>> settings.heated(end_degc=300).heating.end_degc
    300
    """

    pixel_size_nm: float = 2.1
    rapid_dwell_ns: float = 100.0
    slow_dwell_ns: float = 5000.0
    flyback_us: float = 25.0
    dose_electrons: float = 24.0
    readout_electrons: float = 1.2
    lag_fast_ns: float = 130.0
    lag_slow_ns: float = 900.0
    lag_slow_share: float = 0.32
    lag_signal_power: float = 0.3
    lag_integrates: bool = False
    view_extra: float = 0.10
    line_start_stretch: tuple[float, float] = (-0.45, 1.0)
    hysteresis_us: tuple[float, float] = (3.0, 8.0)
    distortion_scale: float = 1.0
    view_shift_px: tuple[float, float] = (0.5, 1.0)
    line_jitter_px: float = 0.1
    drift_nm_per_s: float = 0.3
    vibration_nm: float = 0.1
    gamma_log: float = 0.28
    background_contrast: tuple[float, float] = (0.25, 0.5)
    scene: SceneSettings = field(default_factory=SceneSettings)
    heating: HeatingSettings = field(default_factory=HeatingSettings)
    effects: frozenset[str] = frozenset(EFFECTS)

    def __post_init__(self) -> None:
        for name in ("pixel_size_nm", "rapid_dwell_ns", "slow_dwell_ns", "dose_electrons"):
            check_positive(name, getattr(self, name))
        for name in ("lag_fast_ns", "lag_slow_ns"):
            check_positive(name, getattr(self, name))
        for name in _names(self, ending=("_us", "_electrons", "_extra", "_px", "_nm_per_s")):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                check_not_negative(name, number)
        for name in ("distortion_scale", "vibration_nm", "gamma_log", "lag_signal_power"):
            check_not_negative(name, getattr(self, name))
        check_share("lag_slow_share", self.lag_slow_share)
        check_ascending("line_start_stretch", self.line_start_stretch, lowest=_MAX_STRETCH[0])
        check_at_most("line_start_stretch", self.line_start_stretch[1], _MAX_STRETCH[1])
        check_at_most("view_extra", self.view_extra, 0.5)
        check_ascending("hysteresis_us", self.hysteresis_us, lowest=1e-3)
        check_ascending("background_contrast", self.background_contrast, lowest=0.0)
        _check_effects(self.effects)

    def without(self, *effects: str) -> Self:
        """Switch effects off.

        Parameters
        ----------
        *effects : str
            Names from `EFFECTS`.

        Returns
        -------
        SimulationSettings

        Raises
        ------
        SettingsError
            If a name is not one of them.
        """
        _check_effects(effects)
        return replace(self, effects=self.effects - set(effects))

    def heated(
        self,
        *,
        start_degc: float | None = None,
        end_degc: float | None = None,
        ramp_degc_per_s: float | None = None,
    ) -> Self:
        """Change the in-situ experiment (row D6); what is None stays.

        Parameters
        ----------
        start_degc, end_degc : float, optional
            Temperature at the first frame, and the one that is held [°C].
        ramp_degc_per_s : float, optional
            Rate of heating [°C/s].

        Returns
        -------
        SimulationSettings

        Raises
        ------
        SettingsError
            If the range does not ascend, or the rate is not above 0.
        """
        now = self.heating
        heating = replace(
            now,
            start_degc=now.start_degc if start_degc is None else start_degc,
            end_degc=now.end_degc if end_degc is None else end_degc,
            ramp_degc_per_s=now.ramp_degc_per_s if ramp_degc_per_s is None else ramp_degc_per_s,
        )
        return replace(self, heating=heating)

    def has(self, effect: str) -> bool:
        """Tell whether an effect is on."""
        return effect in self.effects

    def frame_time_s(self, shape: tuple[int, int]) -> float:
        """Give the time of a rapid frame of ``shape`` (n_y, n_x), flyback included [s]."""
        return shape[0] * self.line_time_s(shape)

    def line_time_s(self, shape: tuple[int, int]) -> float:
        """Give the time of one line of a rapid frame of ``shape`` (n_y, n_x) [s]."""
        return shape[1] * self.rapid_dwell_ns * 1e-9 + self.flyback_us * 1e-6

    def to_attrs(self) -> dict[str, Any]:
        """Give all settings as what JSON can hold."""
        return {**asdict(self), "effects": [name for name in EFFECTS if self.has(name)]}


def _names(settings: Any, *, ending: tuple[str, ...]) -> list[str]:
    return [f.name for f in fields(settings) if f.name.endswith(ending)]


def _check_effects(effects: Any) -> None:
    unknown = sorted(set(effects) - set(EFFECTS))
    if unknown:
        raise SettingsError(f"effect {unknown[0]!r} is unknown: there are {', '.join(EFFECTS)}")
