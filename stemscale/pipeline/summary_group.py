"""Scores of all frames come in; the group ``summary`` of the store goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemscale.pipeline.scoring import RAPID
from stemscale.quality import PAPER_BANDS, decibels, mean_and_std
from stemscale.quality.measures import MEASURES
from stemscale.store import (
    SUMMARY,
    AcquisitionStore,
    FlaggedFrames,
    filtered_group,
    flagged_frames,
    rapid_group,
    slow_group,
)

FloatArray = NDArray[np.float64]

LAST_FRAMES = 10  # of a series before its slow scan, which show nearly its scene
_RANGE = "range"  # of the scene, which uPSNR takes as its peak
_WAVE_NUMBER = "1/um"
_NM_PER_UM = 1000.0


@dataclass(kw_only=True)
class SeriesScores:
    """Scores of one type of image of one FOV, as they come in.

    Attributes
    ----------
    count : int
        Frames.
    scores : dict
        By name, (frame,) or (frame, band); NaN where not scored.
    probes : dict
        By name, of each stretch that was tested as a whole.
    numbers : ndarray, shape (frame,), or None
        Of the rapid frames; None: counted from 0.
    """

    count: int
    scores: dict[str, FloatArray] = field(default_factory=dict)
    probes: dict[str, list[float]] = field(default_factory=dict)
    numbers: NDArray[np.int64] | None = None

    def put(self, name: str, start: int, values: FloatArray) -> None:
        """Keep the scores of some frames, from ``start`` on."""
        if name not in self.scores:
            self.scores[name] = np.full((self.count, *values.shape[1:]), np.nan)
        self.scores[name][start : start + len(values)] = values


def write_summary(
    store: AcquisitionStore,
    found: Mapping[str, Mapping[str, SeriesScores]],
    problems: Sequence[str],
    *,
    command: str,
) -> xr.Dataset:
    """Write the scores of each frame and their means, in place of those that were there.

    Parameters
    ----------
    store : AcquisitionStore
    found : mapping of str to mapping of str to SeriesScores
        By FOV and by type of image, "rapid" first.
    problems : sequence of str
        What could not be scored.
    command : str
        For the history.

    Returns
    -------
    Dataset
        What the group itself holds: means over frames, see `summarize`.
    """
    for fov, series in found.items():
        _finish(series, after=_slow_is_after(store, fov))
    overall = _overall(store, found)
    overall.attrs["problems"] = list(problems)
    store.write_dataset(SUMMARY, overall, replace=True)
    for fov, series in found.items():
        for name, scores in series.items():
            if scores.scores:
                store.write_dataset(f"{SUMMARY}/{fov}/{name}", _per_frame(store, fov, name, scores))
    store.add_history(command)
    store.consolidate()
    return overall


def _finish(series: Mapping[str, SeriesScores], *, after: bool) -> None:
    """Make uPSNR of errors; leave out what a slow scan of another scene cannot tell."""
    ranges = series[RAPID].probes.pop(_RANGE, [])
    peak = float(np.median(ranges)) if ranges else float("nan")
    for scores in series.values():
        errors = scores.scores.pop("umse", None)
        if errors is not None and peak > 0:
            scores.scores["upsnr"] = np.where(errors > 0, decibels(errors, peak), np.nan)
        if after:
            for name in scores.scores:
                if MEASURES[name].at_the_end:
                    scores.scores[name][:-LAST_FRAMES] = np.nan


def _slow_is_after(store: AcquisitionStore, fov: str) -> bool:
    group = slow_group(fov)
    return store.has(group) and store.attrs(group).get("relation") == "after"


def _per_frame(store: AcquisitionStore, fov: str, name: str, scores: SeriesScores) -> xr.Dataset:
    """Lay out the scores of each frame, with what is known of the frame beside them."""
    group = rapid_group(fov) if name == RAPID else filtered_group(fov, name)
    variables: dict[str, Any] = {}
    for score, values in scores.scores.items():
        dims = ("frame", "band")[: values.ndim]
        variables[score] = (dims, values, _about(store, fov, score))
    attrs: dict[str, Any] = {"band_edges": list(PAPER_BANDS)}
    with store.dataset(group) as dataset:
        if dataset.attrs.get("fingerprint"):  # of the run: another one is scored anew
            attrs["fingerprint"] = dataset.attrs["fingerprint"]
        beside = {
            str(n): (("frame",), c.values, dict(c.attrs))
            for n, c in dataset.variables.items()
            if c.dims == ("frame",)
            and c.size == scores.count
            and c.dtype.kind in "fiu"
            and (n in dataset.coords or n in ("time", "temperature"))
        }
    if "frame" not in beside:
        numbers = np.arange(scores.count) if scores.numbers is None else scores.numbers
        beside["frame"] = (("frame",), numbers, {"long_name": "number of the frame"})
    return xr.Dataset(variables, coords=beside, attrs=attrs)


def _about(store: AcquisitionStore, fov: str, score: str) -> dict[str, Any]:
    about = {"units": _units(store, fov, score), "long_name": MEASURES[score].long_name}
    against_slow = MEASURES[score].at_the_end or score in ("psnr", "psnr_band", "psnr_matched")
    if against_slow and _slow_is_after(store, fov):
        about["long_name"] += ", which was taken after the series"
    return about


def _units(store: AcquisitionStore, fov: str, score: str) -> str:
    units = MEASURES[score].units
    if units == _WAVE_NUMBER and _pixel_size_nm(store, fov) is None:
        return "1/px"
    return units


def _pixel_size_nm(store: AcquisitionStore, fov: str) -> float | None:
    grid = slow_group(fov) if store.has(slow_group(fov)) else rapid_group(fov)
    return store.settings(grid).pixel_size_nm


def _overall(
    store: AcquisitionStore, found: Mapping[str, Mapping[str, SeriesScores]]
) -> xr.Dataset:
    fovs = list(found)
    names = list(dict.fromkeys(n for series in found.values() for n in series))
    names.sort(key=lambda n: (n != RAPID, n != "dcfi"))  # stable: the rest stays in order
    shape = (len(fovs), len(names))
    places = {
        (i, names.index(name)): (fov, name, scores)
        for i, (fov, series) in enumerate(found.items())
        for name, scores in series.items()
    }
    variables: dict[str, Any] = {
        "n_frames": (("fov", "filter"), np.zeros(shape, dtype=np.int64), {}),
        "trained": (
            ("fov", "filter"),
            np.zeros(shape, dtype=np.int8),
            {"long_name": "filter has seen the FOV"},
        ),
    }
    flagged: dict[tuple[int, int], FlaggedFrames] = {}
    per_px = any(_pixel_size_nm(store, fov) is None for fov in fovs)
    for place, (fov, name, scores) in places.items():
        variables["n_frames"][1][place] = _scored(scores)
        about = {n: _about(store, fov, n) for n in (*scores.scores, *scores.probes)}
        known = _in_pixels(store, fov, scores, about) if per_px else scores
        _put_means(variables, place, shape, known, about)
        if name != RAPID:
            group = filtered_group(fov, name)
            variables["trained"][1][place] = bool(store.attrs(group).get("trained_on", False))
            with store.dataset(group) as dataset:
                flags = flagged_frames(dataset)
            if flags is not None:
                flagged[place] = flags
    variables |= _flagged(flagged, shape)
    edges = [int(edge) for edge in PAPER_BANDS]
    labels = {"fov_names": fovs, "filter_names": names, "band_edges": edges}
    return xr.Dataset(variables, attrs=labels)


def _in_pixels(
    store: AcquisitionStore,
    fov: str,
    scores: SeriesScores,
    about: dict[str, dict[str, Any]],
) -> SeriesScores:
    """Bring wave numbers to 1/px: an array over all FOVs has one unit, and some know no other."""
    size = _pixel_size_nm(store, fov)
    names = [name for name in about if about[name]["units"] == _WAVE_NUMBER]
    if size is None or not names:
        return scores
    for name in names:
        about[name]["units"] = "1/px"
    share = size / _NM_PER_UM
    return replace(
        scores,
        scores={n: v * share if n in names else v for n, v in scores.scores.items()},
        probes={n: [share * x for x in v] if n in names else v for n, v in scores.probes.items()},
    )


def _put_means(
    variables: dict[str, Any],
    place: tuple[int, int],
    shape: tuple[int, int],
    scores: SeriesScores,
    about: Mapping[str, dict[str, Any]],
) -> None:
    """Add the means of one series, laying out variables that were not there yet."""

    def put(name: str, value: Any, attrs: dict[str, Any], dims: tuple[str, ...] = ()) -> None:
        more = np.shape(value)
        if name not in variables:
            variables[name] = (("fov", "filter", *dims), np.full(shape + more, np.nan), attrs)
        variables[name][1][place] = value

    for score, values in scores.scores.items():
        if not np.isfinite(values).any():
            continue
        mean, std = _statistics(values)
        dims = ("band",) if values.ndim == 2 else ()
        for statistic, value in (("mean", mean), ("std", std)):
            long_name = f"{statistic} over frames: {about[score]['long_name']}"
            put(f"{score}_{statistic}", value, about[score] | {"long_name": long_name}, dims)
        if score == "psnr" and np.isfinite(values).any():
            long_name = f"last frame: {about[score]['long_name']}"
            last = values[np.isfinite(values)][-1]
            put("psnr_last", last, about[score] | {"long_name": long_name})
    for test, found in scores.probes.items():
        if MEASURES[test].of_stretch:
            known = mean_and_std(found)
            for statistic, value in (("mean", known.mean), ("std", known.std)):
                long_name = f"{statistic} over stretches: {about[test]['long_name']}"
                put(f"{test}_{statistic}", value, about[test] | {"long_name": long_name})


def _scored(scores: SeriesScores) -> int:
    """Count the frames that have any score; those without a slow scan may have none but tests."""
    known = [
        np.isfinite(values).reshape(len(values), -1).any(axis=1)
        for values in scores.scores.values()
    ]
    found = int(np.any(known, axis=0).sum()) if known else 0
    tested = any(np.isfinite(values).any() for values in scores.probes.values())
    return scores.count if tested and not found else found


def _statistics(values: FloatArray) -> tuple[Any, Any]:
    if values.ndim == 1:
        found = mean_and_std(values)
        return found.mean, found.std
    columns = [mean_and_std(c) for c in values.T]
    return [c.mean for c in columns], [c.std for c in columns]


def _flagged(
    found: Mapping[tuple[int, int], FlaggedFrames], shape: tuple[int, int]
) -> dict[str, Any]:
    """Count frames out of range; -1 where it is not known."""
    if not found:
        return {}
    respects = list(dict.fromkeys(name for f in found.values() for name in f.by_respect))
    total = np.full(shape, -1, dtype=np.int64)
    by_respect = np.full((*shape, len(respects)), -1, dtype=np.int64)
    for place, flagged in found.items():
        total[place] = len(flagged.frames)
        by_respect[place] = [flagged.by_respect.get(name, 0) for name in respects]
    long_name = "frames outside what the filter was trained on"
    return {
        "n_out_of_range": (("fov", "filter"), total, {"long_name": long_name}),
        "n_out_of_range_by_respect": (
            ("fov", "filter", "respect"),
            by_respect,
            {"long_name": f"{long_name}, by respect", "respects": respects},
        ),
    }
