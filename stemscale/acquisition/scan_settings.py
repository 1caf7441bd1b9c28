"""How an image was scanned, as it travels beside the pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from stemscale.errors import SeriesError, SettingsError

_VIEW_TOLERANCE = 0.2  # the rapid view is broader than the slow one (paper: "extra view")
_SAME_SETTING = 1e-3  # relative; files round dwell times and pixel sizes


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSettings:
    """Settings of one scan. ``None`` means that the file does not say.

    Attributes
    ----------
    n_x, n_y : int
        Pixels along the fast axis (scan direction) and the slow axis.
    pixel_size_nm : float or None
        Nominal size of a pixel [nm].
    dwell_time_ns : float or None
        Time the beam rests on a pixel [ns]: 100 for a rapid scan, 5000 for a slow one (row D1, D2).
    flyback_time_us : float or None
        Time lost between two lines [µs].
    frame_time_s : float or None
        From the start of one frame to the start of the next [s], as the file says.
    high_tension_kv : float or None
        Acceleration voltage [kV].
    magnification : float or None
        As the microscope shows it.
    detector, instrument : str or None
        Names as the file has them.

    Examples
    --------
    512 x 512 px of 2.1 nm at 100 ns a pixel; with a flyback of 25 µs a line, a frame takes half as
    long again:

    >>> from stemscale.acquisition import ScanSettings
    >>> scan = ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.1, dwell_time_ns=100)
    >>> [round(size, 1) for size in scan.view_nm]
    [1075.2, 1075.2]
    >>> round(scan.frame_interval_s, 4)
    0.0262
    >>> from dataclasses import replace
    >>> round(replace(scan, flyback_time_us=25).frame_interval_s, 4)
    0.039
    """

    n_x: int
    n_y: int
    pixel_size_nm: float | None = None
    dwell_time_ns: float | None = None
    flyback_time_us: float | None = None
    frame_time_s: float | None = None
    high_tension_kv: float | None = None
    magnification: float | None = None
    detector: str | None = None
    instrument: str | None = None

    def __post_init__(self) -> None:
        if self.n_x < 1 or self.n_y < 1:
            raise SettingsError(f"an image of {self.n_y} x {self.n_x} pixels is empty")
        for name in ("pixel_size_nm", "dwell_time_ns", "frame_time_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"{name} is {value}, but must be a positive number")

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (n_y, n_x) of one image."""
        return self.n_y, self.n_x

    @property
    def frame_interval_s(self) -> float | None:
        """From one frame to the next [s]: as the file says, else dwell and flyback of all lines."""
        if self.frame_time_s is not None:
            return self.frame_time_s
        if self.dwell_time_ns is None:
            return None
        line_s = self.n_x * self.dwell_time_ns * 1e-9 + (self.flyback_time_us or 0.0) * 1e-6
        return self.n_y * line_s

    @property
    def view_nm(self) -> tuple[float, float] | None:
        """Size (y, x) of the field of view [nm]."""
        if self.pixel_size_nm is None:
            return None
        return self.n_y * self.pixel_size_nm, self.n_x * self.pixel_size_nm

    def to_attrs(self) -> dict[str, Any]:
        """Give the known settings as attributes of a group; pixel counts are the array's shape."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in known.items() if v is not None and k not in ("n_x", "n_y")}

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any], shape: tuple[int, int]) -> Self:
        """Read back what `to_attrs` gave.

        Parameters
        ----------
        attrs : mapping
            Attributes of a group.
        shape : tuple of int
            (n_y, n_x) of its images.

        Returns
        -------
        ScanSettings
        """
        known = {f.name for f in fields(cls)} - {"n_x", "n_y"}
        given = {k: v for k, v in attrs.items() if k in known}
        return cls(n_x=shape[1], n_y=shape[0], **given)


def check_same_view(rapid: ScanSettings, slow: ScanSettings, *, slow_source: str) -> None:
    """Refuse a slow scan that shows another field of view than the rapid frames.

    Parameters
    ----------
    rapid, slow : ScanSettings
        Another pixel count is fine where count times pixel size agrees to 20 % on both axes.
        Without pixel sizes the pixel counts must agree so.
    slow_source : str
        Named in the error.

    Raises
    ------
    SeriesError
        If the fields of view differ by more.

    Examples
    --------
    A slow scan of twice the pixels may show the same field of view, or another one:

    >>> from stemscale.acquisition import ScanSettings, check_same_view
    >>> rapid = ScanSettings(n_x=512, n_y=512, pixel_size_nm=2.0)
    >>> slow = ScanSettings(n_x=1024, n_y=1024, pixel_size_nm=1.0)
    >>> check_same_view(rapid, slow, slow_source="slow.tif")
    >>> slow = ScanSettings(n_x=1024, n_y=1024, pixel_size_nm=2.0)
    >>> check_same_view(rapid, slow, slow_source="slow.tif")
    Traceback (most recent call last):
    stemscale.errors.SeriesError: slow.tif: the slow scan shows 2048 nm along y, but the rapid ...
    """
    in_nm = rapid.view_nm is not None and slow.view_nm is not None
    a = rapid.view_nm if in_nm else tuple(map(float, rapid.shape))
    b = slow.view_nm if in_nm else tuple(map(float, slow.shape))
    unit = "nm" if in_nm else "px"
    assert a is not None  # narrowed by in_nm
    assert b is not None
    for axis, size_a, size_b in zip("yx", a, b, strict=True):
        if abs(size_b - size_a) > _VIEW_TOLERANCE * size_a:
            raise SeriesError(
                f"{slow_source}: the slow scan shows {size_b:.4g} {unit} along {axis}, but the "
                f"rapid frames show {size_a:.4g} {unit}: give the slow scan of the same field of "
                f"view, or correct the pixel size with --pixel-size / --slow-pixel-size"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanComparison:
    """How two scans differ in what the distortion depends on (row C7).

    Attributes
    ----------
    different : mapping of str to (float, float)
        Settings that both know and that differ: ours, theirs.
    unknown : tuple of str
        Settings that one of them does not know, so that they could not be compared.
    """

    different: Mapping[str, tuple[float, float]]
    unknown: tuple[str, ...]


def compare_scans(ours: ScanSettings, theirs: ScanSettings) -> ScanComparison:
    """Compare what the distortion depends on: it is a matter of the scan coils' timing.

    Parameters
    ----------
    ours, theirs : ScanSettings
        Frame size, dwell time and flyback are compared; the magnification is not.

    Returns
    -------
    ScanComparison

    Examples
    --------
    >>> from stemscale.acquisition import ScanSettings, compare_scans
    >>> here = ScanSettings(n_x=512, n_y=512, dwell_time_ns=100)
    >>> there = ScanSettings(n_x=512, n_y=512, dwell_time_ns=200, flyback_time_us=25)
    >>> compare_scans(here, there)
    ScanComparison(different={'dwell_time_ns': (100, 200)}, unknown=('flyback_time_us',))
    """
    different, unknown = {}, []
    for name in ("n_x", "n_y", "dwell_time_ns", "flyback_time_us"):
        a, b = getattr(ours, name), getattr(theirs, name)
        if a is None or b is None:
            unknown.append(name)
        elif not same_setting(a, b):
            different[name] = (a, b)
    return ScanComparison(different=different, unknown=tuple(unknown))


def same_setting(a: float, b: float) -> bool:
    """Tell whether two values of one scan setting are the same, but for rounding in a file."""
    return math.isclose(a, b, rel_tol=_SAME_SETTING)


def positive(value: Any) -> float | None:
    """Return a positive, finite number, or None where an attribute holds something else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
