"""The distortion of another store, for a series that has no slow scan of its own."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stemscale.acquisition import ScanComparison, ScanSettings, compare_scans
from stemscale.corrections.calibration import Calibration, fingerprint, load_calibration, load_map
from stemscale.distortion import DistortionMap, shared_map
from stemscale.errors import SeriesError, StoreError
from stemscale.store import AcquisitionStore, StorePath, calibration_group

_SIZE = ("n_x", "n_y")
_WORDS = {
    "n_x": "pixels along x",
    "n_y": "pixels along y",
    "dwell_time_ns": "dwell time [ns]",
    "flyback_time_us": "flyback time [µs]",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A distortion carried over, and how it came to be.

    Attributes
    ----------
    calibration : Calibration
        With the mean of the maps.
    store : str
        Name of the store that it is from.
    fovs : tuple of str
        FOVs whose maps it is the mean of.
    compared : ScanComparison
        How the scan of the frames differs from that of the calibration.
    forced : bool
        Whether it was taken although a setting differs, or several might be meant.
    """

    calibration: Calibration
    store: str
    fovs: tuple[str, ...]
    compared: ScanComparison
    forced: bool

    def words(self) -> str:
        """Say in a line where it is from, and what speaks against it."""
        named = " ".join(self.fovs[:3]) + (" ..." if len(self.fovs) > 3 else "")
        parts = [f"of {self.store} ({named}), by {self.calibration.method}"]
        if self.forced:
            why = _differences(self.compared) or "several settings that might be meant"
            parts.append(f"forced in spite of {why}")
        if self.compared.unknown:
            unknown = ", ".join(_WORDS[name] for name in self.compared.unknown)
            parts.append(f"not compared for want of {unknown}")
        return "; ".join(parts)

    def to_attrs(self) -> dict[str, Any]:
        """Give what is recorded with the frames, as JSON values."""
        return {
            "store": self.store,
            "fovs": list(self.fovs),
            "method": self.calibration.method,
            "fingerprint": fingerprint(self.calibration.distortion),
            "forced": self.forced,
            "different": {k: list(v) for k, v in self.compared.different.items()},
            "not_compared": list(self.compared.unknown),
        }


def carry_over(
    rapid: ScanSettings, source: str | Path, *, what: str, force: bool = False
) -> Transfer:
    """Find the distortion that another store knows of a scan setting.

    The map lives in scan coordinates, as the distortion is a matter of the coils' timing: any
    magnification will do, another dwell time or flyback will not, unless forced.

    Parameters
    ----------
    rapid : ScanSettings
        Of the frames.
    source : str or Path
        Folder of the other store; of the settings that it is calibrated at, the one that agrees
        is taken. What either side does not know is not compared.
    what : str
        The frames, named in errors.
    force : bool
        Take the closest setting where none agrees.

    Returns
    -------
    Transfer

    Raises
    ------
    StoreError
        If the other store has no calibration.
    SeriesError
        If no setting agrees, if several do because too little is known to tell them apart, or, even
        if forced, if no setting has this frame size.

    Notes
    -----
    Maps are never scaled to another frame size. The coils settle within some µs after the flyback,
    whatever the length of a line: a map scaled with the number of pixels would hold only if the
    dwell time shrank by the same factor, flyback and amplitude staying as they were. It would be a
    guess that nothing in the data can check. Source: row C7.
    """
    other = AcquisitionStore(source)
    groups = _by_setting(other)
    if not groups:
        raise StoreError(f"{other.path} has no calibration: run `stemscale calibrate` on it first")
    compared = [(compare_scans(rapid, group[0][1].rapid), group) for group in groups]
    same_size = [c for c in compared if not set(_SIZE) & set(c[0].different)]
    if not same_size:
        sizes = sorted({"{} x {}".format(*g[0][1].rapid.shape) for g in groups})
        raise SeriesError(
            f"{what} has frames of {rapid.n_y} x {rapid.n_x} pixels, but the distortion was "
            f"estimated on {', '.join(sizes)}: a map cannot be scaled to another frame size (not "
            f"even with --force), as the coils settle in µs, not in parts of a line; calibrate on "
            f"a slow scan of this setting, or process with --distortion none"
        )
    (comparison, group), unsure = _best(same_size)
    if comparison.different and not force:
        raise SeriesError(
            f"{what} has another scan than that of {other.path.name}: {_differences(comparison)}; "
            f"calibrate on a slow scan of this setting, take the distortion all the same with "
            f"--force, or process with --distortion none"
        )
    if unsure and not force:
        unknown = ", ".join(_WORDS[name] for name in comparison.unknown)
        raise SeriesError(
            f"{what} could be of several scan settings ({' or '.join(unsure)}), as it does not "
            f"know {unknown}: give that when the frames are ingested (--dwell-time, --flyback), or "
            f"take the setting with the most FOVs by --force"
        )
    distortion = shared_map([c.distortion for _, c in group])
    return Transfer(
        calibration=replace(group[0][1], distortion=distortion),
        store=other.path.name,
        fovs=tuple(fov for fov, _ in group),
        compared=comparison,
        forced=bool(comparison.different or unsure),
    )


