"""Scan settings as they were recorded, and the files that they came in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stemscale.views.store_view import FovView

_MOST_VALUES = 3
_TECHNICAL = (
    "state",
    "coordinates",
    "content_hash",
    "source_files",
    "source_sha256",
    "image_crc32",
    "relation",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting of all FOVs.

    Attributes
    ----------
    name : str
        With its unit, as the store has it.
    rapid, slow : str
        Its values; empty where it is not recorded.
    """

    name: str
    rapid: str
    slow: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The files that a FOV came from.

    Attributes
    ----------
    fov : str
    what : str
        ``rapid`` or ``slow``.
    files : str
        Their names.
    sha256 : str
        Of their contents; empty where not recorded.
    """

    fov: str
    what: str
    files: str
    sha256: str


def settings_table(fovs: Iterable[FovView]) -> list[Setting]:
    """List the scan settings of rapid and slow scans, equal ones of several FOVs once.

    Parameters
    ----------
    fovs : iterable of FovView

    Returns
    -------
    list of Setting
        By name.
    """
    fovs = list(fovs)
    rapid = {f.name: _plain(f.settings) for f in fovs}
    slow = {f.name: _plain(f.slow.settings) for f in fovs if f.slow is not None}
    names = {name for found in (*rapid.values(), *slow.values()) for name in found}
    return [
        Setting(name=name, rapid=_values(rapid, name), slow=_values(slow, name))
        for name in sorted(names)
    ]


def sources(fovs: Iterable[FovView]) -> list[Source]:
    """List the files that each FOV came from.

    Parameters
    ----------
    fovs : iterable of FovView

    Returns
    -------
    list of Source
        Those that the store names.
    """
    found = []
    for fov in fovs:
        for what, attrs in (("rapid", fov.settings), ("slow", fov.slow and fov.slow.settings)):
            files = (attrs or {}).get("source_files")
            if attrs and isinstance(files, list) and files:
                more = f" and {len(files) - _MOST_VALUES} more" if len(files) > _MOST_VALUES else ""
                listed = ", ".join(str(f) for f in files[:_MOST_VALUES]) + more
                sha256 = str(attrs.get("source_sha256", ""))
                found.append(Source(fov=fov.name, what=what, files=listed, sha256=sha256))
    return found


def _plain(attrs: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(name): f"{value:.6g}" if isinstance(value, float) else str(value)
        for name, value in attrs.items()
        if isinstance(value, str | int | float) and name not in _TECHNICAL and str(value)
    }


def _values(settings: Mapping[str, Mapping[str, str]], name: str) -> str:
    by_value: dict[str, list[str]] = {}
    for fov, found in settings.items():
        if name in found:
            by_value.setdefault(found[name], []).append(fov)
    if len(by_value) < 2:
        return next(iter(by_value), "")
    listed = [
        f"{value} ({fovs[0]}{f' and {len(fovs) - 1} more' if len(fovs) > 1 else ''})"
        for value, fovs in list(by_value.items())[:_MOST_VALUES]
    ]
    return "; ".join(listed) + ("; …" if len(by_value) > _MOST_VALUES else "")
