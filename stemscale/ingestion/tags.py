"""Scan settings from the tags that microscope software writes, whatever it calls them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stemscale.acquisition import FrameColumn, known_column, positive

# (pattern of the dotted path of a tag, field of ScanSettings, factor to its unit), best first.
_TAGS: list[tuple[str, str, float]] = [
    (r"Scan\.DwellTime$", "dwell_time_ns", 1e9),  # Velox [s]
    (r"DigiScan\.Sample Time$", "dwell_time_ns", 1e3),  # DigitalMicrograph [µs]
    (r"AcquireInfo\.DwellTimePath$", "dwell_time_ns", 1e9),  # TIA [s]
    (r"TEM\.Scan\.dwell_time$", "dwell_time_ns", 1e9),  # our exports, as HyperSpy keeps them [s]
    (r"DigiScan\.Flyback$", "flyback_time_us", 1.0),
    (r"TEM\.Scan\.flyback_time$", "flyback_time_us", 1e6),
    (r"Scan\.FrameTime$", "frame_time_s", 1.0),
    (r"AcquireInfo\.FrameTime$", "frame_time_s", 1.0),
    (r"TEM\.Scan\.frame_time$", "frame_time_s", 1.0),
    (r"Optics\.AccelerationVoltage$", "high_tension_kv", 1e-3),
    (r"Microscope Info\.Voltage$", "high_tension_kv", 1e-3),
    (r"MicroscopeConditions\.AcceleratingVoltage$", "high_tension_kv", 1e-3),
    (r"Acquisition_instrument\.TEM\.beam_energy$", "high_tension_kv", 1.0),
    (r"StemMagnification\.value$", "magnification", 1.0),
    (r"Optics\.NominalMagnification$", "magnification", 1.0),
    (r"Microscope Info\.Indicated Magnification$", "magnification", 1.0),
    (r"ExperimentalDescription\.Magnification_x$", "magnification", 1.0),
    (r"Acquisition_instrument\.TEM\.magnification$", "magnification", 1.0),
]
_NAMES: list[tuple[str, str]] = [
    (r"BinaryResult\.Detector$", "detector"),
    (r"DigiScan\.Signal Name$", "detector"),
    (r"TEM\.Scan\.detector$", "detector"),
    (r"Instrument\.InstrumentClass$", "instrument"),
    (r"Microscope Info\.Name$", "instrument"),
    (r"ExperimentalDescription\.Microscope$", "instrument"),
    (r"Acquisition_instrument\.TEM\.microscope$", "instrument"),
]
# What a file of one frame says of that frame: (pattern, quantity, factor to its unit).
_FRAME_TAGS: list[tuple[str, str, float]] = [
    *((rf"Stage Position\.Stage {a.upper()}$", f"stage_{a}", 1e3) for a in "xyz"),  # DM [µm]
    (r"Stage Position\.Stage Alpha$", "tilt_alpha", 1.0),
    (r"Stage Position\.Stage Beta$", "tilt_beta", 1.0),
    *((rf"Stage\.Position\.{a}$", f"stage_{a}", 1e9) for a in "xyz"),  # Velox [m]
    (r"Stage\.AlphaTilt$", "tilt_alpha", 180 / np.pi),
    (r"Stage\.BetaTilt$", "tilt_beta", 180 / np.pi),
    *((rf"ExperimentalDescription\.Stage {a.upper()}_um$", f"stage_{a}", 1e3) for a in "xyz"),
    (r"ExperimentalDescription\.Stage A_deg$", "tilt_alpha", 1.0),
    (r"ExperimentalDescription\.Stage B_deg$", "tilt_beta", 1.0),
    (r"Microscope Info\.Probe Current \(nA\)$", "beam_current", 1.0),
    (r"Optics\.LastMeasuredScreenCurrent$", "beam_current", 1e9),
]


def settings_from_tags(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the scan settings out of a file's own metadata.

    Parameters
    ----------
    tags : mapping
        Nested, as RosettaSciIO gives it.

    Returns
    -------
    dict
        Fields of `ScanSettings` that were found; the first tag of the table wins, and values that
        are not positive numbers are left out (some microscopes write 0 for "not known").
    """
    flat = dict(walk(tags))
    found: dict[str, Any] = {}
    for pattern, name, factor in _TAGS:
        for path, value in flat.items():
            if name not in found and re.search(pattern, path):
                number = positive(value)
                if number is not None:
                    found[name] = number * factor
    for pattern, name in _NAMES:
        for path, value in flat.items():
            if name not in found and re.search(pattern, path) and str(value).strip():
                found[name] = str(value).strip()
    return found


def columns_from_tags(tags: Mapping[str, Any], n_frames: int) -> dict[str, FrameColumn]:
    """Pick out what a file says of the frames in it, so that many files make columns.

    Parameters
    ----------
    tags : mapping
        Nested, as the file has them.
    n_frames : int
        Frames of that file.

    Returns
    -------
    dict of str to FrameColumn
        Stage, tilt and beam current: one value, for all frames of the file.
    """
    flat = dict(walk(tags))
    found: dict[str, FrameColumn] = {}
    for pattern, name, factor in _FRAME_TAGS:
        for path, value in flat.items():
            if name not in found and re.search(pattern, path):
                try:
                    found[name] = known_column(name, np.full(n_frames, float(value) * factor))
                except (TypeError, ValueError):
                    continue  # some other software's idea of that tag
    return found


def walk(tags: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give every entry of nested tags with its dotted path."""
    for key, value in tags.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from walk(value, f"{path}.")
        else:
            yield path, value


def dig(tree: Any, *path: str) -> Any:
    """Look up an entry of nested mappings; None where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