def find_again(about: Mapping[str, Any], *, beside: StorePath) -> DistortionMap | None:
    """Read a map once more in the store that it was carried over from.

    Parameters
    ----------
    about : mapping
        What is recorded of it, see `Transfer.to_attrs`.
    beside : Path or ObjectPath
        The store of the frames.

    Returns
    -------
    DistortionMap or None
        None where that store does not lie in the same folder, or is calibrated otherwise by now.
    """
    name = str(about.get("store"))
    if Path(name).name != name:  # no store can send us elsewhere
        return None
    try:
        other = AcquisitionStore(beside.parent / name)
        found = shared_map([load_map(other, str(fov)) for fov in about["fovs"]])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged
        return None
    return found if fingerprint(found) == about.get("fingerprint") else None


_Group = list[tuple[str, Calibration]]
_Candidate = tuple[ScanComparison, _Group]


def _by_setting(store: AcquisitionStore) -> list[_Group]:
    """Calibrated FOVs of each scan setting and corrected grid, most of them first."""
    found = [(f, load_calibration(store, f)) for f in store.fovs()]
    calibrated = [(f, c) for f, c in found if c is not None]
    # What was carried over within that store is a mean of the others already.
    own = [
        (f, c)
        for f, c in calibrated
        if not store.attrs(calibration_group(f)).get("carried_over", False)
    ]
    groups: dict[Any, _Group] = defaultdict(list)
    for fov, calibration in own or calibrated:
        scan = calibration.rapid
        grids = scan.shape, calibration.distortion.shape
        groups[grids, _setting(scan)].append((fov, calibration))
    return sorted(groups.values(), key=len, reverse=True)


def _best(candidates: Sequence[_Candidate]) -> tuple[_Candidate, list[str]]:
    """Choose the setting that differs least, then is known best, then has the most FOVs.

    Also the settings, in words, that nothing tells apart from it; none where it is the only one.
    """

    def distance(candidate: _Candidate) -> tuple[int, float, int]:
        compared, _ = candidate
        ratios = (min(pair) / max(pair) for pair in compared.different.values())
        farthest = 1 - min(ratios, default=1.0)
        return len(compared.different), farthest, len(compared.unknown)

    best = min(candidates, key=distance)  # the first of equals: they come by number of FOVs
    equals = {_setting(g[0][1].rapid) for c, g in candidates if distance((c, g)) == distance(best)}
    return best, sorted(equals) if len(equals) > 1 else []


def _setting(scan: ScanSettings) -> str:
    """Name the timing of a scan, to the digits that files agree on."""
    known = {"dwell time": (scan.dwell_time_ns, "ns"), "flyback": (scan.flyback_time_us, "µs")}
    return (
        ", ".join(f"{n} {v:.4g} {u}" for n, (v, u) in known.items() if v is not None) or "not known"
    )


def _differences(comparison: ScanComparison) -> str:
    return ", ".join(
        f"{_WORDS[name]} {a:g} instead of {b:g}" for name, (a, b) in comparison.different.items()
    )
