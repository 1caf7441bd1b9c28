"""Scan settings from the tags that microscope software writes, whatever it calls them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# (pattern of the dotted path of a tag, field of ScanSettings, factor to its unit), best first.
_TAGS: list[tuple[str, str, float]] = [
    (r"Scan\.DwellTime$", "dwell_time_ns", 1e9),  # Velox [s]
    (r"DigiScan\.Sample Time$", "dwell_time_ns", 1e3),  # DigitalMicrograph [µs]
    (r"AcquireInfo\.DwellTimePath$", "dwell_time_ns", 1e9),  # TIA [s]
    (r"DigiScan\.Flyback$", "flyback_time_us", 1.0),
    (r"Scan\.FrameTime$", "frame_time_s", 1.0),
    (r"AcquireInfo\.FrameTime$", "frame_time_s", 1.0),
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
    (r"Instrument\.InstrumentClass$", "instrument"),
    (r"Microscope Info\.Name$", "instrument"),
    (r"ExperimentalDescription\.Microscope$", "instrument"),
    (r"Acquisition_instrument\.TEM\.microscope$", "instrument"),
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
    flat = dict(_walk(tags))
    found: dict[str, Any] = {}
    for pattern, name, factor in _TAGS:
        for path, value in flat.items():
            if name not in found and re.search(pattern, path):
                number = _positive(value)
                if number is not None:
                    found[name] = number * factor
    for pattern, name in _NAMES:
        for path, value in flat.items():
            if name not in found and re.search(pattern, path) and str(value).strip():
                found[name] = str(value).strip()
    return found


def _walk(tags: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tags.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _walk(value, f"{path}.")
        else:
            yield path, value


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
