"""Metadata that belong to one frame each, with the units they have in every store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stemscale.acquisition.scan_settings import ScanSettings
from stemscale.errors import SeriesError

FRAME_QUANTITIES: dict[str, tuple[str, str]] = {
    "time": ("s", "time since the first frame"),
    "timestamp": ("nanoseconds since 1970-01-01", "clock time of the frame (UTC)"),
    "frame_id": ("", "number that the microscope gave to the frame"),
    "temperature": ("degC", "temperature of the specimen"),
    "stage_x": ("nm", "stage position x"),
    "stage_y": ("nm", "stage position y"),
    "stage_z": ("nm", "stage position z"),
    "tilt_alpha": ("degree", "stage tilt alpha"),
    "tilt_beta": ("degree", "stage tilt beta"),
    "beam_current": ("nA", "beam current"),
    "live_time": ("s", "live time of the detector"),
}
"""Name of a coordinate along ``frame``: its CF units and long name."""

COUNTED_TIME = "time since the first frame, counted in frame intervals: the file has no clock"
"""Long name of a ``time`` that follows from the scan settings alone."""

# Columns as people write them, name_unit: the factor to the units of the store.
_COLUMN_UNITS: dict[str, dict[str, float]] = {
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "nanoseconds since 1970-01-01": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0},
    "degC": {"C": 1.0, "degC": 1.0},
    "nm": {"nm": 1.0, "um": 1e3},
    "degree": {"degree": 1.0, "deg": 1.0},
    "nA": {"nA": 1.0, "pA": 1e-3},
}
_KNOWN_UNITS = {unit for factors in _COLUMN_UNITS.values() for unit in factors}


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameColumn:
    """One quantity that every frame has a value of.

    Attributes
    ----------
    values : ndarray, shape (n_frames,)
        float64, NaN where not known; int64 for ``timestamp`` and for codes of words.
    units : str
        CF units; empty where there are none.
    long_name : str
        What it is, or where it was found.
    words : tuple of str
        For a quantity that is no number: what the codes 0, 1, 2 … stand for; without blanks.

    Examples
    --------
    Words are kept as codes, as the CF conventions have them:

    >>> import numpy as np
    >>> from stemscale.acquisition import FrameColumn
    >>> heater = FrameColumn(values=np.array([0, 1, 1]), long_name="heater", words=("off", "on"))
    >>> heater.attrs()
    {'long_name': 'heater', 'flag_values': [0, 1], 'flag_meanings': 'off on'}
    """

    values: NDArray[Any]
    units: str = ""
    long_name: str = ""
    words: tuple[str, ...] = ()

    def attrs(self) -> dict[str, Any]:
        """Give the CF attributes."""
        found: dict[str, Any] = {"long_name": self.long_name}
        if self.units:
            found["units"] = self.units
        if self.words:
            found["flag_values"] = list(range(len(self.words)))
            found["flag_meanings"] = " ".join(w or "_" for w in self.words)
        return found

    @classmethod
    def from_attrs(cls, values: NDArray[Any], attrs: Mapping[str, Any]) -> Self:
        """Read back what `attrs` gave.

        Parameters
        ----------
        values : ndarray, shape (n_frames,)
            As stored: codes of words, whole nanoseconds.
        attrs : mapping
            Attributes of the coordinate.

        Returns
        -------
        FrameColumn
        """
        words = str(attrs.get("flag_meanings", "")).split()
        return cls(
            values=values,
            units=str(attrs.get("units", "")),
            long_name=str(attrs.get("long_name", "")),
            words=tuple("" if w == "_" else w for w in words),
        )


def known_column(name: str, values: NDArray[Any] | Sequence[float]) -> FrameColumn:
    """Make a column of a quantity with the units and long name that stores have for it.

    Parameters
    ----------
    name : str
        One of `FRAME_QUANTITIES`, or another: then without units.
    values : ndarray, shape (n_frames,)
        In those units.

    Returns
    -------
    FrameColumn
    """
    units, long_name = FRAME_QUANTITIES.get(name, ("", name))
    dtype = np.int64 if name == "timestamp" else np.float64
    return FrameColumn(values=np.asarray(values, dtype=dtype), units=units, long_name=long_name)


def median_interval(time: FrameColumn | None) -> float | None:
    """Give the usual time from one frame to the next [s], where their times tell it."""
    steps = np.diff(time.values) if time is not None else np.empty(0)
    steps = steps[np.isfinite(steps)]
    found = float(np.median(steps)) if len(steps) else 0.0
    return found if found > 0 else None


def check_frame_metadata(
    columns: Mapping[str, NDArray[Any]], n_frames: int, *, source: str
) -> dict[str, FrameColumn]:
    """Bring per-frame columns to the store's names and units.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_frames,)
        A column is named ``quantity`` or ``quantity_unit``: ``time_s``, ``temperature_C``.
        Units are s, ms, us and ns (of ``timestamp``, since 1970-01-01 UTC), C and degC, nm and um,
        degree and deg, nA and pA. A quantity or a unit that stemscale does not know is kept under
        its own name, without units.
    n_frames : int
        Frames in the series.
    source : str
        Named in errors.

    Returns
    -------
    dict of str to FrameColumn
        In the units of `FRAME_QUANTITIES`.

    Raises
    ------
    SeriesError
        If a column has another length, its values are not numbers, or its unit is not one of that
        quantity.

    Examples
    --------
    >>> import numpy as np
    >>> from stemscale.acquisition import check_frame_metadata
    >>> table = {"time_ms": np.array([0, 40]), "stage_x_um": np.array([1.5, 1.6])}
    >>> for name, column in check_frame_metadata(table, 2, source="frames.csv").items():
    ...     print(name, column.values.tolist(), column.units)
    time [0.0, 0.04] s
    stage_x [1500.0, 1600.0] nm
    """
    found: dict[str, FrameColumn] = {}
    for column, values in columns.items():
        if len(values) != n_frames:
            raise SeriesError(
                f"{source}: column {column!r} has {len(values)} values, but the series has "
                f"{n_frames} frames: give one row a frame"
            )
        name, _, unit = column.rpartition("_")
        factor = 1.0
        if name in FRAME_QUANTITIES and unit in _KNOWN_UNITS:
            factors = _COLUMN_UNITS.get(FRAME_QUANTITIES[name][0], {})
            if unit not in factors:
                named = ", ".join(f"{name}_{known}" for known in factors) or f"{name}, without one"
                raise SeriesError(
                    f"{source}: column {column!r} has the unit {unit}, which is none of {name}: "
                    f"call it {named}"
                )
            factor = factors[unit]
        else:
            name = column
        numbers = _numbers(column, values, source) * factor
        if name == "timestamp":  # whole numbers, of which this one stands for "not known"
            numbers = np.where(np.isfinite(numbers), numbers, float(np.iinfo(np.int64).min))
        found[name] = known_column(name, numbers)
    return found


def _numbers(column: str, values: NDArray[Any], source: str) -> NDArray[np.float64]:
    numbers = np.empty(len(values))
    for i, value in enumerate(values):
        try:
            numbers[i] = value
        except (TypeError, ValueError) as error:
            raise SeriesError(
                f"{source}: column {column!r} holds {str(value)!r} for frame {i}, which is no "
                f"number: leave the column out, or write numbers with a decimal point, nan where "
                f"there is none"
            ) from error
    return numbers


def frame_coordinates(
    settings: ScanSettings, per_frame: Mapping[str, FrameColumn], n_frames: int
) -> dict[str, tuple[str, NDArray[Any], dict[str, Any]]]:
    """Build the coordinates of a group of frames.

    Parameters
    ----------
    settings : ScanSettings
        Of the frames; the time of each follows from them where the file does not say.
    per_frame : mapping of str to FrameColumn
        Of n_frames values each.
    n_frames : int
        Frames in the series.

    Returns
    -------
    dict of str to (dimension, values, attributes)
        ``frame``, ``y``, ``x`` and one entry per quantity along ``frame``; x and y in nm where the
        pixel size is known, else in px; CF ``units`` and ``long_name``.

    Examples
    --------
    Where no clock tells, time is counted in frames: here of 512 x 512 px at 100 ns, 26.2 ms each:

    >>> from stemscale.acquisition import ScanSettings, frame_coordinates
    >>> scan = ScanSettings(n_x=512, n_y=512, dwell_time_ns=100)
    >>> coordinates = frame_coordinates(scan, {}, 3)
    >>> sorted(coordinates)
    ['frame', 'time', 'x', 'y']
    >>> dimension, values, attributes = coordinates["time"]
    >>> dimension, values.round(4).tolist(), attributes["units"]
    ('frame', [0.0, 0.0262, 0.0524], 's')
    """
    per_frame = dict(per_frame)
    interval = settings.frame_interval_s
    if "time" not in per_frame and interval is not None:
        counted = known_column("time", np.arange(n_frames) * interval)
        per_frame["time"] = replace(counted, long_name=COUNTED_TIME)
    coordinates: dict[str, tuple[str, NDArray[Any], dict[str, Any]]] = {
        "frame": ("frame", np.arange(n_frames, dtype=np.int64), {"long_name": "frame number"}),
        **image_coordinates(settings),
    }
    for name, column in per_frame.items():
        coordinates[name] = ("frame", column.values, column.attrs())
    return coordinates


def image_coordinates(
    settings: ScanSettings,
) -> dict[str, tuple[str, NDArray[Any], dict[str, Any]]]:
    """Build the coordinates ``y`` and ``x`` of one image.

    Parameters
    ----------
    settings : ScanSettings
        Of the image.

    Returns
    -------
    dict of str to (dimension, values, attributes)
        Pixel centres from 0, in nm where the pixel size is known, else in px.
    """
    step = settings.pixel_size_nm or 1.0
    units = "px" if settings.pixel_size_nm is None else "nm"
    return {
        axis: (
            axis,
            np.arange(n, dtype=np.float64) * step,
            {"units": units, "long_name": f"position along {axis}, the {kind} axis"},
        )
        for axis, n, kind in (("y", settings.n_y, "slow"), ("x", settings.n_x, "fast"))
    }
